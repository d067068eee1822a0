import { describe, expect, test } from "bun:test";
import { BufferLimit, type BufferHolder } from "../../src/net/buffer-limit.ts";
import { ManualClock } from "../support/manual-clock.ts";

class FakeRelay implements BufferHolder {
  acknowledged: number | undefined = 0;
  isTerminated = false;

  constructor(public bufferedBytes: number) {}

  progress = () => this.acknowledged;

  terminate = () => {
    this.isTerminated = true;
  };
}

function setUp(sizes: readonly number[], limitBytes = 100) {
  const clock = new ManualClock();
  const relays = sizes.map((size) => new FakeRelay(size));
  const resets: [relays: number, bufferedBytes: number][] = [];
  const bufferLimit = new BufferLimit<FakeRelay>(clock, {
    keys: () => relays.filter((relay) => !relay.isTerminated).values(),
  });
  bufferLimit.start(limitBytes, {
    holdersEnded: (count, bufferedBytes) => {
      resets.push([count, bufferedBytes]);
    },
  });
  for (const size of sizes) bufferLimit.add(size);

  const terminated = () => relays.map((relay) => relay.isTerminated);
  return { clock, relays, resets, bufferLimit, terminated };
}

describe("BufferLimit", () => {
  test("add() starts no timer below half of the limit, or without a limit", () => {
    expect(setUp([25, 25]).clock.pending).toBe(0);
    expect(setUp([25, 26]).clock.pending).toBe(1);
    expect(setUp([1000], 0).clock.pending).toBe(0);
  });

  test("resets no relay while the total does not exceed the limit", () => {
    const { clock, terminated } = setUp([50, 50]);
    clock.advance(60_000);
    expect(terminated()).toEqual([false, false]);
  });

  test("resets the relays with the largest buffers until the rest fits, after 16 checks", () => {
    const { clock, terminated, resets } = setUp([20, 60, 40, 10]);
    clock.advance(15_999);
    expect(terminated()).toEqual([false, false, false, false]);
    clock.advance(1);
    expect(terminated()).toEqual([false, true, false, false]);
    expect(resets).toEqual([[1, 130]]);
  });

  test("spares a relay whose peer acknowledges a byte between two checks, whatever its buffer", () => {
    const { clock, relays, terminated } = setUp([90, 20]);
    for (let check = 0; check < 20; check++) {
      relays[0]!.acknowledged!++;
      clock.advance(1000);
    }
    expect(terminated()).toEqual([false, true]);
  });

  test("spares a relay whose progress() is undefined", () => {
    const { clock, relays, terminated } = setUp([90, 20]);
    relays[0]!.acknowledged = undefined;
    clock.advance(20_000);
    expect(terminated()).toEqual([false, true]);
  });

  test("progress restarts the count of checks", () => {
    const { clock, relays, terminated } = setUp([120]);
    clock.advance(15_000);
    relays[0]!.acknowledged!++;
    clock.advance(15_000);
    expect(terminated()).toEqual([false]);
    clock.advance(1000);
    expect(terminated()).toEqual([true]);
  });

  test("resets no relay after a reload has removed the limit", () => {
    const { clock, terminated, bufferLimit } = setUp([45, 45]);
    clock.advance(20_000);
    bufferLimit.setLimit(0);
    clock.advance(20_000);
    expect([terminated(), clock.pending]).toEqual([[false, false], 0]);
  });

  test("stops checking below half of the limit, and starts again above it", () => {
    const { clock, bufferLimit } = setUp([60]);
    bufferLimit.add(-20);
    clock.advance(1000);
    expect(clock.pending).toBe(0);
    bufferLimit.add(20);
    expect(clock.pending).toBe(1);
    bufferLimit.close();
    bufferLimit.close();
    expect(clock.pending).toBe(0);
  });
});
