// Closes a listener while the process has no free descriptors, and opens it again
// when it has. Otherwise Bun 1.4.5 would retry accept(2) in a busy loop, without an
// event (oven-sh/bun#32705).
import type { Clock } from "../core/clock.ts";

/** A listener that a guard closes and opens again. */
export interface GuardedListener {
  readonly isOpen: boolean;
  /** Closes the listener, because no descriptor is free. */
  suspend(): void;
  /** Listens again. May throw or reject; the guard then retries at its next check. */
  resume(): void | Promise<void>;
}

const CHECK_MS = 1000;

// Descriptors that must be free to listen again: for the listener, one client and
// its server.
const DESCRIPTORS_TO_LISTEN = 3;

export class DescriptorGuard {
  readonly #clock: Clock;
  readonly #hasDescriptors: (count: number) => boolean;
  #cancelTimer = () => {};
  #isResuming = false;

  /** `hasDescriptors` returns whether `count` more sockets could be opened now. */
  constructor(clock: Clock, hasDescriptors: (count: number) => boolean) {
    this.#clock = clock;
    this.#hasDescriptors = hasDescriptors;
  }

  /** Checks once a second until `close`. */
  watch(listener: GuardedListener): void {
    this.#cancelTimer = this.#clock.after(CHECK_MS, () => {
      this.watch(listener);
      if (this.#isResuming) return;
      if (!listener.isOpen) {
        if (this.#hasDescriptors(DESCRIPTORS_TO_LISTEN)) void this.#resume(listener);
      } else if (!this.#hasDescriptors(1)) listener.suspend();
    });
  }

  /** Stops checking. May be called twice. */
  close(): void {
    this.#cancelTimer();
  }

  async #resume(listener: GuardedListener): Promise<void> {
    this.#isResuming = true;
    try {
      await listener.resume();
    } catch {
      // Another process uses the address; the next check retries.
    } finally {
      this.#isResuming = false;
    }
  }
}
