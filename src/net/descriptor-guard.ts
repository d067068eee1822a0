// Closes a listener while the process has no descriptors, and opens it again. Bun
// 1.4.5 would otherwise retry accept(2) without end and without an event
// (oven-sh/bun#32705).
import type { Clock } from "../core/clock.ts";

/** A listener that a guard closes and opens. */
export interface GuardedListener {
  readonly isOpen: boolean;
  /** Closes the listener: there are no descriptors left. */
  suspend(): void;
  /** Listens again. May throw or reject; the guard then tries again later. */
  resume(): void | Promise<void>;
}

const CHECK_MS = 1000;

// Descriptors that must be free to listen again: the listener, and a client with
// its server.
const DESCRIPTORS_TO_LISTEN = 3;

export class DescriptorGuard {
  readonly #clock: Clock;
  readonly #hasDescriptors: (count: number) => boolean;
  #cancelTimer = () => {};
  #isResuming = false;

  /** `hasDescriptors` reports whether `count` more sockets could be opened now. */
  constructor(clock: Clock, hasDescriptors: (count: number) => boolean) {
    this.#clock = clock;
    this.#hasDescriptors = hasDescriptors;
  }

  /** Checks once a second, until `close`. */
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
      // Another process has the address for now; the next check tries again.
    } finally {
      this.#isResuming = false;
    }
  }
}
