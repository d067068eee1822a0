// Name resolution of the compiled gateway, with real DNS servers, correct and broken, at
// port 53 of loopback addresses, and with resolv.conf, hosts and nsswitch.conf mounted by
// the test. The control is etcd's own gateway, which uses Go's resolver. Needs root.
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BrokenDns, type Faults } from "../support/broken-dns.ts";
import { DnsServer, type Zone } from "../support/dns-server.ts";
import { freePort } from "../support/free-port.ts";
import { Closers, eventually } from "../support/gateway-command.ts";
import { type Elsewhere, Hosts } from "../support/gateway-hosts.ts";
import { gatewayBinary, type GatewayKind, GatewayProcess } from "../support/gateway-process.ts";
import { greetersOn, greeting, shares } from "../support/greeters.ts";
import { until } from "../support/peer.ts";

setDefaultTimeout(180_000);

// The resolver needs up to 20 s for two silent servers.
const TIMEOUT_MS = 60_000;

const servers = new Closers();
afterAll(() => servers.close());
const closers = new Closers();
afterEach(() => closers.close());

const port = greetersOn(servers, "127.0.0.1", "127.0.0.2", "127.0.0.3");
const NAMES = { "m1.a.test": ["127.0.0.1"], "m2.a.test": ["127.0.0.2"] };
const ENDPOINTS = `--endpoints=m1.a.test:${port},m2.a.test:${port}`;

/** Starts a server at port 53 of a random loopback address; retries if another run uses it. */
async function onPort53<T extends { close(): unknown }>(
  start: (host: string) => Promise<T>,
): Promise<{ server: T; host: string }> {
  const byte = () => 1 + Math.floor(Math.random() * 250);
  for (let attempt = 1; ; attempt++) {
    const host = `127.53.${byte()}.${byte()}`;
    try {
      return { server: closers.add(await start(host)), host };
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

const startDns = (zone: Zone) => onPort53((host) => DnsServer.start(zone, host, 53));
const startBrokenDns = (faults: Faults, upstream?: DnsServer) =>
  onPort53((host) => BrokenDns.start(faults, 53, { host, ...(upstream && { upstream }) }));

const createHosts = async (elsewhere: Elsewhere, hosts = "") =>
  closers.add(await Hosts.create(hosts, elsewhere));

async function launch(kind: GatewayKind, flags: readonly string[], { wrapper }: Hosts) {
  return closers.add(await GatewayProcess.launch(kind, flags, { wrapper }));
}

/** Starts our gateway and returns before it is ready. */
function startEarly(flags: readonly string[], { wrapper }: Hosts): GatewayProcess {
  const words = [gatewayBinary(), "start", "--listen-addr=127.0.0.1:0", ...flags];
  return closers.add(new GatewayProcess(words, { wrapper }));
}

const READY = "ready to proxy client requests";

describe("start with a first DNS server that responds with an error", () => {
  const faults = ["servfail", "refused", "notimp"] as const;

  for (const kind of ["ours", "etcd"] as const)
    test.each(faults)(
      `${kind}: asks the next server of resolv.conf for addresses after %s`,
      async (fault) => {
        const [first, second] = [await startBrokenDns(fault), await startDns({ hosts: NAMES })];
        const resolv = `nameserver ${first.host}\nnameserver ${second.host}\n`;
        const gateway = await launch(kind, [ENDPOINTS], await createHosts({ resolv }));
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
      for (const endpoints of [[ENDPOINTS], ["--discovery-srv=a.test", "--insecure-discovery"]]) {
        const gateway = await launch(
          "ours",
          [...flags, ...endpoints],
          await createHosts("unknown"),
        );
        expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
        expect(await greeting(gateway.port)).toBe("127.0.0.1");
      }
    },
  );
});

describe("start with a silent first DNS server", () => {
  test.each(["ours", "etcd"] as const)(
    "%s: becomes ready after the second server responds",
    async (kind) => {
      const [silent, second] = [await startBrokenDns("silent"), await startDns({ hosts: NAMES })];
      const resolv = `nameserver ${silent.host}\nnameserver ${second.host}\n`;
      const gateway = await launch(kind, [ENDPOINTS], await createHosts({ resolv }));
      expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
      expect(await greeting(gateway.port)).toBeOneOf(["127.0.0.1", "127.0.0.2"]);
    },
  );

  test("--discovery-srv waits for the second server too", async () => {
    const zone: Zone = {
      hosts: NAMES,
      srv: [{ name: "_etcd-client._tcp.a.test", target: "m1.a.test", port }],
    };
    const [silent, second] = [await startBrokenDns("silent"), await startDns(zone)];
    const resolv = `nameserver ${silent.host}\nnameserver ${second.host}\n`;
    const flags = ["--discovery-srv=a.test", "--insecure-discovery"];
    const gateway = await launch("ours", flags, await createHosts({ resolv }));
    expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
  });
});

describe("start with names whose DNS server is silent", () => {
  const silentNames = Array.from({ length: 12 }, (_, i) => `silent${i}.a.test:${port}`);

  test.each([
    ["DNS", "hosts: files dns"],
    ["the C library", "hosts: files resolve dns"],
  ])(
    "does not wait for their responses if another endpoint needs no DNS, by %s",
    async (_, nsswitch) => {
      const { host, server } = await startBrokenDns("silent");
      const resolv = `nameserver ${host}\n`;
      const hosts = await createHosts({ resolv, nsswitch }, "127.0.0.3 known.test");
      const usesLibrary = nsswitch.includes("resolve");
      // The C library would look the names up one after the other, so the endpoint is an address.
      const known = usesLibrary ? `127.0.0.3:${port}` : `known.test:${port}`;
      const gateway = startEarly(
        [`--endpoints=${[...silentNames, known].join()}`, "--retry-delay=1h"],
        hosts,
      );
      await gateway.logged(READY, undefined, TIMEOUT_MS);
      // A question is repeated after 5 s. None was, so the start waited for no response.
      const questions = [...server.questions];
      expect(new Set(questions).size).toBe(questions.length);
      const { address } = gateway.lines("listening")[0]!;
      expect(await greeting(Number(String(address).split(":")[1]))).toBe("127.0.0.3");
      gateway.signal("SIGHUP");
      await gateway.logged("reloaded", undefined, TIMEOUT_MS);
    },
  );

  test("logs each name once its lookup has timed out, while the gateway serves", async () => {
    const { host } = await startBrokenDns("silent");
    const resolv = `nameserver ${host}\noptions timeout:1\n`;
    const hosts = await createHosts({ resolv }, "127.0.0.3 known.test");
    const gateway = await launch(
      "ours",
      [`--endpoints=silent.a.test:${port},known.test:${port}`],
      hosts,
    );
    const message = "endpoint does not resolve (looked up again at each dial)";
    expect(await gateway.logged(message, undefined, TIMEOUT_MS)).toMatchObject({
      address: `silent.a.test:${port}`,
      error: "ETIMEOUT",
    });
  });

  test("exits with 1 after the resolver's own schedule if no name resolves", async () => {
    const { host, server } = await startBrokenDns("silent");
    const resolv = `nameserver ${host}\noptions timeout:1 attempts:3\n`;
    const gateway = await launch("ours", [ENDPOINTS], await createHosts({ resolv }));
    expect(gateway.status).toBe(1);
    expect(gateway.log.at(-1)!.msg).toBe(
      `Cannot resolve any of --endpoints: "m1.a.test:${port}" (ETIMEOUT), "m2.a.test:${port}" (ETIMEOUT)`,
    );
    expect(server.questions.filter((question) => question === "A m1.a.test")).toHaveLength(3);
  });

  test("exits with 0 on SIGTERM while it waits for them", async () => {
    const { host, server } = await startBrokenDns("silent");
    const gateway = startEarly([ENDPOINTS], await createHosts({ resolv: `nameserver ${host}\n` }));
    await until(() => server.count === 4, "both families of both names were looked up");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.lines("stopped")).toHaveLength(1);
  });

  test("exits with 0 on SIGTERM while it waits for the host of --metrics-addr", async () => {
    const { host, server } = await startBrokenDns("silent");
    const hosts = await createHosts({ resolv: `nameserver ${host}\n` });
    const flags = ["--endpoints=127.0.0.1:1", `--metrics-addr=admin.a.test:${port}`];
    const gateway = startEarly(flags, hosts);
    await until(() => server.count > 0, "the name was looked up");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.lines("stopped")).toHaveLength(1);
    expect(gateway.lines("listening")).toEqual([]);
  });
});

test("start logs a name that later resolves to the gateway itself once, and never dials it", async () => {
  const own = closers.add(await DnsServer.start({ hosts: { "late.a.test": ["127.0.0.1"] } }));
  const { host, server } = await startBrokenDns("silent", own);
  server.faults = (question) =>
    server.questions.filter((each) => each === question).length > 1 ? undefined : "silent";
  const resolv = `nameserver ${host}\noptions timeout:1\n`;
  const hosts = await createHosts({ resolv }, "127.0.0.3 known.test");
  const listen = freePort();
  const endpoints = `--endpoints=late.a.test:${listen},known.test:${port}`;
  const flags = [endpoints, `--listen-addr=127.0.0.1:${listen}`, "--retry-delay=100ms"];
  const gateway = await launch("ours", flags, hosts);
  const message = "endpoint is the gateway itself; it is never dialled";
  expect(gateway.lines(message)).toEqual([]);
  await gateway.logged(message, undefined, TIMEOUT_MS);
  expect(await shares(listen, 6)).toEqual({ "127.0.0.3": 6 });
  await until(() => server.count > 12, "the name was looked up several times");
  expect(gateway.lines(message)).toHaveLength(1);
  expect(gateway.status).toBeUndefined();
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
  const endpoints = `--endpoints=known.test:${port},m.a.test:${port}`;
  const gateway = await launch("ours", [endpoints], hosts);
  expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
  expect(server.questions).toContain("A m.a.test");
});
