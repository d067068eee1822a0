// SRV discovery of the compiled gateway with a real DNS server: which endpoints serve
// clients after each change of the zone, and what is logged. The first part has the cases
// of nginx's own stream_upstream_service.t.
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BrokenDns } from "../support/broken-dns.ts";
import { DnsServer, type SrvLine, type Zone } from "../support/dns-server.ts";
import { Closers } from "../support/gateway-command.ts";
import { Hosts } from "../support/gateway-hosts.ts";
import { GatewayProcess, type LogLine } from "../support/gateway-process.ts";
import { greetersOn, greeting, shares } from "../support/greeters.ts";
import { until } from "../support/peer.ts";
import { deadPort } from "../support/scene.ts";

setDefaultTimeout(120_000);

const servers = new Closers();
afterAll(() => servers.close());
const closers = new Closers();
afterEach(() => closers.close());

const port = greetersOn(servers, "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "::1");
const SERVICE = "_etcd-client._tcp.a.test";
const FAILED = "SRV discovery failed (keeping known endpoints)";
const RECOVERED = "SRV discovery recovered";

type Rank = Pick<SrvLine, "priority" | "weight"> & { readonly port?: number };
const record = (target: string, rank: Rank = {}): SrvLine => ({
  name: SERVICE,
  target,
  port,
  ...rank,
});
/** Returns a zone with one record, whose target has these addresses. */
const zoneAt = (...addresses: string[]): Zone => ({
  srv: [record("m.a.test", { priority: 1, weight: 5 })],
  hosts: { "m.a.test": addresses },
});
/** Returns a zone with one record for each rank; the targets are 127.0.0.1, 127.0.0.2, ... */
const zoneOf = (...ranks: Rank[]): Zone => ({
  srv: ranks.map((rank, i) => record(`m${i + 1}.a.test`, rank)),
  hosts: Object.fromEntries(ranks.map((_, i) => [`m${i + 1}.a.test`, [`127.0.0.${i + 1}`]])),
});

/** Starts a DNS server and a gateway that refreshes its SRV records every 100 ms. */
async function start(zone: Zone, flags: readonly string[] = []) {
  const dns = closers.add(await DnsServer.start(zone));
  const gateway = closers.add(
    await GatewayProcess.start([
      "--discovery-srv=a.test",
      `--discovery-servers=${dns.address}`,
      "--insecure-discovery",
      "--discovery-refresh-interval=100ms",
      "--retry-delay=100ms",
      ...flags,
    ]),
  );
  /** Changes the zone, and waits until the gateway has looked it up twice. */
  const change = async (changed: Zone) => {
    await dns.change(changed);
    const lookups = () => dns.questions.filter((question) => question === `SRV ${SERVICE}`).length;
    const before = lookups();
    await until(() => lookups() >= before + 2, "the zone was looked up twice");
  };
  const linesOf = (message: string): LogLine[] => gateway.lines(message);
  return { dns, gateway, change, linesOf };
}

describe("--discovery-srv in the cases of nginx", () => {
  test("dials changed, added and remaining addresses, IPv4 and IPv6", async () => {
    const { gateway, change, linesOf } = await start(zoneAt("127.0.0.1"));
    expect(await shares(gateway.port, 2)).toEqual({ "127.0.0.1": 2 });
    await change(zoneAt("127.0.0.2"));
    expect(await shares(gateway.port, 2)).toEqual({ "127.0.0.2": 2 });
    await change(zoneAt("127.0.0.1", "127.0.0.2"));
    expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
    // RFC 6724 prefers ::1 to 127.0.0.1.
    await change(zoneAt("127.0.0.3", "::1"));
    expect(await shares(gateway.port, 2)).toEqual({ "::1": 2 });
    await change(zoneAt("::1"));
    expect(await shares(gateway.port, 2)).toEqual({ "::1": 2 });
    expect(linesOf("endpoints changed")).toEqual([]);
    expect(linesOf("deactivated endpoint")).toEqual([]);
  });

  test("dials the last known address if all are removed, and a new one once it is added", async () => {
    const { gateway, change } = await start(zoneAt("127.0.0.1"));
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    await change(zoneAt());
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    await change(zoneAt("127.0.0.2"));
    expect(await greeting(gateway.port)).toBe("127.0.0.2");
  });

  test("keeps the last endpoints if all SRV records are removed, logs that once, and uses new ones", async () => {
    const { gateway, change, linesOf } = await start(zoneAt("127.0.0.1"));
    await change({ hosts: { "m.a.test": ["127.0.0.1"] } });
    await change({});
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    expect(linesOf(FAILED)).toHaveLength(1);
    expect(linesOf(FAILED)[0]!["error"]).toBe(
      `Cannot discover endpoints by --discovery-srv "a.test": "_etcd-client-ssl._tcp.a.test": no such name, or it has no SRV record; "${SERVICE}": no such name, or it has no SRV record`,
    );
    await change(zoneOf({}, {}));
    expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
    expect(linesOf(RECOVERED)).toHaveLength(1);
  });

  test("follows a changed weight", async () => {
    const { gateway, change } = await start(zoneOf({ weight: 1 }, { weight: 1 }));
    expect(await shares(gateway.port, 8)).toEqual({ "127.0.0.1": 4, "127.0.0.2": 4 });
    await change(zoneOf({ weight: 3 }, { weight: 1 }));
    expect(await shares(gateway.port, 8)).toEqual({ "127.0.0.1": 6, "127.0.0.2": 2 });
  });

  test("follows a target that changes to a CNAME", async () => {
    const { gateway, change } = await start(zoneAt("127.0.0.1"));
    await change({
      srv: [record("alias.a.test")],
      cnames: { "alias.a.test": "real.a.test" },
      hosts: { "real.a.test": ["127.0.0.3"] },
    });
    expect(await greeting(gateway.port)).toBe("127.0.0.3");
  });

  test.each(["servfail", "refused", "silent", "garbage"] as const)(
    "serves clients from the same endpoints while the fault of the DNS server is %s",
    async (fault) => {
      const { dns, gateway, linesOf } = await start(zoneOf({}, {}));
      await shares(gateway.port, 2); // Caches the addresses of both names.
      await dns.stop();
      const broken = closers.add(await BrokenDns.start(fault, dns.port));
      // A silent server gets two queries, with a timeout of 5 s each.
      await gateway.logged(FAILED, undefined, 40_000);
      expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
      broken.close();
      await dns.restart();
      await gateway.logged(RECOVERED, undefined, 40_000);
      expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
      expect([linesOf(FAILED).length, linesOf(RECOVERED).length]).toEqual([1, 1]);
      expect(linesOf("deactivated endpoint")).toEqual([]);
    },
  );

  test("counts two equal records once, and keeps both endpoints if all records are removed", async () => {
    const twice = { ...zoneOf({ weight: 5 }, { weight: 5 }) };
    const { gateway, change } = await start({ ...twice, srv: [...twice.srv!, twice.srv![0]!] });
    expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
    await change({});
    expect(await shares(gateway.port, 2)).toEqual({ "127.0.0.1": 1, "127.0.0.2": 1 });
  });

  test("uses the worse priority only while the better one is down", async () => {
    const dead = deadPort();
    const { gateway, change } = await start(
      zoneOf({ priority: 1, weight: 5, port: dead }, { priority: 2, weight: 6 }),
    );
    expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.2": 4 });
    await change(zoneOf({ priority: 1, weight: 5 }, { priority: 2, weight: 6 }));
    expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 4 });
    await change({});
    expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 4 });
  });

  test("serves clients if names stop resolving while SRV records do not", async () => {
    const { gateway, change } = await start(zoneAt("127.0.0.1"));
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    await change({ srv: zoneAt("127.0.0.1").srv! });
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
  });

  test("repeats a truncated query over TCP, and uses 64 endpoints", async () => {
    const targets = Array.from({ length: 64 }, (_, i) => `member-number-${i + 1}.cluster.a.test`);
    const dns = closers.add(
      await DnsServer.start({
        srv: targets.map((target) => record(target)),
        hosts: Object.fromEntries(targets.map((target, i) => [target, [`127.0.1.${i + 1}`]])),
      }),
    );
    const addresses = targets.map((_, i) => `127.0.1.${i + 1}`);
    const at = greetersOn(closers, ...addresses);
    await dns.change({
      srv: targets.map((target) => ({ ...record(target), port: at })),
      hosts: Object.fromEntries(targets.map((target, i) => [target, [addresses[i]!]])),
    });
    const flags = ["--discovery-srv=a.test", "--insecure-discovery"];
    const gateway = closers.add(
      await GatewayProcess.start([...flags, `--discovery-servers=${dns.address}`]),
    );
    // Two queries for one response: one over UDP, one over TCP.
    expect(dns.questions.filter((question) => question === `SRV ${SERVICE}`)).toHaveLength(2);
    const even = Object.fromEntries(addresses.map((address) => [address, 2]));
    expect(await shares(gateway.port, 128)).toEqual(even);
  });
});

describe("--discovery-srv by RFC 2782", () => {
  const rows: [ranks: Rank[], clients: number, counts: number[]][] = [
    [[{ weight: 1 }, { weight: 1 }], 400, [200, 200]],
    [[{ weight: 3 }, { weight: 1 }], 400, [300, 100]],
    [[{ weight: 0 }, { weight: 10 }], 440, [40, 400]],
    [[{ weight: 0 }, { weight: 0 }, { weight: 0 }], 300, [100, 100, 100]],
    [[{ weight: 2 }, { weight: 1 }, { weight: 1 }, { weight: 0 }], 500, [200, 100, 100, 100]],
    [[{ priority: 1 }, { priority: 2 }], 100, [100]],
    [[{ priority: 1, weight: 3 }, { priority: 1, weight: 1 }, { priority: 2, weight: 100 }], 100, [75, 25]],
  ]; // prettier-ignore
  test.each(rows)(
    "distributes clients by priority and weight: %j, %i clients: %j",
    async (ranks, clients, counts) => {
      const { gateway } = await start(zoneOf(...ranks));
      const expected = Object.fromEntries(counts.map((count, i) => [`127.0.0.${i + 1}`, count]));
      expect(await shares(gateway.port, clients)).toEqual(expected);
    },
  );

  test("treats targets that differ in case and the trailing dot as one endpoint", async () => {
    const { gateway } = await start({
      srv: [record("M1.a.test."), record("m1.A.test")],
      hosts: { "m1.a.test": ["127.0.0.1"] },
    });
    expect(gateway.lines("ready to proxy client requests")).toMatchObject([
      { endpoints: [`m1.a.test:${port}`] },
    ]);
  });
});

describe("--discovery-srv", () => {
  test("merges both services into one set, logged with etcd's message", async () => {
    const dns = closers.add(
      await DnsServer.start({
        srv: [
          { ...record("m1.a.test"), name: "_etcd-client-ssl-blue._tcp.a.test" },
          { ...record("m2.a.test"), name: "_etcd-client-blue._tcp.a.test" },
        ],
        hosts: { "m1.a.test": ["127.0.0.1"], "m2.a.test": ["127.0.0.2"] },
      }),
    );
    const flags = ["--discovery-srv=a.test", "--discovery-srv-name=blue", "--insecure-discovery"];
    const gateway = closers.add(
      await GatewayProcess.start([...flags, `--discovery-servers=${dns.address}`]),
    );
    expect(gateway.lines("discovered cluster from SRV")).toMatchObject([
      {
        level: "info",
        "srv-server": "a.test",
        endpoints: [`https://m1.a.test:${port}`, `http://m2.a.test:${port}`],
      },
    ]);
    expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
  });

  const failures: [what: string, zone: Zone | "servfail" | "refused" | "silent", reason: string][] = [
    ["no such name", {}, "no such name, or it has no SRV record"],
    ["the target .", { srv: [record(".")] }, 'its record says that there is no such service (target ".")'],
    ["SERVFAIL", "servfail", "the DNS server failed (SERVFAIL)"],
    ["REFUSED", "refused", "the DNS server refused to answer"],
    ["silence", "silent", "the DNS server did not answer in time"],
  ]; // prettier-ignore
  test.each(failures)("exits with 1 and logs the reason for %s", async (_, zone, reason) => {
    const { address } = closers.add(
      typeof zone === "string" ? await BrokenDns.start(zone) : await DnsServer.start(zone),
    );
    const flags = [`--discovery-servers=${address}`, "--discovery-srv=a.test"];
    const gateway = closers.add(await GatewayProcess.launch("ours", flags));
    expect([gateway.status, gateway.stdout]).toEqual([1, ""]);
    const [line] = gateway.log;
    expect(line!.level).toBe("error");
    expect(line!.msg).toContain(`"${SERVICE}": ${reason}`);
  });

  test("logs a warning and uses --endpoints until the discovery succeeds", async () => {
    const dns = closers.add(await DnsServer.start({}));
    const gateway = closers.add(
      await GatewayProcess.start([
        ...["--discovery-srv=a.test", `--discovery-servers=${dns.address}`, "--insecure-discovery"],
        ...[`--endpoints=127.0.0.4:${port}`, "--discovery-refresh-interval=100ms"],
      ]),
    );
    expect(await greeting(gateway.port)).toBe("127.0.0.4");
    const message = "SRV discovery failed (using --endpoints until it succeeds)";
    expect(gateway.lines(message)).toMatchObject([
      { level: "warn", endpoints: [`127.0.0.4:${port}`] },
    ]);
    await dns.change(zoneOf({}));
    await gateway.logged("endpoints changed");
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
  });

  test("refreshes at a --discovery-refresh-interval of 0 only once no endpoint is up", async () => {
    const dying = new Closers();
    closers.defer(() => dying.close());
    const at = greetersOn(dying, "127.0.0.1");
    const flags = ["--discovery-refresh-interval=0", "--retry-delay=1h"];
    const { dns, gateway } = await start(zoneOf({ port: at }), flags);
    await dns.change(zoneOf({ port: at }, {}));
    expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 4 });
    expect(dns.questions.filter((question) => question.startsWith("SRV"))).toEqual([]);
    await dying.close();
    expect(await greeting(gateway.port)).toBe("127.0.0.2");
  });

  test("does not use an endpoint that is the gateway itself", async () => {
    const { gateway, change, linesOf } = await start(zoneOf({}));
    const own: SrvLine = { ...record("m1.a.test"), port: gateway.port };
    const zone = zoneOf({});
    await change({ ...zone, srv: [...zone.srv!, own] });
    expect(await shares(gateway.port, 10)).toEqual({ "127.0.0.1": 10 });
    expect(linesOf("rejected endpoint (checked again at each refresh)")).toMatchObject([
      { address: `m1.a.test:${gateway.port}`, from: "SRV" },
    ]);
  });
});

test("--discovery-srv fails no client under load while the zone changes", async () => {
  const { gateway, change } = await start(zoneOf({}, {}, {}), ["--drain-timeout=5s"]);
  let isOver = false;
  const failures: unknown[] = [];
  let count = 0;
  const client = async () => {
    while (!isOver) {
      await greeting(gateway.port).then(
        (text) => (text === "" ? failures.push("no greeting") : count++),
        (error) => failures.push(error),
      );
    }
  };
  const clients = Array.from({ length: 4 }, client);
  const zones = [
    zoneOf({}),
    zoneOf({}, {}),
    zoneOf({ priority: 2 }, {}, { weight: 5 }),
    zoneOf({}, {}, {}, {}),
  ];
  for (let i = 0; i < 12; i++) await change(zones[i % zones.length]!);
  isOver = true;
  await Promise.all(clients);
  console.log(`12 changes of the zone under ${count} clients: ${failures.length} failed`);
  expect(failures).toEqual([]);
  expect(count).toBeGreaterThan(100);
});

test("--discovery-srv uses the servers of resolv.conf without --discovery-servers", async () => {
  const zone = zoneOf({}, {});
  // Port 53 needs an address that no other run of the tests uses.
  const nameserver = `127.53.${process.pid & 0xff}.${1 + ((process.pid >> 8) % 254)}`;
  const dns = closers.add(await DnsServer.start(zone, nameserver, 53));
  const hosts = closers.add(await Hosts.create("", { nameserver }));
  const flags = ["--discovery-srv=a.test", "--insecure-discovery"];
  const { wrapper } = hosts;
  const gateway = closers.add(await GatewayProcess.start(flags, { wrapper }));
  expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
  expect(dns.questions).toContain(`SRV ${SERVICE}`);
});
