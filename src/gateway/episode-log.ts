// Refused clients, logged once for each episode: when refusing begins, and with
// the number of clients when it is over.
import type { Fields, Logger } from "../observe/log.ts";

export class EpisodeLog {
  readonly #log: Logger;
  /** Clients refused so far, by reason. */
  readonly #counts = new Map<string, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Counts a refused client, and logs the reason, a constant text, if its episode begins. */
  begin(reason: string, fields: Fields): void {
    const count = this.#counts.get(reason) ?? 0;
    this.#counts.set(reason, count + 1);
    if (count === 0) this.#log.warn(`refusing clients: ${reason}`, fields);
  }

  /** Logs that the reason's episode is over. Does nothing if there was none. */
  end(reason: string): void {
    const refused = this.#counts.get(reason);
    if (refused === undefined) return;
    this.#counts.delete(reason);
    this.#log.info(`serving clients again (was: ${reason})`, { refused });
  }
}
