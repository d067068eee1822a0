// When discovery looks, and what it keeps when looking fails. Time and the
// answers are the test's; the real DNS and etcd are in test/e2e.
import { describe, expect, test } from "bun:test";
import { type EndpointSpec, labelOf, parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import type { GatewayConfig } from "../../src/core/gateway-config.ts";
import { Discovery, type DiscoveryIo } from "../../src/resolver/discovery.ts";
import type { DiscoveryEvents } from "../../src/resolver/discovery-events.ts";
import {
  EndpointVerifier,
  type VerifierEvents,
  type Verify,
} from "../../src/resolver/endpoint-verifier.ts";
import { Endpoint } from "../../src/resolver/endpoint.ts";
import { MemberList } from "../../src/resolver/member-list.ts";
import { DnsCache } from "../../src/resolver/dns-cache.ts";
import { type SrvRecord, SrvSource } from "../../src/resolver/srv.ts";
import { LocalGateway } from "../support/local-gateway.ts";
import { ManualClock } from "../support/manual-clock.ts";

const srv = { domain: "a.test", name: undefined, isInsecure: true };
const secure = { ...srv, isInsecure: false };
const REFRESH = 30_000;
const SYNC = 60_000;

interface World {
  /** Hosts of the plain and of the -ssl service; undefined: no such name; a text: an error. */
  plain?: readonly (string | SrvRecord)[] | string | undefined;
  ssl?: readonly (string | SrvRecord)[] | string | undefined;
  /** Client URLs; undefined: no member answers. */
  members?: string[] | undefined;
  /** What DNS waits for before it answers. */
  gate?: Promise<void> | undefined;
  /** Hosts whose certificate is wrong. */
  untrusted: Set<string>;
  /** Hosts that refuse a connection that is only probed. */
  unreachable: Set<string>;
  /** Hosts of endpoints that are down, and do not answer. */
  down: Set<string>;
}

function setUp(changed: Partial<GatewayConfig>) {
  const clock = new ManualClock();
  const world: World = { untrusted: new Set(), unreachable: new Set(), down: new Set() };
  const log: string[] = [];
  const reasons: string[] = [];
  const published: string[][] = [];
  const specs: EndpointSpec[][] = [];
  const asked = { srv: 0, members: [] as string[], probes: [] as string[] };
  const endpointOf = (spec: EndpointSpec) => {
    const endpoint = new Endpoint(spec);
    endpoint.isUp = !world.down.has(endpoint.address.host);
    return endpoint;
  };
  const isSelf = () => false;
  const names = new DnsCache(() => Promise.reject(new Error("no names here")), clock);
  const config = (more: Partial<GatewayConfig>): GatewayConfig => ({
    ...new LocalGateway([]).config,
    discoveryRefreshMs: REFRESH,
    ...changed,
    ...more,
  });
  const tell = (what: string, found: readonly EndpointSpec[]) =>
    log.push(`${what} ${found.map(labelOf).join()}`);
  const pool = {
    get endpoints() {
      return (specs.at(-1) ?? []).map(endpointOf);
    },
  };
  const verify: Verify = ({ host }) =>
    world.untrusted.has(host)
      ? Promise.reject(Object.assign(new Error("no"), { code: "CERT_HAS_EXPIRED" }))
      : Promise.resolve();
  const io: DiscoveryIo = {
    srv: new SrvSource(async (name) => {
      asked.srv++;
      await world.gate;
      const answer = name.includes("-ssl") ? world.ssl : world.plain;
      if (Array.isArray(answer)) return answer.map(recordOf);
      throw Object.assign(new Error("no"), { code: answer ?? "ENOTFOUND" });
    }),
    members: new MemberList(names, isSelf, clock, (_, address) => {
      asked.members.push(address);
      if (world.members === undefined || world.down.has(address))
        return Promise.reject(Object.assign(new Error("no"), { code: "ECONNREFUSED" }));
      const body = JSON.stringify({ members: [{ clientURLs: world.members }] });
      return Promise.resolve({ status: 200, body });
    }),
    createVerifier: () => new EndpointVerifier(names, isSelf, verify, clock),
    dialer: {
      probe: ({ address: { host } }, done) => {
        asked.probes.push(host);
        done(world.unreachable.has(host) ? new Error("no route") : undefined);
        return () => {};
      },
    },
  };
  const events: DiscoveryEvents & VerifierEvents = {
    rejected: (spec, why) => log.push(`rejected ${labelOf(spec)}: ${why}`),
    unresolved: (spec) => log.push(`unresolved ${labelOf(spec)}`),
    discovered: (_, found) => tell("discovered", found),
    dropped: (_, found) => tell("dropped", found),
    validated: (_, found) => tell("validated", found),
    failed: (source, { message }) => {
      log.push(`${source} failed`);
      reasons.push(message);
    },
    recovered: (source) => log.push(`${source} recovered`),
    fellBack: (_, found) => tell("fell back", found),
  };
  const discovery = new Discovery(config({}), io, pool, clock);
  const start = () =>
    discovery.start(events, (found) => {
      specs.push([...found]);
      published.push(found.map(labelOf));
    });
  const now = () => published.at(-1);
  /** Advances the clock and lets the work of its timers finish. */
  const after = async (ms: number) => {
    clock.advance(ms);
    for (let i = 0; i < 50; i++) await Promise.resolve();
  };
  /** Begins a refresh that waits for DNS; the returned function lets it finish. */
  const beginRefresh = async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    world.gate = promise;
    const refresh = discovery.refresh();
    await after(0);
    world.gate = undefined;
    return () => {
      resolve();
      return refresh;
    };
  };
  return {
    ...{
      start,
      clock,
      world,
      log,
      reasons,
      published,
      specs,
      asked,
      discovery,
      config,
      now,
      after,
    },
    beginRefresh,
  };
}

function recordOf(host: string | SrvRecord): SrvRecord {
  return typeof host === "string" ? { name: host, port: 1, priority: 0, weight: 0 } : host;
}

const staticEndpoints = (...texts: string[]) => texts.map(parseStaticEndpoint);

describe("static endpoints", () => {
  test("are published once, and nothing is looked up", async () => {
    const { discovery, start, clock, now, asked } = setUp({
      endpoints: staticEndpoints("10.0.0.1:1"),
    });
    await start();
    discovery.follow();
    await discovery.refresh();
    expect(now()).toEqual(["10.0.0.1:1"]);
    expect([discovery.hasDiscovery, asked.srv, clock.pending]).toEqual([false, 0, 0]);
  });
});

describe("SRV discovery", () => {
  test("queries SRV at each interval and publishes the endpoints", async () => {
    const { discovery, start, world, log, now, after } = setUp({ srv });
    world.plain = ["10.0.0.1"];
    await start();
    discovery.follow();
    world.plain = ["10.0.0.2", "10.0.0.1"];
    await after(REFRESH - 1);
    expect(now()).toEqual(["10.0.0.1:1"]);
    await after(1);
    expect(now()).toEqual(["10.0.0.2:1", "10.0.0.1:1"]);
    world.plain = ["10.0.0.3"];
    await after(REFRESH);
    expect(now()).toEqual(["10.0.0.3:1"]);
    expect(log).toEqual([
      "discovered 10.0.0.1:1",
      "discovered 10.0.0.2:1,10.0.0.1:1",
      "discovered 10.0.0.3:1",
    ]);
  });

  test.each<[ttlSeconds: number | undefined, dueMs: number]>([
    [undefined, REFRESH],
    [3600, REFRESH],
    [30, REFRESH],
    [7, 7000],
    [1, 1000],
    [0, 1000],
  ])("looks again when records of TTL %p expire, after %d ms", async (ttlSeconds, dueMs) => {
    const { discovery, start, world, asked, after } = setUp({ srv });
    const record = { name: "10.0.0.1", port: 1, priority: 0, weight: 0 };
    const long = { ...record, name: "10.0.0.2", ttlSeconds: 7200 };
    world.plain = [{ ...record, ...(ttlSeconds !== undefined && { ttlSeconds }) }, long];
    await start();
    discovery.follow();
    await after(dueMs - 1);
    expect(asked.srv).toBe(2);
    await after(1);
    expect(asked.srv).toBe(4);
    // What failed has no TTL: the interval counts.
    world.plain = "ESERVFAIL";
    await after(dueMs);
    const before = asked.srv;
    await after(REFRESH - 1);
    expect(asked.srv).toBe(before);
    await after(1);
    expect(asked.srv).toBe(before + 2);
  });

  test("with an interval of 0, queries SRV only at start, whatever the TTL", async () => {
    const { discovery, start, world, clock, after } = setUp({ srv, discoveryRefreshMs: 0 });
    world.plain = [{ name: "10.0.0.1", port: 1, priority: 0, weight: 0, ttlSeconds: 1 }];
    await start();
    discovery.follow();
    await after(0);
    expect(clock.pending).toBe(0);
  });

  test("logs nothing for the same answer in another order", async () => {
    const { discovery, start, world, log, after } = setUp({ srv });
    world.plain = ["10.0.0.1", "10.0.0.2"];
    await start();
    discovery.follow();
    world.plain = ["10.0.0.2", "10.0.0.1"];
    await after(REFRESH);
    expect(log).toHaveLength(1);
  });

  test.each([undefined, "ESERVFAIL", "ETIMEOUT"])(
    "keeps the last good set on %p, and says so once",
    async (failure) => {
      const { discovery, start, world, log, now, after } = setUp({ srv });
      world.plain = ["10.0.0.1"];
      await start();
      discovery.follow();
      world.plain = failure;
      for (let i = 0; i < 3; i++) await after(REFRESH);
      expect(now()).toEqual(["10.0.0.1:1"]);
      world.plain = ["10.0.0.2"];
      await after(REFRESH);
      expect(now()).toEqual(["10.0.0.2:1"]);
      expect(log.slice(1)).toEqual([
        "SRV discovery failed",
        "discovered 10.0.0.2:1",
        "SRV discovery recovered",
      ]);
    },
  );

  test("with an interval of 0, queries SRV only at start and on refresh()", async () => {
    const { discovery, start, clock, world, now, after } = setUp({ srv, discoveryRefreshMs: 0 });
    world.plain = ["10.0.0.1"];
    await start();
    discovery.follow();
    await after(0);
    expect(clock.pending).toBe(0);
    world.plain = ["10.0.0.2"];
    await discovery.refresh();
    expect(now()).toEqual(["10.0.0.2:1"]);
  });

  test("start() rejects when nothing is found and --endpoints names nothing", async () => {
    const { start, published } = setUp({ srv });
    await expect(start()).rejects.toThrow('--discovery-srv "a.test"');
    expect(published).toEqual([]);
  });

  test("start() falls back to --endpoints until SRV names endpoints", async () => {
    const endpoints = staticEndpoints("10.0.0.9:9");
    const { discovery, start, world, log, now, after } = setUp({ srv, endpoints });
    await start();
    discovery.follow();
    expect(now()).toEqual(["10.0.0.9:9"]);
    world.plain = ["10.0.0.1"];
    await after(REFRESH);
    expect(now()).toEqual(["10.0.0.1:1"]);
    world.plain = undefined;
    await after(REFRESH);
    expect(now()).toEqual(["10.0.0.1:1"]);
    expect(log).toEqual([
      "fell back 10.0.0.9:9",
      "discovered 10.0.0.1:1",
      "SRV discovery recovered",
      "SRV discovery failed",
    ]);
  });
});

describe("verification", () => {
  test("ignores the plain service and uses the endpoints that pass", async () => {
    const { start, world, log, now } = setUp({ srv: secure });
    world.plain = ["10.0.0.1"];
    world.ssl = ["10.0.0.2", "10.0.0.3"];
    world.untrusted.add("10.0.0.3");
    await start();
    expect(now()).toEqual(["10.0.0.2:1"]);
    expect(log).toEqual([
      "discovered 10.0.0.2:1,10.0.0.3:1,10.0.0.1:1",
      "dropped 10.0.0.1:1",
      "rejected 10.0.0.3:1: its certificate has expired",
      "validated 10.0.0.2:1",
    ]);
  });

  test("start() never uses an endpoint that fails verification", async () => {
    const { start, world, published } = setUp({ srv: secure });
    world.ssl = ["10.0.0.1"];
    world.untrusted.add("10.0.0.1");
    await expect(start()).rejects.toThrow("no endpoint passed");
    expect(published).toEqual([]);
  });

  test("adds an endpoint that passes at the next refresh", async () => {
    const { discovery, start, world, now, after } = setUp({ srv: secure });
    world.ssl = ["10.0.0.1", "10.0.0.2"];
    world.untrusted.add("10.0.0.2");
    await start();
    discovery.follow();
    world.untrusted.clear();
    await after(REFRESH);
    expect(now()).toEqual(["10.0.0.1:1", "10.0.0.2:1"]);
  });

  test("keeps the last verified endpoints when none of the new ones passes", async () => {
    const { discovery, start, world, log, now, after } = setUp({ srv: secure });
    world.ssl = ["10.0.0.1"];
    await start();
    discovery.follow();
    world.ssl = ["10.0.0.2"];
    world.untrusted.add("10.0.0.2");
    await after(REFRESH);
    expect(now()).toEqual(["10.0.0.1:1"]);
    expect(log.at(-1)).toBe("SRV discovery failed");
  });
});

describe("refresh()", () => {
  test("is shared by simultaneous callers, and does nothing right after a refresh", async () => {
    const { discovery, start, clock, world, asked } = setUp({ srv });
    world.plain = ["10.0.0.1"];
    await start();
    await Promise.all(Array.from({ length: 1000 }, () => discovery.refresh()));
    expect(asked.srv).toBe(4); // two names at start, two for all the thousand
    await discovery.refresh();
    expect(asked.srv).toBe(4);
    clock.advance(1000);
    await discovery.refresh();
    expect(asked.srv).toBe(6);
  });

  test("does nothing after close(), nor does a timer", async () => {
    const { discovery, start, clock, world, asked, after } = setUp({ srv, memberSyncMs: SYNC });
    world.plain = ["10.0.0.1"];
    await start();
    discovery.follow();
    await after(0);
    discovery.close();
    discovery.close();
    await discovery.refresh();
    expect([asked.srv, clock.pending]).toEqual([2, 0]);
  });
});

describe("the member list", () => {
  const endpoints = staticEndpoints("10.0.0.1:1");

  test("is queried at once, then at each interval, and replaces the seeds", async () => {
    const { discovery, start, world, asked, now, after } = setUp({ endpoints, memberSyncMs: SYNC });
    world.members = ["http://10.0.1.1:2379", "http://10.0.1.2:2379"];
    await start();
    expect(now()).toEqual(["10.0.0.1:1"]);
    discovery.follow();
    await after(0);
    expect(now()).toEqual(["10.0.1.1:2379", "10.0.1.2:2379"]);
    world.members = ["http://10.0.1.2:2379"];
    await after(SYNC);
    expect(now()).toEqual(["10.0.1.2:2379"]);
    expect(asked.members).toEqual(["10.0.0.1", "10.0.1.1"]);
  });

  test("keeps the last list while no member answers, and queries the seeds as well", async () => {
    const { discovery, start, world, asked, log, now, after } = setUp({
      endpoints,
      memberSyncMs: SYNC,
    });
    world.members = ["http://10.0.1.1:2379"];
    await start();
    discovery.follow();
    await after(0);
    world.members = undefined;
    await after(SYNC);
    await after(SYNC);
    expect(now()).toEqual(["10.0.1.1:2379"]);
    expect(asked.members).toEqual(["10.0.0.1", "10.0.1.1", "10.0.0.1", "10.0.1.1", "10.0.0.1"]);
    expect(log).toEqual(["member list failed"]);
  });

  test("is not probed when the endpoint that returned it is one of its members", async () => {
    const { discovery, start, world, asked, now, after } = setUp({ endpoints, memberSyncMs: SYNC });
    world.members = ["http://10.0.0.1:1", "http://10.0.0.2:1"];
    world.unreachable.add("10.0.0.1").add("10.0.0.2");
    await start();
    discovery.follow();
    await after(0);
    expect(now()).toEqual(["10.0.0.1:1", "10.0.0.2:1"]);
    expect(asked.probes).toEqual([]);
  });

  test("replaces nothing while none of its members can be reached, which is logged once", async () => {
    const { discovery, start, world, log, reasons, now, after } = setUp({
      endpoints,
      memberSyncMs: SYNC,
    });
    world.members = ["http://10.0.1.1:2379", "http://10.0.1.2:2379"];
    world.unreachable.add("10.0.1.1").add("10.0.1.2");
    await start();
    discovery.follow();
    await after(0);
    await after(SYNC);
    expect(now()).toEqual(["10.0.0.1:1"]);
    expect(log).toEqual(["member list failed"]);
    expect(reasons).toEqual([
      "no member can be reached at the address that it advertises (10.0.1.1:2379: no route; 10.0.1.2:2379: no route); set etcd's --advertise-client-urls to addresses that this machine reaches",
    ]);
    world.unreachable.delete("10.0.1.2");
    await after(SYNC);
    expect(now()).toEqual(["10.0.1.1:2379", "10.0.1.2:2379"]);
    expect(log).toEqual(["member list failed", "member list recovered"]);
  });

  test("is replaced by the seeds when its members are gone and a seed answers, and comes back", async () => {
    const { discovery, start, world, now, after } = setUp({ endpoints, memberSyncMs: SYNC });
    world.members = ["http://10.0.1.1:2379"];
    await start();
    discovery.follow();
    await after(0);
    expect(now()).toEqual(["10.0.1.1:2379"]);
    world.down.add("10.0.1.1");
    world.unreachable.add("10.0.1.1");
    await after(SYNC);
    expect(now()).toEqual(["10.0.0.1:1"]);
    world.down.clear();
    world.unreachable.clear();
    await after(SYNC);
    expect(now()).toEqual(["10.0.1.1:2379"]);
  });

  test("that changes to unreachable members leaves the members in use that still answer", async () => {
    const { discovery, start, world, now, after } = setUp({ endpoints, memberSyncMs: SYNC });
    world.members = ["http://10.0.1.1:2379"];
    await start();
    discovery.follow();
    await after(0);
    world.members = ["http://10.0.2.1:2379"];
    world.unreachable.add("10.0.2.1");
    await after(SYNC);
    expect(now()).toEqual(["10.0.1.1:2379"]);
  });

  test("is queried from members that are up, then the seeds, then members that are down", async () => {
    const { discovery, start, world, asked, after } = setUp({ endpoints, memberSyncMs: SYNC });
    world.members = ["http://10.0.1.1:2379", "http://10.0.1.2:2379"];
    await start();
    discovery.follow();
    await after(0);
    asked.members.length = 0;
    world.down.add("10.0.1.1");
    world.members = undefined;
    await after(SYNC);
    expect(asked.members).toEqual(["10.0.1.2", "10.0.0.1", "10.0.1.1"]);
  });

  test("inherits priority and weight from SRV; members that SRV does not name get the best", async () => {
    const { discovery, start, world, specs, after } = setUp({ srv, memberSyncMs: SYNC });
    world.plain = [
      { name: "10.0.0.1", port: 1, priority: 5, weight: 7 },
      { name: "10.0.0.2", port: 1, priority: 1, weight: 3 },
    ];
    world.members = ["http://10.0.0.1:1", "http://10.0.0.2:1", "http://10.0.0.3:1"];
    await start();
    discovery.follow();
    await after(0);
    expect(specs.at(-1)!.map(({ priority, weight }) => [priority, weight])).toEqual([
      [5, 7],
      [1, 3],
      [1, 7],
    ]);
  });

  test("inherits priority and weight by host and port, whatever the host's case", async () => {
    const { discovery, start, world, specs, after } = setUp({ srv, memberSyncMs: SYNC });
    world.plain = [
      { name: "10.0.0.1", port: 1, priority: 5, weight: 7 },
      { name: "10.0.0.1", port: 2, priority: 6, weight: 3 },
      { name: "m.test", port: 1, priority: 8, weight: 1 },
    ];
    world.members = ["http://10.0.0.1:2", "http://10.0.0.1:3", "http://M.test:1"];
    await start();
    discovery.follow();
    await after(0);
    expect(specs.at(-1)!.map(({ priority, weight }) => [priority, weight])).toEqual([
      [6, 3],
      [5, 7],
      [8, 1],
    ]);
  });

  test("must pass verification where SRV's must", async () => {
    const { discovery, start, world, now, after } = setUp({ srv: secure, memberSyncMs: SYNC });
    world.ssl = ["10.0.0.1"];
    world.members = ["https://10.0.0.1:1", "https://10.0.0.2:1"];
    world.untrusted.add("10.0.0.2");
    await start();
    discovery.follow();
    await after(0);
    expect(now()).toEqual(["10.0.0.1:1"]);
  });

  test("is queried only over TLS where SRV must be verified, whatever members advertise", async () => {
    const { discovery, start, world, specs, after } = setUp({ srv: secure, memberSyncMs: SYNC });
    world.ssl = ["10.0.0.1"];
    world.members = ["http://10.0.0.1:1", "http://10.0.0.2:1"];
    await start();
    discovery.follow();
    await after(0);
    expect(specs.at(-1)!.map(({ scheme }) => scheme)).toEqual(["https", "https"]);
  });

  test("is replaced by the seeds when no member passes verification any longer", async () => {
    const { discovery, start, world, config, now, after } = setUp({
      srv: secure,
      memberSyncMs: SYNC,
    });
    world.ssl = ["10.0.0.1"];
    world.members = ["https://10.0.0.2:1"];
    await start();
    discovery.follow();
    await after(0);
    expect(now()).toEqual(["10.0.0.2:1"]);
    world.untrusted.add("10.0.0.2");
    await discovery.reconfigure(config({}));
    expect(now()).toEqual(["10.0.0.1:1"]);
  });

  test("does not verify SRV's endpoints again", async () => {
    const { discovery, start, world, now, after } = setUp({ srv: secure, memberSyncMs: SYNC });
    world.ssl = ["10.0.0.1"];
    await start();
    discovery.follow();
    await after(0);
    world.untrusted.add("10.0.0.1");
    await after(SYNC);
    expect(now()).toEqual(["10.0.0.1:1"]);
  });
});

describe("reconfigure()", () => {
  test("queries the new endpoints, not those of the previous cluster", async () => {
    const { discovery, start, world, config, asked, now, after } = setUp({
      endpoints: staticEndpoints("10.0.0.1:1"),
      memberSyncMs: SYNC,
    });
    world.members = ["http://10.0.1.1:2379"];
    await start();
    discovery.follow();
    await after(0);
    world.members = ["http://10.0.2.1:2379"];
    await discovery.reconfigure(config({ endpoints: staticEndpoints("10.0.0.2:1") }));
    expect(asked.members).toEqual(["10.0.0.1", "10.0.0.2"]);
    expect(now()).toEqual(["10.0.2.1:2379"]);
  });

  test("keeps SRV's endpoints while a new domain names none", async () => {
    const { discovery, start, world, config, log, now } = setUp({ srv });
    world.plain = ["10.0.0.1"];
    await start();
    world.plain = undefined;
    await discovery.reconfigure(config({ srv: { ...srv, domain: "b.test" } }));
    expect(now()).toEqual(["10.0.0.1:1"]);
    expect(log.at(-1)).toBe("SRV discovery failed");
  });

  test("replaces the endpoints of --endpoints while SRV names nothing", async () => {
    const { discovery, start, config, now } = setUp({
      srv,
      endpoints: staticEndpoints("10.0.0.1:1"),
    });
    await start();
    await discovery.reconfigure(config({ endpoints: staticEndpoints("10.0.0.2:1") }));
    expect(now()).toEqual(["10.0.0.2:1"]);
  });

  test("keeps removed --endpoints while the SRV domain that replaces them names none", async () => {
    const { discovery, start, config, now } = setUp({ endpoints: staticEndpoints("10.0.0.1:1") });
    await start();
    await discovery.reconfigure(config({ srv, endpoints: [] }));
    expect(now()).toEqual(["10.0.0.1:1"]);
  });

  test("returns to --endpoints when SRV is no longer configured, and clears its timer", async () => {
    const { discovery, start, world, config, clock, now } = setUp({ srv });
    world.plain = ["10.0.0.1"];
    await start();
    discovery.follow();
    await discovery.reconfigure(
      config({ srv: undefined, endpoints: staticEndpoints("10.0.0.9:9") }),
    );
    expect([now(), clock.pending]).toEqual([["10.0.0.9:9"], 0]);
  });

  test("applies a new interval at once", async () => {
    const { discovery, start, world, config, now, after } = setUp({ srv, discoveryRefreshMs: 0 });
    world.plain = ["10.0.0.1"];
    await start();
    discovery.follow();
    await discovery.reconfigure(config({ discoveryRefreshMs: 100 }));
    world.plain = ["10.0.0.2"];
    await after(100);
    expect(now()).toEqual(["10.0.0.2:1"]);
  });

  test("is not undone by a refresh in progress", async () => {
    const endpoints = staticEndpoints("10.0.0.9:9");
    const { discovery, start, world, config, now, beginRefresh } = setUp({
      srv,
      memberSyncMs: SYNC,
    });
    world.plain = ["10.0.0.1"];
    world.members = ["http://10.0.0.2:1"];
    await start();
    const finishRefresh = await beginRefresh();
    await discovery.reconfigure(config({ srv: undefined, memberSyncMs: 0, endpoints }));
    expect(now()).toEqual(["10.0.0.9:9"]);
    await finishRefresh();
    expect(now()).toEqual(["10.0.0.9:9"]);
  });

  test("does not lose its verified addresses to a refresh in progress", async () => {
    const { discovery, start, world, config, now, after, beginRefresh } = setUp({ srv: secure });
    world.ssl = ["10.0.0.1"];
    await start();
    const finishRefresh = await beginRefresh();
    world.ssl = ["10.0.0.2"];
    await discovery.reconfigure(config({ srv: { ...secure, domain: "b.test" } }));
    world.ssl = ["10.0.0.1"];
    await finishRefresh();
    world.ssl = "ESERVFAIL";
    await after(2000);
    await discovery.refresh();
    expect(now()).toEqual(["10.0.0.2:1"]);
  });

  test("from insecure to secure drops every endpoint that is not verified", async () => {
    const { discovery, start, world, config, log, now } = setUp({ srv });
    world.plain = ["10.0.0.1"];
    await start();
    await discovery.reconfigure(config({ srv: secure }));
    expect(now()).toEqual([]);
    expect(log).toContain("SRV discovery failed");
    world.ssl = ["10.0.0.2"];
    await discovery.refresh();
    expect(now()).toEqual(["10.0.0.2:1"]);
  });

  test("drops an endpoint whose certificate fails now", async () => {
    const { discovery, start, world, config, now } = setUp({ srv: secure });
    world.ssl = ["10.0.0.1", "10.0.0.2"];
    await start();
    world.untrusted.add("10.0.0.1");
    await discovery.reconfigure(config({ srv: secure }));
    expect(now()).toEqual(["10.0.0.2:1"]);
  });
});
