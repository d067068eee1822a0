// Logs refused clients by episode: one line when a proxy begins to refuse clients for a
// reason, and one with their number when it serves clients again.
import type { Fields, Logger } from "./log.ts";

export class EpisodeLog {
  readonly #log: Logger;
  /** The number of refused clients of each episode in progress, by reason. */
  readonly #counts = new Map<string, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Counts a refused client. Logs the reason, a constant text, if this begins an episode. */
  begin(reason: string, fields: Fields): void {
    const count = this.#counts.get(reason) ?? 0;
    this.#counts.set(reason, count + 1);
    if (count === 0) this.#log.warn(`refusing clients: ${reason}`, fields);
  }

  /** Ends the episode of a reason and logs its number of clients. Does nothing if there is none. */
  end(reason: string): void {
    const refused = this.#counts.get(reason);
    if (refused === undefined) return;
    this.#counts.delete(reason);
    this.#log.info(`serving clients again (was: ${reason})`, { refused });
  }
}
