import { describe, expect, test } from "bun:test";
import { HedgeBudget, MAX_HEDGES, Race } from "../../src/net/race.ts";
import { ManualClock } from "../support/manual-clock.ts";

function setUp(maxAttempts?: number) {
  const clock = new ManualClock();
  const budget = new HedgeBudget();
  const aborted: string[] = [];
  const race = new Race<{ abort(): void }>({
    clock,
    budget,
    ...(maxAttempts !== undefined && { maxAttempts }),
  });
  const begin = (name: string) => {
    const attempt = { abort: () => aborted.push(name) };
    race.makeRoom();
    race.add(attempt);
    return attempt;
  };
  return { clock, budget, race, aborted, begin };
}

describe("Race", () => {
  test("takes a hedge for each attempt beyond the first, and gives it back", () => {
    const { budget, race, begin } = setUp();
    const first = begin("a");
    expect(budget.inUse).toBe(0);
    begin("b");
    begin("c");
    expect(budget.inUse).toBe(2);
    race.remove(first);
    expect(budget.inUse).toBe(1);
    race.abort();
    expect([budget.inUse, race.size]).toEqual([0, 0]);
  });

  test("remove() of an attempt that is no longer in the race changes nothing", () => {
    const { budget, race, begin } = setUp();
    const first = begin("a");
    begin("b");
    race.remove(first);
    race.remove(first);
    expect([budget.inUse, race.size]).toEqual([0, 1]);
  });

  test("makeRoom() aborts the oldest attempt at maxAttempts", () => {
    const { race, aborted, begin } = setUp(2);
    begin("a");
    begin("b");
    expect(aborted).toEqual([]);
    begin("c");
    expect([aborted, race.size]).toEqual([["a"], 2]);
  });

  test("makeRoom() aborts the oldest attempt when other races use every hedge", () => {
    const { budget, race, aborted, begin } = setUp();
    for (let i = 0; i < MAX_HEDGES; i++) budget.tryAcquire();
    begin("a");
    begin("b");
    expect([aborted, race.size, budget.inUse]).toEqual([["a"], 1, MAX_HEDGES]);
  });

  test("latest is the attempt that was added last, while any is in progress", () => {
    const { race, begin } = setUp();
    expect(race.latest).toBeUndefined();
    const first = begin("a");
    const second = begin("b");
    expect(race.latest).toBe(second);
    race.remove(first);
    race.remove(second);
    expect(race.latest).toBeUndefined();
  });

  test("after() replaces the timer, and abort() clears it", () => {
    const { clock, race } = setUp();
    const calls: string[] = [];
    race.after(10, () => calls.push("first"));
    race.after(20, () => calls.push("second"));
    clock.advance(20);
    race.after(10, () => calls.push("third"));
    race.abort();
    race.abort();
    clock.advance(100);
    expect([calls, clock.pending]).toEqual([["second"], 0]);
  });
});
