// A clock that the test advances.
import type { Clock } from "../../src/core/clock.ts";

export class ManualClock implements Clock {
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

  /** The number of timers that have neither run nor been cancelled. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Advances the clock without running timers, as for a process that is stopped. */
  stop(ms: number): void {
    this.#now += ms;
  }

  /** Advances the clock by `ms`, and runs due timers in the order of their times. */
  advance(ms: number): void {
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
