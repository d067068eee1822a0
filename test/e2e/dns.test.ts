// Name resolution of the compiled gateway, with real DNS servers, correct and broken, at
// port 53 of loopback addresses, and with resolv.conf, hosts and nsswitch.conf mounted by
// the test. The control is etcd's own gateway, which uses Go's resolver. Needs root.
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BrokenDns } from "../support/broken-dns.ts";
import { createDnsScene, NAMES, TIMEOUT_MS } from "../support/dns-scene.ts";
import { DnsServer, type Zone } from "../support/dns-server.ts";
import { eventually } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { greeting, shares } from "../support/greeters.ts";
import { until } from "../support/peer.ts";

setDefaultTimeout(180_000);

const scene = createDnsScene();
const { closers, port, endpoints, startDns, startBrokenDns, createHosts, launch } = scene;
afterEach(() => scene.close());
afterAll(() => scene.closeGreeters());

describe("start with a first DNS server that responds with an error", () => {
  const faults = ["servfail", "refused", "notimp"] as const;

  for (const kind of ["ours", "etcd"] as const)
    test.each(faults)(
      `${kind}: asks the next server of resolv.conf for addresses after %s`,
      async (fault) => {
        const [first, second] = [await startBrokenDns(fault), await startDns({ hosts: NAMES })];
        const resolv = `nameserver ${first.host}\nnameserver ${second.host}\n`;
        const gateway = await launch(kind, [endpoints], await createHosts({ resolv }));
        expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
        expect(await shares(gateway.port, 2)).toEqual({ "127.0.0.1": 1, "127.0.0.2": 1 });
        expect(first.server.count).toBeGreaterThan(0);
      },
    );

  for (const kind of ["ours", "etcd"] as const)
    test.each(faults)(
      `${kind}: asks the next server of resolv.conf for SRV records after %s`,
      async (fault) => {
        const zone: Zone = {
          hosts: NAMES,
          srv: [{ name: "_etcd-client._tcp.a.test", target: "m1.a.test", port }],
        };
        const [first, second] = [await startBrokenDns(fault), await startDns(zone)];
        const resolv = `nameserver ${first.host}\nnameserver ${second.host}\n`;
        const flags = ["--discovery-srv=a.test", "--insecure-discovery"];
        const gateway = await launch(kind, flags, await createHosts({ resolv }));
        expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
        expect(await greeting(gateway.port)).toBe("127.0.0.1");
      },
    );

  test.each(faults)(
    "asks the next of --discovery-servers for addresses and SRV records after %s",
    async (fault) => {
      const zone: Zone = {
        hosts: NAMES,
        srv: [{ name: "_etcd-client._tcp.a.test", target: "m1.a.test", port }],
      };
      const first = closers.add(await BrokenDns.start(fault));
      const second = closers.add(await DnsServer.start(zone));
      const flags = [`--discovery-servers=${first.address},${second.address}`];
      for (const source of [[endpoints], ["--discovery-srv=a.test", "--insecure-discovery"]]) {
        const gateway = await launch("ours", [...flags, ...source], await createHosts("unknown"));
        expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
        expect(await greeting(gateway.port)).toBe("127.0.0.1");
      }
    },
  );
});

describe("the search list of resolv.conf", () => {
  const zone: Zone = {
    hosts: { "m1.prod.svc.test": ["127.0.0.2"] },
    srv: [{ name: "_etcd-client._tcp.etcd.prod.svc.test", target: "m1.prod.svc.test", port }],
  };

  test.each(["ours", "etcd"] as const)("%s: applies to --discovery-srv", async (kind) => {
    const { host } = await startDns(zone);
    const hosts = await createHosts({
      resolv: `nameserver ${host}\nsearch other.test prod.svc.test\n`,
    });
    const gateway = await launch(kind, ["--discovery-srv=etcd", "--insecure-discovery"], hosts);
    expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
    expect(await greeting(gateway.port)).toBe("127.0.0.2");
  });

  test("does not apply with --discovery-servers", async () => {
    const { address } = closers.add(await DnsServer.start(zone));
    const hosts = await createHosts({ resolv: "search prod.svc.test\n" });
    const flags = [
      "--discovery-srv=etcd",
      "--insecure-discovery",
      `--discovery-servers=${address}`,
    ];
    const gateway = await launch("ours", flags, hosts);
    expect(gateway.status).toBe(1);
    expect(gateway.log.at(-1)!.msg).toStartWith(
      'Cannot discover endpoints by --discovery-srv "etcd": ',
    );
  });
});

describe("start", () => {
  test("follows changes of resolv.conf", async () => {
    const [first, second] = [
      await startDns({ hosts: { "m.a.test": ["127.0.0.1"] } }),
      await startDns({ hosts: { "m.a.test": ["127.0.0.2"] } }),
    ];
    const hosts = await createHosts({ resolv: `nameserver ${first.host}\n` });
    const gateway = await launch("ours", [`--endpoints=m.a.test:${port}`], hosts);
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    hosts.writeResolv(`nameserver ${second.host}\n`);
    await eventually(
      async () => (await greeting(gateway.port)) === "127.0.0.2" || undefined,
      "a client reached the address of the second server",
      TIMEOUT_MS,
    );
  });
});

describe("the TTL of SRV records", () => {
  const SERVICE = "_etcd-client._tcp.a.test";
  const zoneAt = (address: string, ttl: number): Zone => ({
    hosts: { "m.a.test": [address], "m2.a.test": ["127.0.0.2"] },
    srv: [{ name: SERVICE, target: address === "127.0.0.1" ? "m.a.test" : "m2.a.test", port }],
    ttl,
  });
  const follow = async (ttl: number, interval: string) => {
    const dns = closers.add(await DnsServer.start(zoneAt("127.0.0.1", ttl)));
    const flags = ["--discovery-srv=a.test", "--insecure-discovery"];
    const servers = `--discovery-servers=${dns.address}`;
    const gateway = closers.add(
      await GatewayProcess.start([...flags, servers, `--discovery-refresh-interval=${interval}`]),
    );
    const count = () => dns.questions.filter((question) => question === `SRV ${SERVICE}`).length;
    return { dns, gateway, count };
  };

  test("triggers a refresh if it is shorter than --discovery-refresh-interval", async () => {
    const { dns, gateway } = await follow(1, "1h");
    await dns.change(zoneAt("127.0.0.2", 1));
    await gateway.logged("endpoints changed", undefined, TIMEOUT_MS);
    expect(await greeting(gateway.port)).toBe("127.0.0.2");
  });

  test("of 0 triggers at most one refresh per second", async () => {
    const { count } = await follow(0, "1h");
    const start = performance.now();
    const before = count();
    await until(() => count() >= before + 3, "the records were refreshed three times", TIMEOUT_MS);
    expect(performance.now() - start).toBeGreaterThan(1900);
  });

  test("does not delay a refresh beyond --discovery-refresh-interval", async () => {
    const { count } = await follow(3600, "200ms");
    await until(() => count() >= 4, "the records were looked up four times", TIMEOUT_MS);
  });
});

test("start serves a DNS name alongside .local names, which the C library looks up", async () => {
  const dns = await startDns({ hosts: { "m.a.test": ["127.0.0.3"] } });
  const nsswitch = "hosts: files mdns4_minimal [NOTFOUND=return] dns\n";
  const hosts = await createHosts({ resolv: `nameserver ${dns.host}\n`, nsswitch });
  const locals = Array.from({ length: 8 }, (_, i) => `printer${i}.local:${port}`);
  const gateway = await launch(
    "ours",
    [`--endpoints=${[...locals, `m.a.test:${port}`].join()}`],
    hosts,
  );
  expect(await greeting(gateway.port)).toBe("127.0.0.3");
});

test("start resolves names of the hosts file and of DNS if nsswitch.conf has the source resolve", async () => {
  const { host, server } = await startDns({ hosts: { "m.a.test": ["127.0.0.2"] } });
  const nsswitch = "hosts: files resolve [!UNAVAIL=return] dns\n";
  const hosts = await createHosts(
    { resolv: `nameserver ${host}\n`, nsswitch },
    "127.0.0.1 known.test",
  );
  const both = `--endpoints=known.test:${port},m.a.test:${port}`;
  const gateway = await launch("ours", [both], hosts);
  expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
  expect(server.questions).toContain("A m.a.test");
});
