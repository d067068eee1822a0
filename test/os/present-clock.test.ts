import { describe, expect, test } from "bun:test";
import type { Clock } from "../../src/core/clock.ts";
import { PresentClock } from "../../src/os/present-clock.ts";

/** A machine whose process can be stopped: then its time goes on and its timers do not. */
class Machine implements Clock {
  #now = 0;
  #timers: { at: number; callback: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  soon(callback: () => void): void {
    this.after(0, callback);
  }

  get pending(): number {
    return this.#timers.length;
  }

  stopped(ms: number): void {
    this.#now += ms;
  }

  runs(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = until;
  }
}

function scene() {
  const machine = new Machine();
  const clock = new PresentClock(machine);
  const fired: number[] = [];
  const after = (ms: number) => clock.after(ms, () => fired.push(machine.now()));
  return { machine, clock, fired, after };
}

describe("PresentClock", () => {
  test("after() fires in time while the process runs, and leaves nothing pending", () => {
    const { machine, fired, after } = scene();
    after(100);
    after(3000);
    after(60_000);
    machine.runs(70_000);
    expect(fired).toEqual([100, 3000, 60_000]);
    expect(machine.pending).toBe(0);
  });

  test("after() gives a timer that fell due during an absence its time back", () => {
    const { machine, fired, after } = scene();
    after(1000);
    machine.runs(700);
    machine.stopped(600_000);
    machine.runs(999);
    expect(fired).toEqual([]);
    machine.runs(2);
    expect(fired).toHaveLength(1);
  });

  test("after() gives time back also for an absence that ends before the timer is due", () => {
    const { machine, fired, after } = scene();
    after(3000);
    machine.runs(100);
    machine.stopped(2800); // a beat was due after 500
    machine.runs(1000);
    expect(fired).toEqual([]);
    machine.runs(2000);
    expect(fired).toHaveLength(1);
  });

  test("after() puts no timer off by more than five seconds", () => {
    const { machine, fired, after } = scene();
    after(3_600_000);
    machine.runs(1000);
    machine.stopped(86_400_000);
    machine.runs(5001);
    expect(fired).toHaveLength(1);
  });

  test("after() fires a timer in the end, however many absences follow each other", () => {
    const { machine, fired, after } = scene();
    after(1000);
    for (let i = 0; i < 20; i++) {
      machine.stopped(400);
      machine.runs(1);
    }
    expect(fired).toHaveLength(1);
  });

  test("after() can be taken back before, during and after the time it gives back", () => {
    const { machine, fired, after } = scene();
    const cancels = [after(100), after(200), after(300)];
    cancels[0]!();
    machine.stopped(10_000);
    machine.runs(1);
    for (const cancel of cancels) cancel();
    machine.runs(60_000);
    expect(fired).toEqual([]);
    expect(machine.pending).toBe(0);
  });

  test("now() leaves absences out and never goes back", () => {
    const { machine, clock, after } = scene();
    after(86_400_000);
    machine.runs(10_000);
    const before = clock.now();
    machine.stopped(600_000);
    const first = clock.now();
    machine.runs(1000);
    expect(first).toBeGreaterThanOrEqual(before);
    // Up to a beat before the absence was noticed counts as present.
    expect(clock.now() - before).toBeGreaterThanOrEqual(1000);
    expect(clock.now() - before).toBeLessThanOrEqual(1550);
  });
});
