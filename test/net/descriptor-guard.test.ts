import { describe, expect, test } from "bun:test";
import { DescriptorGuard } from "../../src/net/descriptor-guard.ts";
import { ManualClock } from "../support/manual-clock.ts";

function setUp() {
  const clock = new ManualClock();
  const world = { free: 10, failure: undefined as Error | undefined, gate: Promise.resolve() };
  const calls: string[] = [];
  const listener = {
    isOpen: true,
    suspend() {
      calls.push("suspend");
      this.isOpen = false;
    },
    async resume() {
      calls.push("resume");
      await world.gate;
      if (world.failure !== undefined) throw world.failure;
      this.isOpen = true;
    },
  };
  const guard = new DescriptorGuard(clock, (count) => world.free >= count);
  guard.watch(listener);
  const second = async () => {
    clock.advance(1000);
    for (let i = 0; i < 5; i++) await Promise.resolve();
  };
  return { clock, world, calls, guard, second };
}

describe("DescriptorGuard", () => {
  test("suspends the listener when no descriptor is free, and resumes it when three are", async () => {
    const { world, calls, second } = setUp();
    world.free = 1;
    await second();
    expect(calls).toEqual([]);
    world.free = 0;
    await second();
    expect(calls).toEqual(["suspend"]);
    world.free = 2;
    await second();
    expect(calls).toEqual(["suspend"]);
    world.free = 3;
    await second();
    expect(calls).toEqual(["suspend", "resume"]);
    await second();
    expect(calls).toHaveLength(2);
  });

  test("resumes again after a failure, and never while a resume is in progress", async () => {
    const { world, calls, second } = setUp();
    world.free = 0;
    await second();
    world.free = 3;
    world.failure = new Error("EADDRINUSE");
    const { promise, resolve } = Promise.withResolvers<void>();
    world.gate = promise;
    await second();
    await second();
    expect(calls).toEqual(["suspend", "resume"]);
    resolve();
    await second();
    await second();
    expect(calls.length).toBeGreaterThan(2);
    world.failure = undefined;
    await second();
    const { length } = calls;
    await second();
    expect(calls).toHaveLength(length);
  });

  test("close() stops checking, also twice", async () => {
    const { clock, world, calls, guard, second } = setUp();
    guard.close();
    guard.close();
    world.free = 0;
    await second();
    expect([calls, clock.pending]).toEqual([[], 0]);
  });
});
