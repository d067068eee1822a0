// The termination delay: ends relays that cannot end by themselves. If one side
// is gone and the other never reads, a relay would otherwise stay open forever.
import type { Clock } from "../core/clock.ts";

/** A relay of which at least one side has ended. */
export interface EndingRelay {
  /** Bytes that the peers have acknowledged so far; undefined if there is nothing to wait for. */
  progress(): number | undefined;
  terminate(reason: "standstill"): void;
}

/**
 * Checks its relays every `delayMs` and terminates those without progress since
 * the last check, so a relay ends after one to two delays without progress.
 * One timer serves all relays; it runs only while at least one is watched.
 */
export class StallTimeout {
  readonly #clock: Clock;
  readonly #delayMs: number;
  /** Each relay's progress at the last check. */
  readonly #relays = new Map<EndingRelay, number | undefined>();
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock, delayMs: number) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  /** Watches a relay until `unwatch`. Calling it again changes nothing. */
  watch(relay: EndingRelay): void {
    if (this.#relays.has(relay)) return;
    this.#relays.set(relay, undefined);
    this.#cancelTimer ??= this.#clock.after(this.#delayMs, () => this.#check());
  }

  unwatch(relay: EndingRelay): void {
    this.#relays.delete(relay);
  }

  /** Removes all relays and clears the timer. May be called twice. */
  close(): void {
    this.#relays.clear();
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #check(): void {
    this.#cancelTimer = undefined;
    for (const [relay, before] of this.#relays) {
      const progress = relay.progress();
      this.#relays.set(relay, progress);
      if (progress !== undefined && progress === before) relay.terminate("standstill");
    }

    if (this.#relays.size > 0)
      this.#cancelTimer = this.#clock.after(this.#delayMs, () => this.#check());
  }
}
