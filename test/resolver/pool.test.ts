import { describe, expect, test } from "bun:test";
import { type EndpointSpec, parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import type { Policy } from "../../src/core/gateway-config.ts";
import type { Endpoint } from "../../src/resolver/endpoint.ts";
import { Pool } from "../../src/resolver/pool.ts";

type Ranked = [host: string, priority: number, weight: number];

const specOf = (host: string, priority = 0, weight = 0): EndpointSpec => ({
  ...parseStaticEndpoint(`${host}:1`),
  priority,
  weight,
});

function ranked(specs: readonly Ranked[], policy: Policy = "round-robin"): Pool {
  const pool = new Pool(policy);
  pool.reconcile(specs.map(([host, priority, weight]) => specOf(host, priority, weight)));
  return pool;
}

const poolOf = (...hosts: string[]) => ranked(hosts.map((host): Ranked => [host, 0, 0]));
const endpointOf = (pool: Pool, host: string) =>
  pool.endpoints.find(({ address }) => address.host === host)!;
const labels = (endpoints: readonly Endpoint[]) => endpoints.map(({ label }) => label);
const none: ReadonlySet<Endpoint> = new Set();

function countPicks(pool: Pool, picks: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < picks; i++) {
    const { host } = pool.pick(none)!.address;
    counts[host] = (counts[host] ?? 0) + 1;
  }
  return counts;
}

describe("pick() by round-robin", () => {
  test("goes round in the order given", () => {
    const pool = poolOf("a", "b", "c");
    const picked = Array.from({ length: 7 }, () => pool.pick(none)!.address.host);
    expect(picked.join("")).toBe("abcabca");
  });

  test("shares a down endpoint's turns among all others, not to its neighbour", () => {
    const pool = poolOf("a", "b", "c");
    pool.setUp(endpointOf(pool, "a"), false, { at: 0 });
    expect(countPicks(pool, 300)).toEqual({ b: 150, c: 150 });
  });

  test("passes over what was tried, up to nothing left", () => {
    const pool = poolOf("a", "b");
    const [a, b] = pool.endpoints as [Endpoint, Endpoint];
    expect(pool.pick(new Set([a]))).toBe(b);
    expect(pool.pick(new Set([a]))).toBe(b);
    expect(pool.pick(new Set([a, b]))).toBeUndefined();
  });

  test("is undefined when nothing is up, and recovers", () => {
    const pool = poolOf("a");
    const [a] = pool.endpoints as [Endpoint];
    pool.setUp(a, false, { at: 0 });
    expect([pool.pick(none), pool.hasUp]).toEqual([undefined, false]);
    pool.setUp(a, true, { at: 0 });
    expect([pool.pick(none), pool.hasUp]).toEqual([a, true]);
  });

  // RFC 2782: shares over full periods, exact.
  test.each<[specs: Ranked[], picks: number, counts: Record<string, number>]>([
    [
      [
        ["a", 0, 1],
        ["b", 0, 1],
      ],
      400,
      { a: 200, b: 200 },
    ],
    [
      [
        ["a", 0, 3],
        ["b", 0, 1],
      ],
      400,
      { a: 300, b: 100 },
    ],
    [
      [
        ["a", 0, 0],
        ["b", 0, 10],
      ],
      1100,
      { a: 100, b: 1000 },
    ],
    [
      [
        ["a", 0, 0],
        ["b", 0, 0],
        ["c", 0, 10],
      ],
      2200,
      { a: 100, b: 100, c: 2000 },
    ],
    [
      [
        ["a", 0, 0],
        ["b", 0, 0],
        ["c", 0, 0],
      ],
      300,
      { a: 100, b: 100, c: 100 },
    ],
    [
      [
        ["a", 0, 60],
        ["b", 0, 20],
        ["c", 0, 10],
        ["d", 0, 10],
      ],
      1000,
      { a: 600, b: 200, c: 100, d: 100 },
    ],
    [
      [
        ["a", 0, 65_535],
        ["b", 0, 65_535],
      ],
      400,
      { a: 200, b: 200 },
    ],
    [
      [
        ["a", 0, 5],
        ["b", 10, 5],
      ],
      100,
      { a: 100 },
    ],
    [
      [
        ["a", 10, 0],
        ["b", 0, 0],
      ],
      100,
      { b: 100 },
    ],
    [
      [
        ["a", 10, 100],
        ["b", 10, 0],
        ["c", 1, 1],
        ["d", 1, 1],
      ],
      100,
      { c: 50, d: 50 },
    ],
  ])("of %j in %i picks is %j", (specs, picks, counts) => {
    expect(countPicks(ranked(specs), picks)).toEqual(counts);
  });

  test("spreads a heavy endpoint's turns instead of giving them in a row", () => {
    const pool = ranked([
      ["a", 0, 5],
      ["b", 0, 1],
      ["c", 0, 1],
    ]);
    const picked = Array.from({ length: 7 }, () => pool.pick(none)!.address.host);
    expect(picked.join("")).toBe("aabacaa"); // nginx' own example
  });

  test("never returns a worse priority while a better one is up", () => {
    const pool = ranked([
      ["a", 1, 1],
      ["b", 1, 1],
      ["c", 2, 100],
      ["d", 3, 0],
    ]);
    const down = (host: string) => pool.setUp(endpointOf(pool, host), false, { at: 0 });
    expect(countPicks(pool, 10)).toEqual({ a: 5, b: 5 });
    down("a");
    expect(countPicks(pool, 10)).toEqual({ b: 10 });
    down("b");
    expect(countPicks(pool, 10)).toEqual({ c: 10 });
    down("c");
    expect(countPicks(pool, 10)).toEqual({ d: 10 });
    pool.setUp(endpointOf(pool, "b"), true, { at: 0 });
    expect(countPicks(pool, 10)).toEqual({ b: 10 });
  });

  test("goes on to the next priority for a client that has tried the best one", () => {
    const pool = ranked([
      ["a", 1, 1],
      ["b", 2, 1],
    ]);
    expect(pool.pick(new Set([endpointOf(pool, "a")]))!.address.host).toBe("b");
  });
});

describe("pick() by least connections", () => {
  test("takes the one with the fewest, in turn among equals", () => {
    const pool = ranked(
      [
        ["a", 0, 0],
        ["b", 0, 0],
        ["c", 0, 0],
      ],
      "least-connections",
    );
    endpointOf(pool, "b").connections = 5;
    expect(countPicks(pool, 10)).toEqual({ a: 5, c: 5 });
  });

  test("fills an endpoint that has come back until all are level", () => {
    const pool = ranked(
      [
        ["a", 0, 0],
        ["b", 0, 0],
        ["c", 0, 0],
      ],
      "least-connections",
    );
    endpointOf(pool, "a").connections = 10;
    endpointOf(pool, "b").connections = 10;
    for (let i = 0; i < 13; i++) pool.pick(none)!.connections++;
    expect(pool.endpoints.map(({ connections }) => connections)).toEqual([11, 11, 11]);
  });

  test("measures connections against weight", () => {
    const pool = ranked(
      [
        ["a", 0, 3],
        ["b", 0, 1],
      ],
      "least-connections",
    );
    for (let i = 0; i < 400; i++) pool.pick(none)!.connections++;
    expect(pool.endpoints.map(({ connections }) => connections)).toEqual([300, 100]);
  });

  test("stays inside the best priority", () => {
    const pool = ranked(
      [
        ["a", 1, 0],
        ["b", 2, 0],
      ],
      "least-connections",
    );
    endpointOf(pool, "a").connections = 1000;
    expect(countPicks(pool, 10)).toEqual({ a: 10 });
  });

  test("may be switched on while it runs", () => {
    const pool = poolOf("a", "b");
    endpointOf(pool, "a").connections = 3;
    pool.policy = "least-connections";
    expect(countPicks(pool, 10)).toEqual({ b: 10 });
  });
});

describe("setUp()", () => {
  test("says whether it changed anything", () => {
    const pool = poolOf("a");
    const [a] = pool.endpoints as [Endpoint];
    expect(pool.setUp(a, true, { at: 0 })).toBe(false);
    expect(pool.setUp(a, false, { at: 0 })).toBe(true);
    expect(pool.setUp(a, false, { at: 0 })).toBe(false);
    expect(a.isUp).toBe(false);
  });

  test("does nothing for an endpoint that has left", () => {
    const pool = poolOf("a", "b");
    const a = endpointOf(pool, "a");
    pool.reconcile([specOf("b")]);
    expect([pool.setUp(a, false, { at: 0 }), pool.has(a)]).toEqual([false, false]);
  });
});

describe("reconcile()", () => {
  test("an address given twice counts once, with the better priority", () => {
    const pool = ranked([
      ["a", 5, 1],
      ["b", 5, 1],
      ["a", 2, 7],
    ]);
    expect(labels(pool.endpoints)).toEqual(["a:1", "b:1"]);
    expect(endpointOf(pool, "a").spec).toMatchObject({ priority: 2, weight: 7 });
  });

  test("of two equal records the first counts", () => {
    const pool = ranked([
      ["a", 1, 5],
      ["a", 1, 9],
    ]);
    expect(endpointOf(pool, "a").spec.weight).toBe(5);
  });

  test("says who came and who left, whatever the order of the answer", () => {
    const pool = poolOf("a", "b", "c");
    const { added, removed } = pool.reconcile(["d", "c", "a"].map((host) => specOf(host)));
    expect([labels(added), labels(removed)]).toEqual([["d:1"], ["b:1"]]);
    expect(labels(pool.endpoints)).toEqual(["a:1", "c:1", "d:1"]);
    const again = pool.reconcile(["a", "d", "c"].map((host) => specOf(host)));
    expect([again.added, again.removed]).toEqual([[], []]);
    expect(labels(pool.endpoints)).toEqual(["a:1", "c:1", "d:1"]);
  });

  test("keeps the state of an endpoint that stays, and takes its new rank", () => {
    const pool = poolOf("a", "b");
    const a = endpointOf(pool, "a");
    a.connections = 7;
    pool.setUp(a, false, { at: 0 });
    pool.reconcile([specOf("b", 1, 1), specOf("a", 0, 3)]);
    expect(endpointOf(pool, "a")).toBe(a);
    expect([a.isUp, a.connections, a.spec.weight]).toEqual([false, 7, 3]);
    expect(pool.pick(none)!.address.host).toBe("b");
    pool.setUp(a, true, { at: 0 });
    expect(pool.pick(none)).toBe(a);
  });

  test("takes back a former endpoint, which is up until it is found down", () => {
    const pool = poolOf("a", "b");
    const a = endpointOf(pool, "a");
    pool.setUp(a, false, { at: 0 });
    pool.reconcile([specOf("b")]);
    const { added } = pool.reconcile([specOf("a"), specOf("b")], (label) =>
      label === "a:1" ? a : undefined,
    );
    expect(added).toEqual([a]);
    expect([a.isUp, pool.has(a)]).toEqual([true, true]);
  });

  test("an endpoint that appears takes part at once, without a burst", () => {
    const pool = poolOf("a", "b");
    countPicks(pool, 101);
    pool.reconcile(["a", "b", "c"].map((host) => specOf(host)));
    expect(countPicks(pool, 300)).toEqual({ a: 100, b: 100, c: 100 });
  });

  test("the same set again does not begin the turns anew", () => {
    const pool = poolOf("a", "b", "c");
    const same = ["c", "b", "a"].map((host) => specOf(host));
    const picked = Array.from({ length: 6 }, () => {
      pool.reconcile(same);
      return pool.pick(none)!.address.host;
    });
    expect(picked.join("")).toBe("abcabc");
  });

  test("changed weights count from now on, whatever was earned by the old ones", () => {
    const pool = ranked([
      ["a", 0, 1000],
      ["b", 0, 1000],
      ["c", 0, 1000],
    ]);
    countPicks(pool, 100);
    pool.reconcile(["a", "b", "c"].map((host) => specOf(host, 0, 1)));
    expect(countPicks(pool, 900)).toEqual({ a: 300, b: 300, c: 300 });
  });

  test("a heavy endpoint that leaves, or goes down, leaves no debt behind", () => {
    const pool = ranked([
      ["a", 0, 65_535],
      ["b", 0, 0],
      ["c", 0, 0],
    ]);
    countPicks(pool, 10);
    pool.setUp(endpointOf(pool, "a"), false, { at: 0 });
    expect(countPicks(pool, 100)).toEqual({ b: 50, c: 50 });
    pool.setUp(endpointOf(pool, "a"), true, { at: 0 });
    countPicks(pool, 10);
    pool.reconcile([specOf("b"), specOf("c")]);
    expect(countPicks(pool, 100)).toEqual({ b: 50, c: 50 });
  });

  test("64 endpoints share evenly", () => {
    const pool = poolOf(...Array.from({ length: 64 }, (_, i) => `m${i}`));
    expect(Object.values(countPicks(pool, 640))).toEqual(Array(64).fill(10));
  });
});
