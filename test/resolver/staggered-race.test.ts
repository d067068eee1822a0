import { describe, expect, test } from "bun:test";
import { staggeredRace } from "../../src/resolver/staggered-race.ts";
import { ManualClock } from "../support/manual-clock.ts";

function setUp(items: readonly string[]) {
  const clock = new ManualClock();
  const attempts = new Map<string, PromiseWithResolvers<string>>();
  const started: string[] = [];
  const outcome = staggeredRace(
    items,
    (item) => {
      started.push(item);
      const attempt = Promise.withResolvers<string>();
      attempts.set(item, attempt);
      return attempt.promise;
    },
    { clock, delayMs: 250 },
  );
  const settle = async (item: string, result: string | Error) => {
    if (result instanceof Error) attempts.get(item)!.reject(result);
    else attempts.get(item)!.resolve(result);
    for (let i = 0; i < 5; i++) await Promise.resolve();
  };
  return { clock, started, outcome, settle };
}

const refused = new Error("refused");

describe("staggeredRace()", () => {
  test("starts the next attempt as soon as one fails", async () => {
    const { clock, started, outcome, settle } = setUp(["a", "b", "c"]);
    await settle("a", refused);
    expect(started).toEqual(["a", "b"]);
    await settle("b", "yes");
    expect(await outcome).toEqual({ winner: "b", result: "yes" });
    expect([started, clock.pending]).toEqual([["a", "b"], 0]);
  });

  test("starts the next attempt after the delay, and the first success wins", async () => {
    const { clock, started, outcome, settle } = setUp(["a", "b", "c"]);
    clock.advance(249);
    expect(started).toEqual(["a"]);
    clock.advance(1);
    expect(started).toEqual(["a", "b"]);
    await settle("a", "late, but first");
    await settle("b", "later");
    expect(await outcome).toEqual({ winner: "a", result: "late, but first" });
    clock.advance(1000);
    expect([started, clock.pending]).toEqual([["a", "b"], 0]);
  });

  test("returns all failures in the order in which the attempts failed", async () => {
    const { clock, outcome, settle } = setUp(["a", "b"]);
    clock.advance(250);
    await settle("b", new Error("first"));
    await settle("a", refused);
    expect(await outcome).toEqual({
      winner: undefined,
      failures: [
        ["b", new Error("first")],
        ["a", refused],
      ],
    });
    expect(clock.pending).toBe(0);
  });

  test("returns no failures without items", async () => {
    const { outcome } = setUp([]);
    expect(await outcome).toEqual({ winner: undefined, failures: [] });
  });
});
