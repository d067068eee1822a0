// The termination delay: ends what can no longer end by itself. A relay whose
// one side is gone while the other never reads would otherwise stay for ever.
import type { Clock } from "../core/clock.ts";

/** A relay of which at least one side has ended. */
export interface Ending {
  /** Bytes that the peers have acknowledged so far; undefined while nothing is owed to them. */
  progress(): number | undefined;
  terminate(why: "standstill"): void;
}

/**
 * Looks at its relays every `delayMs` and terminates those that owe bytes and
 * moved none since the last look, so after one to two delays of standstill.
 * One timer serves all; it runs only while there is something to watch.
 */
export class StallTimeout {
  readonly #clock: Clock;
  readonly #delayMs: number;
  readonly #endings = new Map<Ending, number | undefined>();
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock, delayMs: number) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  /** Watches a relay until `forget`. */
  watch(ending: Ending): void {
    if (this.#endings.has(ending)) return;
    this.#endings.set(ending, undefined);
    this.#cancelTimer ??= this.#clock.after(this.#delayMs, () => this.#look());
  }

  forget(ending: Ending): void {
    this.#endings.delete(ending);
  }

  /** Forgets everything and clears the timer. */
  close(): void {
    this.#endings.clear();
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #look(): void {
    this.#cancelTimer = undefined;
    for (const [ending, before] of this.#endings) {
      const progress = ending.progress();
      this.#endings.set(ending, progress);
      if (progress !== undefined && progress === before) ending.terminate("standstill");
    }
    if (this.#endings.size > 0)
      this.#cancelTimer = this.#clock.after(this.#delayMs, () => this.#look());
  }
}
