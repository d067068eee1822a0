import { describe, expect, test } from "bun:test";
import { type Endpoint, Pool } from "../../src/resolver/pool.ts";

const poolOf = (...hosts: string[]) => new Pool(hosts.map((host) => ({ host, port: 1 })));
const none: ReadonlySet<Endpoint> = new Set();

function countPicks(pool: Pool, picks: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let i = 0; i < picks; i++) {
    const { host } = pool.pick(none)!.address;
    counts[host] = (counts[host] ?? 0) + 1;
  }
  return counts;
}

describe("Pool", () => {
  test("pick() goes round in the order given", () => {
    const pool = poolOf("a", "b", "c");
    const picked = Array.from({ length: 7 }, () => pool.pick(none)!.address.host);
    expect(picked.join("")).toBe("abcabca");
  });

  test("pick() gives every endpoint exactly its share", () => {
    expect(countPicks(poolOf("a", "b", "c"), 300)).toEqual({ a: 100, b: 100, c: 100 });
  });

  test("pick() shares a down endpoint's turns among all others, not to its neighbour", () => {
    const pool = poolOf("a", "b", "c");
    pool.setUp(pool.endpoints[0]!, false);
    expect(countPicks(pool, 300)).toEqual({ b: 150, c: 150 });
  });

  test("pick() passes over what was tried, up to nothing left", () => {
    const pool = poolOf("a", "b");
    const [a, b] = pool.endpoints as [Endpoint, Endpoint];
    expect(pool.pick(new Set([a]))).toBe(b);
    expect(pool.pick(new Set([a]))).toBe(b);
    expect(pool.pick(new Set([a, b]))).toBeUndefined();
  });

  test("pick() is undefined when nothing is up, and recovers", () => {
    const pool = poolOf("a");
    const [a] = pool.endpoints as [Endpoint];
    pool.setUp(a, false);
    expect(pool.pick(none)).toBeUndefined();
    pool.setUp(a, true);
    expect(pool.pick(none)).toBe(a);
  });

  test("setUp() says whether it changed anything", () => {
    const pool = poolOf("a");
    const [a] = pool.endpoints as [Endpoint];
    expect(pool.setUp(a, true)).toBe(false);
    expect(pool.setUp(a, false)).toBe(true);
    expect(pool.setUp(a, false)).toBe(false);
    expect(a.isUp).toBe(false);
  });

  test("an address given twice counts once", () => {
    expect(poolOf("a", "b", "a").endpoints.map(({ label }) => label)).toEqual(["a:1", "b:1"]);
  });
});
