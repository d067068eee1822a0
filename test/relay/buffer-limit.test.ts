import { describe, expect, test } from "bun:test";
import { BufferLimit, type Holder } from "../../src/relay/buffer-limit.ts";
import { ManualClock } from "../support/manual-clock.ts";

class FakeRelay implements Holder {
  moved: number | undefined = 0;
  isTerminated = false;
  constructor(public bufferedBytes: number) {}
  progress = () => this.moved;
  terminate = () => {
    this.isTerminated = true;
  };
}

function setUp(sizes: readonly number[], limitBytes = 100) {
  const clock = new ManualClock();
  const relays = sizes.map((size) => new FakeRelay(size));
  const limit = { bytes: limitBytes };
  const resets: [relays: number, bufferedBytes: number][] = [];
  const memory = new BufferLimit<FakeRelay>({
    clock,
    relays: () => relays.filter((relay) => !relay.isTerminated),
    limitBytes: () => limit.bytes,
    onReset: (count, bufferedBytes) => {
      resets.push([count, bufferedBytes]);
    },
  });
  for (const size of sizes) memory.add(size);
  return { clock, relays, resets, memory, limit, ended: () => relays.map((r) => r.isTerminated) };
}

describe("BufferLimit", () => {
  test("has no timer below half of its limit, nor without a limit", () => {
    expect(setUp([25, 25]).clock.pending).toBe(0);
    expect(setUp([25, 26]).clock.pending).toBe(1);
    expect(setUp([1000], 0).clock.pending).toBe(0);
  });

  test("resets nobody while no more than the limit is held", () => {
    const { clock, ended } = setUp([50, 50]);
    clock.advance(60_000);
    expect(ended()).toEqual([false, false]);
  });

  test("resets those that hold most, as many as it takes, after 16 looks", () => {
    const { clock, ended, resets } = setUp([20, 60, 40, 10]);
    clock.advance(15_999);
    expect(ended()).toEqual([false, false, false, false]);
    clock.advance(1);
    expect(ended()).toEqual([false, true, false, false]);
    expect(resets).toEqual([[1, 130]]);
  });

  test("spares who moves a byte between two looks, however much he holds", () => {
    const { clock, relays, ended } = setUp([90, 20]);
    for (let look = 0; look < 20; look++) {
      relays[0]!.moved!++;
      clock.advance(1000);
    }
    expect(ended()).toEqual([false, true]);
  });

  test("spares who owes nothing that could be read", () => {
    const { clock, relays, ended } = setUp([90, 20]);
    relays[0]!.moved = undefined;
    clock.advance(20_000);
    expect(ended()).toEqual([false, true]);
  });

  test("a standstill counts anew when it was interrupted", () => {
    const { clock, relays, ended } = setUp([120]);
    clock.advance(15_000);
    relays[0]!.moved!++;
    clock.advance(15_000);
    expect(ended()).toEqual([false]);
    clock.advance(1000);
    expect(ended()).toEqual([true]);
  });

  test("a reload to no limit resets nobody", () => {
    const { clock, ended, limit } = setUp([45, 45]);
    clock.advance(20_000);
    limit.bytes = 0;
    clock.advance(20_000);
    expect([ended(), clock.pending]).toEqual([[false, false], 0]);
  });

  test("stops looking when little is held, and begins again", () => {
    const { clock, memory } = setUp([60]);
    memory.add(-20);
    clock.advance(1000);
    expect(clock.pending).toBe(0);
    memory.add(20);
    expect(clock.pending).toBe(1);
    memory.close();
    memory.close();
    expect(clock.pending).toBe(0);
  });
});
