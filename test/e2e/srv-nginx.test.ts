// SRV discovery of the compiled gateway in the cases of nginx's own
// stream_upstream_service.t, with a real DNS server.
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BrokenDns } from "../support/broken-dns.ts";
import { DnsServer } from "../support/dns-server.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { greetersOn, greeting, shares } from "../support/greeters.ts";
import { deadPort } from "../support/scene.ts";
import { createSrvScene, SERVICE } from "../support/srv-scene.ts";

setDefaultTimeout(120_000);

const scene = createSrvScene();
const { closers, record, zoneAt, zoneOf, start } = scene;
afterEach(() => scene.close());
afterAll(() => scene.closeGreeters());

const FAILED = "SRV discovery failed (keeping known endpoints)";
const RECOVERED = "SRV discovery recovered";

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
