// Measures the event loop delay: how late a periodic timer fires.
import type { Clock } from "../core/clock.ts";

const TICK_MS = 500;
const WINDOW_TICKS = 20;

export class EventLoopDelay {
  readonly #clock: Clock;
  readonly #delaysMs: number[] = [];
  #cancelTimer = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(): void {
    const dueAt = this.#clock.now() + TICK_MS;
    this.#cancelTimer = this.#clock.after(TICK_MS, () => {
      this.#delaysMs.push(Math.max(0, this.#clock.now() - dueAt));
      if (this.#delaysMs.length > WINDOW_TICKS) this.#delaysMs.shift();
      this.start();
    });
  }

  /** The longest delay in the last ten seconds. */
  get seconds(): number {
    return Math.max(0, ...this.#delaysMs) / 1000;
  }

  /** May be called twice. */
  close(): void {
    this.#cancelTimer();
  }
}
