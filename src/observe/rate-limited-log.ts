// Limits log lines that a client can cause at any rate: logs at most one line per
// second for each message, with the number of events since the last line.
import type { Clock } from "../core/clock.ts";
import type { Fields, Logger } from "./log.ts";

const PERIOD_MS = 1000;

/** The events of one message that are not logged yet: their number, and the fields of the latest. */
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

  /** Logs an event at once if the message was not logged in the last second; otherwise counts it for the next line. */
  warn(message: string, fields: Fields): void {
    const pending = this.#pending.get(message);
    if (pending === undefined) {
      this.#log.warn(message, { ...fields, count: 1 });
      this.#startPeriod(message);
      return;
    }
    pending.count++;
    pending.fields = fields;
  }

  /** Logs all pending events and clears the timers. May be called twice. */
  close(): void {
    for (const [message, pending] of this.#pending) {
      pending.cancelTimer();
      this.#flush(message, pending);
    }
    this.#pending.clear();
  }

  #startPeriod(message: string): void {
    const cancelTimer = this.#clock.after(PERIOD_MS, () => {
      const pending = this.#pending.get(message)!;
      this.#pending.delete(message);
      if (pending.count === 0) return;
      this.#flush(message, pending);
      this.#startPeriod(message);
    });
    this.#pending.set(message, { count: 0, fields: {}, cancelTimer });
  }

  #flush(message: string, { count, fields }: Pending): void {
    if (count > 0) this.#log.warn(message, { ...fields, count });
  }
}
