// Limits frames that cost us more than they cost the peer: resets of streams that have just
// opened (CVE-2023-44487), SETTINGS, PING, empty DATA and CONTINUATION. A bucket that
// leaks, without a timer.
import type { Clock } from "../core/clock.ts";
import { ConnectionError, ErrorCode } from "./protocol.ts";

// A client that cancels a thousand young calls at once is within the limit, and so is one
// that goes on with two hundred a second.
const CAPACITY = 1000;
const LEAK_PER_MS = 0.2;

export class FloodGuard {
  readonly #clock: Pick<Clock, "now">;
  #level = 0;
  #countedAt = 0;

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /**
   * Counts a frame.
   *
   * @throws {ConnectionError} ENHANCE_YOUR_CALM if there were too many.
   */
  count(what: string): void {
    const now = this.#clock.now();
    this.#level = Math.max(0, this.#level - (now - this.#countedAt) * LEAK_PER_MS) + 1;
    this.#countedAt = now;
    if (this.#level > CAPACITY)
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, `too many ${what}`);
  }
}
