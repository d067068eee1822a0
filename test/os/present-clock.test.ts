import { describe, expect, test } from "bun:test";
import { PresentClock } from "../../src/os/present-clock.ts";
import { ManualClock } from "../support/manual-clock.ts";

function scene() {
  const machine = new ManualClock();
  const clock = new PresentClock(machine);
  const fired: number[] = [];
  const after = (ms: number) => clock.after(ms, () => fired.push(machine.now()));
  return { machine, clock, fired, after };
}

describe("PresentClock", () => {
  test("after() fires on time while the process runs, and leaves no timer pending", () => {
    const { machine, fired, after } = scene();
    after(100);
    after(3000);
    after(60_000);
    machine.advance(70_000);
    expect(fired).toEqual([100, 3000, 60_000]);
    expect(machine.pending).toBe(0);
  });

  test("after() extends a timer that fell due during an absence by its lost time", () => {
    const { machine, fired, after } = scene();
    after(1000);
    machine.advance(700);
    machine.stop(600_000);
    machine.advance(999);
    expect(fired).toEqual([]);
    machine.advance(2);
    expect(fired).toHaveLength(1);
  });

  test("after() also extends a timer for an absence that ends before it is due", () => {
    const { machine, fired, after } = scene();
    after(3000);
    machine.advance(100);
    machine.stop(2800); // a tick was due after 500
    machine.advance(1000);
    expect(fired).toEqual([]);
    machine.advance(2000);
    expect(fired).toHaveLength(1);
  });

  test("after() extends no timer by more than five seconds", () => {
    const { machine, fired, after } = scene();
    after(3_600_000);
    machine.advance(1000);
    machine.stop(86_400_000);
    machine.advance(5001);
    expect(fired).toHaveLength(1);
  });

  test("after() fires a timer in spite of many absences in a row", () => {
    const { machine, fired, after } = scene();
    after(1000);
    for (let i = 0; i < 20; i++) {
      machine.stop(400);
      machine.advance(1);
    }
    expect(fired).toHaveLength(1);
  });

  test("after() can be cancelled before, during and after an extension", () => {
    const { machine, fired, after } = scene();
    const cancels = [after(100), after(200), after(300)];
    cancels[0]!();
    machine.stop(10_000);
    machine.advance(1);
    for (const cancel of cancels) cancel();
    machine.advance(60_000);
    expect(fired).toEqual([]);
    expect(machine.pending).toBe(0);
  });

  test("now() does not count absences and never goes back", () => {
    const { machine, clock, after } = scene();
    after(86_400_000);
    machine.advance(10_000);
    const before = clock.now();
    machine.stop(600_000);
    const first = clock.now();
    machine.advance(1000);
    expect(first).toBeGreaterThanOrEqual(before);
    // Up to one tick of the absence counts as present, since absences are detected by ticks.
    expect(clock.now() - before).toBeGreaterThanOrEqual(1000);
    expect(clock.now() - before).toBeLessThanOrEqual(1550);
  });
});
