// How names are found, seen from outside: real DNS servers at port 53 of loopback
// addresses, sound and broken, and resolv.conf, hosts and nsswitch.conf of the
// test in a mount namespace. etcd's own gateway, which is Go's resolver, is the
// control. Needs root.
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BrokenDns, type Faults } from "../support/broken-dns.ts";
import { DnsServer, type Zone } from "../support/dns-server.ts";
import { freePort } from "../support/free-port.ts";
import { Closers } from "../support/gateway-command.ts";
import { type Elsewhere, Hosts } from "../support/gateway-hosts.ts";
import { gatewayBinary, type GatewayKind, GatewayProcess } from "../support/gateway-process.ts";
import { greetersOn, greeting, shares } from "../support/greeters.ts";
import { until } from "../support/peer.ts";

setDefaultTimeout(180_000);

// The schedule of two silent servers is 20 s.
const PATIENCE_MS = 60_000;

const servers = new Closers();
afterAll(() => servers.close());
const closers = new Closers();
afterEach(() => closers.close());

const port = greetersOn(servers, "127.0.0.1", "127.0.0.2", "127.0.0.3");
const NAMES = { "m1.a.test": ["127.0.0.1"], "m2.a.test": ["127.0.0.2"] };
const ENDPOINTS = `--endpoints=m1.a.test:${port},m2.a.test:${port}`;

/** Starts a server at port 53 of an address that is free; another run of the tests has some. */
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

const sound = (zone: Zone) => onPort53((host) => DnsServer.start(zone, host, 53));
const broken = (faults: Faults, upstream?: DnsServer) =>
  onPort53((host) => BrokenDns.start(faults, 53, { host, ...(upstream && { upstream }) }));

const machine = async (elsewhere: Elsewhere, hosts = "") =>
  closers.add(await Hosts.create(hosts, elsewhere));

async function launch(kind: GatewayKind, flags: readonly string[], { wrapper }: Hosts) {
  return closers.add(await GatewayProcess.launch(kind, flags, { wrapper }));
}

/** Ours without waiting for it to be ready. */
function begin(flags: readonly string[], { wrapper }: Hosts): GatewayProcess {
  const words = [gatewayBinary(), "start", "--listen-addr=127.0.0.1:0", ...flags];
  return closers.add(new GatewayProcess(words, { wrapper }));
}

const READY = "ready to proxy client requests";

describe("a first server that answers with an error", () => {
  const faults = ["servfail", "refused", "notimp"] as const;

  for (const kind of ["ours", "etcd"] as const)
    test.each(faults)(`%s: ${kind} asks the next of resolv.conf`, async (fault) => {
      const [first, second] = [await broken(fault), await sound({ hosts: NAMES })];
      const resolv = `nameserver ${first.host}\nnameserver ${second.host}\n`;
      const gateway = await launch(kind, [ENDPOINTS], await machine({ resolv }));
      expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
      expect(await shares(gateway.port, 2)).toEqual({ "127.0.0.1": 1, "127.0.0.2": 1 });
      expect(first.server.count).toBeGreaterThan(0);
    });

  for (const kind of ["ours", "etcd"] as const)
    test.each(faults)(`%s: ${kind} asks the next of resolv.conf for SRV`, async (fault) => {
      const zone: Zone = {
        hosts: NAMES,
        srv: [{ name: "_etcd-client._tcp.a.test", target: "m1.a.test", port }],
      };
      const [first, second] = [await broken(fault), await sound(zone)];
      const resolv = `nameserver ${first.host}\nnameserver ${second.host}\n`;
      const flags = ["--discovery-srv=a.test", "--insecure-discovery"];
      const gateway = await launch(kind, flags, await machine({ resolv }));
      expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
      expect(await greeting(gateway.port)).toBe("127.0.0.1");
    });

  test.each(faults)(
    "%s: the next of --discovery-servers is asked, for SRV as well",
    async (fault) => {
      const zone: Zone = {
        hosts: NAMES,
        srv: [{ name: "_etcd-client._tcp.a.test", target: "m1.a.test", port }],
      };
      const first = closers.add(await BrokenDns.start(fault));
      const second = closers.add(await DnsServer.start(zone));
      const flags = [`--discovery-servers=${first.address},${second.address}`];
      for (const endpoints of [[ENDPOINTS], ["--discovery-srv=a.test", "--insecure-discovery"]]) {
        const gateway = await launch("ours", [...flags, ...endpoints], await machine("unknown"));
        expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
        expect(await greeting(gateway.port)).toBe("127.0.0.1");
      }
    },
  );
});

describe("a first server that is silent", () => {
  test.each(["ours", "etcd"] as const)("%s starts once the second was asked", async (kind) => {
    const [dead, fine] = [await broken("silent"), await sound({ hosts: NAMES })];
    const resolv = `nameserver ${dead.host}\nnameserver ${fine.host}\n`;
    const gateway = await launch(kind, [ENDPOINTS], await machine({ resolv }));
    expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
    expect(await greeting(gateway.port)).toBeOneOf(["127.0.0.1", "127.0.0.2"]);
  });

  test("a start with SRV records is not given up before that", async () => {
    const zone: Zone = {
      hosts: NAMES,
      srv: [{ name: "_etcd-client._tcp.a.test", target: "m1.a.test", port }],
    };
    const [dead, fine] = [await broken("silent"), await sound(zone)];
    const resolv = `nameserver ${dead.host}\nnameserver ${fine.host}\n`;
    const flags = ["--discovery-srv=a.test", "--insecure-discovery"];
    const gateway = await launch("ours", flags, await machine({ resolv }));
    expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
  });
});

describe("names whose DNS is silent", () => {
  const silentNames = Array.from({ length: 12 }, (_, i) => `silent${i}.a.test:${port}`);

  test.each([
    ["DNS", "hosts: files dns"],
    ["a source of the C library's", "hosts: files resolve dns"],
  ])("do not delay a name of the hosts file, asked of %s", async (_, nsswitch) => {
    const { host, server } = await broken("silent");
    const resolv = `nameserver ${host}\n`;
    const hosts = await machine({ resolv, nsswitch }, "127.0.0.3 known.test");
    const ofLibrary = nsswitch.includes("resolve");
    // There the C library reads the hosts file, name after name.
    const known = ofLibrary ? `127.0.0.3:${port}` : `known.test:${port}`;
    const gateway = begin(
      [`--endpoints=${[...silentNames, known].join()}`, "--retry-delay=1h"],
      hosts,
    );
    await gateway.logged(READY, undefined, PATIENCE_MS);
    // No question was repeated, which would be 5 s later: the start did not wait for an answer.
    const questions = [...server.questions];
    expect(new Set(questions).size).toBe(questions.length);
    const { address } = gateway.lines("listening")[0]!;
    expect(await greeting(Number(String(address).split(":")[1]))).toBe("127.0.0.3");
    gateway.signal("SIGHUP");
    await gateway.logged("reloaded", undefined, PATIENCE_MS);
  });

  test("are logged when the resolver gives them up, while the gateway serves", async () => {
    const { host } = await broken("silent");
    const resolv = `nameserver ${host}\noptions timeout:1\n`;
    const hosts = await machine({ resolv }, "127.0.0.3 known.test");
    const gateway = await launch(
      "ours",
      [`--endpoints=silent.a.test:${port},known.test:${port}`],
      hosts,
    );
    const message = "endpoint does not resolve (looked up again at each dial)";
    expect(await gateway.logged(message, undefined, PATIENCE_MS)).toMatchObject({
      address: `silent.a.test:${port}`,
      error: "ETIMEOUT",
    });
  });

  test("all of them: the start ends with status 1 after the resolver's own schedule", async () => {
    const { host, server } = await broken("silent");
    const resolv = `nameserver ${host}\noptions timeout:1 attempts:3\n`;
    const gateway = await launch("ours", [ENDPOINTS], await machine({ resolv }));
    expect(gateway.status).toBe(1);
    expect(gateway.log.at(-1)!.msg).toBe(
      `Cannot resolve any of --endpoints: "m1.a.test:${port}" (ETIMEOUT), "m2.a.test:${port}" (ETIMEOUT)`,
    );
    expect(server.questions.filter((question) => question === "A m1.a.test")).toHaveLength(3);
  });

  test("SIGTERM ends a start that waits for them", async () => {
    const { host, server } = await broken("silent");
    const gateway = begin([ENDPOINTS], await machine({ resolv: `nameserver ${host}\n` }));
    await until(() => server.count === 4, "both names were asked for");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.lines("stopped")).toHaveLength(1);
  });
});

test("a name that turns out to be the gateway itself is logged once, and not dialled", async () => {
  const own = closers.add(await DnsServer.start({ hosts: { "late.a.test": ["127.0.0.1"] } }));
  const { host, server } = await broken("silent", own);
  server.faults = (question) =>
    server.questions.filter((each) => each === question).length > 1 ? undefined : "silent";
  const resolv = `nameserver ${host}\noptions timeout:1\n`;
  const hosts = await machine({ resolv }, "127.0.0.3 known.test");
  const listen = freePort();
  const endpoints = `--endpoints=late.a.test:${listen},known.test:${port}`;
  const flags = [endpoints, `--listen-addr=127.0.0.1:${listen}`, "--retry-delay=100ms"];
  const gateway = await launch("ours", flags, hosts);
  const message = "endpoint is the gateway itself; it is never dialled";
  expect(gateway.lines(message)).toEqual([]);
  await gateway.logged(message, undefined, PATIENCE_MS);
  expect(await shares(listen, 6)).toEqual({ "127.0.0.3": 6 });
  await until(() => server.count > 12, "it was looked up again and again");
  expect(gateway.lines(message)).toHaveLength(1);
  expect(gateway.status).toBeUndefined();
});

describe("the search list", () => {
  const zone: Zone = {
    hosts: { "m1.prod.svc.test": ["127.0.0.2"] },
    srv: [{ name: "_etcd-client._tcp.etcd.prod.svc.test", target: "m1.prod.svc.test", port }],
  };

  test.each(["ours", "etcd"] as const)("%s goes through it for --discovery-srv", async (kind) => {
    const { host } = await sound(zone);
    const hosts = await machine({
      resolv: `nameserver ${host}\nsearch other.test prod.svc.test\n`,
    });
    const gateway = await launch(kind, ["--discovery-srv=etcd", "--insecure-discovery"], hosts);
    expect([gateway.status, gateway.stderr]).toEqual([undefined, gateway.stderr]);
    expect(await greeting(gateway.port)).toBe("127.0.0.2");
  });

  test("is not used with --discovery-servers", async () => {
    const { address } = closers.add(await DnsServer.start(zone));
    const hosts = await machine({ resolv: "search prod.svc.test\n" });
    const flags = [
      "--discovery-srv=etcd",
      "--insecure-discovery",
      `--discovery-servers=${address}`,
    ];
    const gateway = await launch("ours", flags, hosts);
    expect(gateway.status).toBe(1);
  });
});

describe("resolv.conf", () => {
  test("that changes is followed", async () => {
    const [first, second] = [
      await sound({ hosts: { "m.a.test": ["127.0.0.1"] } }),
      await sound({ hosts: { "m.a.test": ["127.0.0.2"] } }),
    ];
    const hosts = await machine({ resolv: `nameserver ${first.host}\n` });
    const gateway = await launch("ours", [`--endpoints=m.a.test:${port}`], hosts);
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    hosts.writeResolv(`nameserver ${second.host}\n`);
    let last = "";
    for (const start = performance.now(); last !== "127.0.0.2";) {
      if (performance.now() - start > PATIENCE_MS) throw new Error("it was not followed");
      last = await greeting(gateway.port);
      await Bun.sleep(100);
    }
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

  test("is followed where it is shorter than --discovery-refresh-interval", async () => {
    const { dns, gateway } = await follow(1, "1h");
    await dns.change(zoneAt("127.0.0.2", 1));
    await gateway.logged("endpoints changed", undefined, PATIENCE_MS);
    expect(await greeting(gateway.port)).toBe("127.0.0.2");
  });

  test("of 0 does not make it spin", async () => {
    const { count } = await follow(0, "1h");
    const start = performance.now();
    const before = count();
    await until(() => count() >= before + 3, "it looked three times", PATIENCE_MS);
    expect(performance.now() - start).toBeGreaterThan(1900);
  });

  test("does not delay a refresh beyond the interval", async () => {
    const { count } = await follow(3600, "200ms");
    await until(() => count() >= 4, "it looked four times", PATIENCE_MS);
  });
});

test("sources that only the C library knows are asked of it, for the names that may be theirs", async () => {
  const fine = await sound({ hosts: { "m.a.test": ["127.0.0.3"] } });
  const nsswitch = "hosts: files mdns4_minimal [NOTFOUND=return] dns\n";
  const hosts = await machine({ resolv: `nameserver ${fine.host}\n`, nsswitch });
  const locals = Array.from({ length: 8 }, (_, i) => `printer${i}.local:${port}`);
  const gateway = await launch(
    "ours",
    [`--endpoints=${[...locals, `m.a.test:${port}`].join()}`],
    hosts,
  );
  expect(await greeting(gateway.port)).toBe("127.0.0.3");
});

test("the C library finds a name where nsswitch.conf has a source that it alone knows", async () => {
  const { host, server } = await sound({ hosts: { "m.a.test": ["127.0.0.2"] } });
  const nsswitch = "hosts: files resolve [!UNAVAIL=return] dns\n";
  const hosts = await machine({ resolv: `nameserver ${host}\n`, nsswitch }, "127.0.0.1 known.test");
  const endpoints = `--endpoints=known.test:${port},m.a.test:${port}`;
  const gateway = await launch("ours", [endpoints], hosts);
  expect(await shares(gateway.port, 4)).toEqual({ "127.0.0.1": 2, "127.0.0.2": 2 });
  expect(server.questions).toContain("A m.a.test");
});
