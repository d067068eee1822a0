// What the compiled gateway waits for, and how long, while DNS servers are silent. Needs root.
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createDnsScene, NAMES, TIMEOUT_MS } from "../support/dns-scene.ts";
import { DnsServer, type Zone } from "../support/dns-server.ts";
import { freePort } from "../support/free-port.ts";
import { greeting, shares } from "../support/greeters.ts";
import { until } from "../support/peer.ts";

setDefaultTimeout(180_000);

const scene = createDnsScene();
const { closers, port, endpoints, startDns, startBrokenDns, createHosts, launch, startEarly } =
  scene;
afterEach(() => scene.close());
afterAll(() => scene.closeGreeters());

const READY = "ready to proxy client requests";

describe("start with a silent first DNS server", () => {
  test.each(["ours", "etcd"] as const)(
    "%s: becomes ready after the second server responds",
    async (kind) => {
      const [silent, second] = [await startBrokenDns("silent"), await startDns({ hosts: NAMES })];
      const resolv = `nameserver ${silent.host}\nnameserver ${second.host}\n`;
      const gateway = await launch(kind, [endpoints], await createHosts({ resolv }));
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
    const gateway = await launch("ours", [endpoints], await createHosts({ resolv }));
    expect(gateway.status).toBe(1);
    expect(gateway.log.at(-1)!.msg).toBe(
      `Cannot resolve any of --endpoints: "m1.a.test:${port}" (ETIMEOUT), "m2.a.test:${port}" (ETIMEOUT)`,
    );
    expect(server.questions.filter((question) => question === "A m1.a.test")).toHaveLength(3);
  });

  test("exits with 0 on SIGTERM while it waits for them", async () => {
    const { host, server } = await startBrokenDns("silent");
    const gateway = startEarly([endpoints], await createHosts({ resolv: `nameserver ${host}\n` }));
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
  const both = `--endpoints=late.a.test:${listen},known.test:${port}`;
  const flags = [both, `--listen-addr=127.0.0.1:${listen}`, "--retry-delay=100ms"];
  const gateway = await launch("ours", flags, hosts);
  const message = "endpoint is this process itself; it is never dialled";
  expect(gateway.lines(message)).toEqual([]);
  await gateway.logged(message, undefined, TIMEOUT_MS);
  expect(await shares(listen, 6)).toEqual({ "127.0.0.3": 6 });
  await until(() => server.count > 12, "the name was looked up several times");
  expect(gateway.lines(message)).toHaveLength(1);
  expect(gateway.status).toBeUndefined();
});
