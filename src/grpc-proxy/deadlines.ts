// Ends calls whose grpc-timeout has passed. Calls are sorted into ticks, so that one timer
// serves all of them; a call ends up to two ticks late, when client and member have had
// their chance to end it themselves.
import type { Clock } from "../core/clock.ts";

const TICK_MS = 50;

/** A call with a deadline. */
export interface TimedCall {
  expired(): void;
}

export class Deadlines {
  readonly #clock: Clock;
  /** The calls of each tick that has any. */
  readonly #ticks = new Map<number, Set<TimedCall>>();
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Adds a call that ends after `timeoutMs`. Returns the tick, by which it is removed. */
  add(call: TimedCall, timeoutMs: number): number {
    const tick = Math.floor((this.#clock.now() + timeoutMs) / TICK_MS) + 1;
    let calls = this.#ticks.get(tick);
    if (calls === undefined) this.#ticks.set(tick, (calls = new Set()));
    calls.add(call);
    if (this.#cancelTimer === undefined) this.#schedule();
    return tick;
  }

  /** Removes a call that has ended. */
  remove(call: TimedCall, tick: number): void {
    const calls = this.#ticks.get(tick);
    if (calls === undefined) return;
    calls.delete(call);
    if (calls.size === 0) this.#ticks.delete(tick);
  }

  /** May be called twice. */
  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#ticks.clear();
  }

  #schedule(): void {
    this.#cancelTimer = this.#clock.after(TICK_MS, () => {
      this.#cancelTimer = undefined;
      this.#expire(this.#clock.now() / TICK_MS);
      if (this.#ticks.size > 0) this.#schedule();
    });
  }

  #expire(now: number): void {
    for (const [tick, calls] of this.#ticks) {
      if (tick > now) continue;
      this.#ticks.delete(tick);
      for (const call of calls) call.expired();
    }
  }
}
