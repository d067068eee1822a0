// Lines that somebody else may cause as often as he likes: one a second at
// most, each with the number of events since the last one; none is dropped
// without being counted.
import type { Clock } from "../core/clock.ts";
import type { Fields, Logger } from "../observe/log.ts";

const PERIOD_MS = 1000;

interface Pending {
  count: number;
  fields: Fields;
  cancelTimer: () => void;
}

export class RateLimitedLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #pending = new Map<string, Pending>();

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** Warns of one event: at once if it is the first, else with the others of its second. */
  warn(message: string, fields: Fields): void {
    const pending = this.#pending.get(message);
    if (pending === undefined) {
      this.#log.warn(message, { ...fields, count: 1 });
      this.#rest(message);
      return;
    }
    pending.count++;
    pending.fields = fields;
  }

  /** Says what is still to be said. May be called twice. */
  close(): void {
    for (const [message, pending] of this.#pending) {
      pending.cancelTimer();
      this.#say(message, pending);
    }
    this.#pending.clear();
  }

  #rest(message: string): void {
    const cancelTimer = this.#clock.after(PERIOD_MS, () => {
      const pending = this.#pending.get(message)!;
      this.#pending.delete(message);
      if (pending.count === 0) return;
      this.#say(message, pending);
      this.#rest(message);
    });
    this.#pending.set(message, { count: 0, fields: {}, cancelTimer });
  }

  #say(message: string, { count, fields }: Pending): void {
    if (count > 0) this.#log.warn(message, { ...fields, count });
  }
}
