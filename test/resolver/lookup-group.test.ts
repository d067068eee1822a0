import { describe, expect, test } from "bun:test";
import { LookupGroup } from "../../src/resolver/lookup-group.ts";
import { type LookupResult, DnsCache } from "../../src/resolver/dns-cache.ts";
import { ManualClock } from "../support/manual-clock.ts";

function setUp() {
  const clock = new ManualClock();
  const lookups: Record<string, PromiseWithResolvers<readonly string[]>> = {};
  const names = new DnsCache((host) => {
    lookups[host] = Promise.withResolvers();
    return lookups[host].promise;
  }, clock);
  const found: Record<string, string> = {};
  let late = 0;
  const group = new LookupGroup(names, clock, () => late++);
  const find = (...hosts: string[]) => {
    for (const host of hosts)
      void group.find(host).then(({ addresses, error }: LookupResult) => {
        found[host] = addresses?.join() ?? error?.code ?? "?";
      });
  };
  return { clock, lookups, group, find, found, late: () => late };
}

const settle = async () => {
  for (let i = 0; i < 10; i++) await Promise.resolve();
};

describe("LookupGroup", () => {
  test("waits for all as long as none resolves", async () => {
    const { clock, find, found, lookups } = setUp();
    find("a", "b");
    clock.advance(60_000);
    await settle();
    expect([found, clock.pending]).toEqual([{}, 0]);
    lookups["a"]!.reject(Object.assign(new Error("no"), { code: "ETIMEOUT" }));
    await settle();
    clock.advance(60_000);
    expect(found).toEqual({ a: "ETIMEOUT" });
  });

  test("waits a second for the others once one has resolved", async () => {
    const { clock, find, found, lookups, late } = setUp();
    find("a", "b", "c");
    clock.advance(5000);
    lookups["a"]!.resolve(["10.0.0.1"]);
    await settle();
    clock.advance(999);
    lookups["b"]!.resolve(["10.0.0.2"]);
    await settle();
    expect([found, late()]).toEqual([{ a: "10.0.0.1", b: "10.0.0.2" }, 0]);
    clock.advance(1);
    await settle();
    expect([found["c"], late(), clock.pending]).toEqual(["ETIMEDOUT", 0, 0]);
  });

  test("calls onLate for a name that resolves after that, and not for one that fails", async () => {
    const { clock, find, lookups, late } = setUp();
    find("10.0.0.9", "a", "b");
    clock.advance(1000);
    lookups["a"]!.reject(new Error("no"));
    await settle();
    expect(late()).toBe(0);
    lookups["b"]!.resolve(["10.0.0.2"]);
    await settle();
    expect(late()).toBe(1);
  });

  test("close() leaves no timer", async () => {
    const { clock, find, found, group } = setUp();
    find("10.0.0.9");
    expect(clock.pending).toBe(1);
    group.close();
    group.close();
    await settle();
    expect([clock.pending, found]).toEqual([0, { "10.0.0.9": "10.0.0.9" }]);
  });
});
