import { describe, expect, test } from "bun:test";
import { type EndpointSpec, parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import type { Policy } from "../../src/core/gateway-config.ts";
import type { Endpoint } from "../../src/resolver/endpoint.ts";
import { Pool } from "../../src/resolver/pool.ts";

type Weighted = [host: string, priority: number, weight: number];

const specOf = (host: string, priority = 0, weight = 0): EndpointSpec => ({
  ...parseStaticEndpoint(`${host}:1`),
  priority,
  weight,
});

function weightedPool(specs: readonly Weighted[], policy: Policy = "round-robin"): Pool {
  const pool = new Pool(policy);
  pool.reconcile(specs.map(([host, priority, weight]) => specOf(host, priority, weight)));
  return pool;
}

const poolOf = (...hosts: string[]) => weightedPool(hosts.map((host): Weighted => [host, 0, 0]));
const endpointOf = (pool: Pool, host: string) =>
  pool.endpoints.find(({ address }) => address.host === host)!;
const labelsOf = (endpoints: readonly Endpoint[]) => endpoints.map(({ label }) => label);
const NONE: ReadonlySet<Endpoint> = new Set();

function countPicks(pool: Pool, picks: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < picks; i++) {
    const { host } = pool.pick(NONE)!.address;
    counts[host] = (counts[host] ?? 0) + 1;
  }
  return counts;
}

describe("pick() with round-robin", () => {
  test("takes the endpoints in turn, in the given order", () => {
    const pool = poolOf("a", "b", "c");
    const picked = Array.from({ length: 7 }, () => pool.pick(NONE)!.address.host);
    expect(picked.join("")).toBe("abcabca");
  });

  test("divides the share of an endpoint that is down among all others", () => {
    const pool = poolOf("a", "b", "c");
    pool.setUp(endpointOf(pool, "a"), false, { at: 0 });
    expect(countPicks(pool, 300)).toEqual({ b: 150, c: 150 });
  });

  test("skips endpoints that were tried, and is undefined when none is left", () => {
    const pool = poolOf("a", "b");
    const [a, b] = pool.endpoints as [Endpoint, Endpoint];
    expect(pool.pick(new Set([a]))).toBe(b);
    expect(pool.pick(new Set([a]))).toBe(b);
    expect(pool.pick(new Set([a, b]))).toBeUndefined();
  });

  test("is undefined while no endpoint is up", () => {
    const pool = poolOf("a");
    const [a] = pool.endpoints as [Endpoint];
    pool.setUp(a, false, { at: 0 });
    expect([pool.pick(NONE), pool.hasUp]).toEqual([undefined, false]);
    pool.setUp(a, true, { at: 0 });
    expect([pool.pick(NONE), pool.hasUp]).toEqual([a, true]);
  });

  // The shares of RFC 2782, which are exact over full periods.
  test.each<[specs: Weighted[], picks: number, counts: Record<string, number>]>([
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
  ])("over %j in %i picks returns %j", (specs, picks, counts) => {
    expect(countPicks(weightedPool(specs), picks)).toEqual(counts);
  });

  test("spreads the turns of an endpoint with a high weight", () => {
    const pool = weightedPool([
      ["a", 0, 5],
      ["b", 0, 1],
      ["c", 0, 1],
    ]);
    const picked = Array.from({ length: 7 }, () => pool.pick(NONE)!.address.host);
    expect(picked.join("")).toBe("aabacaa"); // the example of nginx
  });

  test("never returns a worse priority while a better one is up", () => {
    const pool = weightedPool([
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

  test("returns the next priority after every endpoint of the best one was tried", () => {
    const pool = weightedPool([
      ["a", 1, 1],
      ["b", 2, 1],
    ]);
    expect(pool.pick(new Set([endpointOf(pool, "a")]))!.address.host).toBe("b");
  });
});

describe("pick() with least-connections", () => {
  test("takes the endpoint with the fewest connections; equals take turns", () => {
    const pool = weightedPool(
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

  test("prefers an endpoint that has come back until all have the same number", () => {
    const pool = weightedPool(
      [
        ["a", 0, 0],
        ["b", 0, 0],
        ["c", 0, 0],
      ],
      "least-connections",
    );
    endpointOf(pool, "a").connections = 10;
    endpointOf(pool, "b").connections = 10;
    for (let i = 0; i < 13; i++) pool.pick(NONE)!.connections++;
    expect(pool.endpoints.map(({ connections }) => connections)).toEqual([11, 11, 11]);
  });

  test("divides connections by weight", () => {
    const pool = weightedPool(
      [
        ["a", 0, 3],
        ["b", 0, 1],
      ],
      "least-connections",
    );
    for (let i = 0; i < 400; i++) pool.pick(NONE)!.connections++;
    expect(pool.endpoints.map(({ connections }) => connections)).toEqual([300, 100]);
  });

  test("never leaves the best priority", () => {
    const pool = weightedPool(
      [
        ["a", 1, 0],
        ["b", 2, 0],
      ],
      "least-connections",
    );
    endpointOf(pool, "a").connections = 1000;
    expect(countPicks(pool, 10)).toEqual({ a: 10 });
  });

  test("applies as soon as the policy changes", () => {
    const pool = poolOf("a", "b");
    endpointOf(pool, "a").connections = 3;
    pool.policy = "least-connections";
    expect(countPicks(pool, 10)).toEqual({ b: 10 });
  });
});

describe("setUp()", () => {
  test("returns whether the state changed", () => {
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
  test("knows an endpoint whose host has changed its case, and keeps its label", () => {
    const pool = poolOf("A.test", "b.test");
    const [first] = pool.endpoints;
    const { added, removed } = pool.reconcile([
      specOf("a.TEST", 7),
      specOf("B.test"),
      specOf("b.test"),
    ]);
    expect([added, removed, labelsOf(pool.endpoints)]).toEqual([[], [], ["A.test:1", "b.test:1"]]);
    expect([pool.has(first!), first!.spec.priority]).toEqual([true, 7]);
  });

  test("merges specs with the same address, and the better priority counts", () => {
    const pool = weightedPool([
      ["a", 5, 1],
      ["b", 5, 1],
      ["a", 2, 7],
    ]);
    expect(labelsOf(pool.endpoints)).toEqual(["a:1", "b:1"]);
    expect(endpointOf(pool, "a").spec).toMatchObject({ priority: 2, weight: 7 });
  });

  test("takes the first of two specs with the same address and priority", () => {
    const pool = weightedPool([
      ["a", 1, 5],
      ["a", 1, 9],
    ]);
    expect(endpointOf(pool, "a").spec.weight).toBe(5);
  });

  test("returns the added and removed endpoints, regardless of the order of the specs", () => {
    const pool = poolOf("a", "b", "c");
    const { added, removed } = pool.reconcile(["d", "c", "a"].map((host) => specOf(host)));
    expect([labelsOf(added), labelsOf(removed)]).toEqual([["d:1"], ["b:1"]]);
    expect(labelsOf(pool.endpoints)).toEqual(["a:1", "c:1", "d:1"]);
    const again = pool.reconcile(["a", "d", "c"].map((host) => specOf(host)));
    expect([again.added, again.removed]).toEqual([[], []]);
    expect(labelsOf(pool.endpoints)).toEqual(["a:1", "c:1", "d:1"]);
  });

  test("keeps the state of an endpoint that stays, and applies its new priority and weight", () => {
    const pool = poolOf("a", "b");
    const a = endpointOf(pool, "a");
    a.connections = 7;
    pool.setUp(a, false, { at: 0 });
    pool.reconcile([specOf("b", 1, 1), specOf("a", 0, 3)]);
    expect(endpointOf(pool, "a")).toBe(a);
    expect([a.isUp, a.connections, a.spec.weight]).toEqual([false, 7, 3]);
    expect(pool.pick(NONE)!.address.host).toBe("b");
    pool.setUp(a, true, { at: 0 });
    expect(pool.pick(NONE)).toBe(a);
  });

  test("takes a reclaimed endpoint back, and marks it up", () => {
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

  test("gives a new endpoint its share at once, without a burst", () => {
    const pool = poolOf("a", "b");
    countPicks(pool, 101);
    pool.reconcile(["a", "b", "c"].map((host) => specOf(host)));
    expect(countPicks(pool, 300)).toEqual({ a: 100, b: 100, c: 100 });
  });

  test("does not restart the turns for the same set", () => {
    const pool = poolOf("a", "b", "c");
    const same = ["c", "b", "a"].map((host) => specOf(host));
    const picked = Array.from({ length: 6 }, () => {
      pool.reconcile(same);
      return pool.pick(NONE)!.address.host;
    });
    expect(picked.join("")).toBe("abcabc");
  });

  test("applies changed weights exactly, without credit from the old ones", () => {
    const pool = weightedPool([
      ["a", 0, 1000],
      ["b", 0, 1000],
      ["c", 0, 1000],
    ]);
    countPicks(pool, 100);
    pool.reconcile(["a", "b", "c"].map((host) => specOf(host, 0, 1)));
    expect(countPicks(pool, 900)).toEqual({ a: 300, b: 300, c: 300 });
  });

  test("keeps the shares of the others exact when an endpoint with a high weight leaves or goes down", () => {
    const pool = weightedPool([
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

  test("shares evenly among 64 endpoints", () => {
    const pool = poolOf(...Array.from({ length: 64 }, (_, i) => `m${i}`));
    expect(Object.values(countPicks(pool, 640))).toEqual(Array(64).fill(10));
  });
});
