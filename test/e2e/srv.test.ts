// SRV discovery of the compiled gateway with a real DNS server: which endpoints serve
// clients after each change of the zone, and what is logged.
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BrokenDns } from "../support/broken-dns.ts";
import { DnsServer, type SrvLine, type Zone } from "../support/dns-server.ts";
import { Closers } from "../support/gateway-command.ts";
import { Hosts } from "../support/gateway-hosts.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { greetersOn, greeting, shares } from "../support/greeters.ts";
import { createSrvScene, type Rank, SERVICE } from "../support/srv-scene.ts";

setDefaultTimeout(120_000);

const scene = createSrvScene();
const { closers, port, record, zoneOf, start } = scene;
afterEach(() => scene.close());
afterAll(() => scene.closeGreeters());

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
