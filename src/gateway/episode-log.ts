// Why clients are being refused: said once when it begins and once when it is
// over, with their number, however many there were.
import type { Fields, Logger } from "../observe/log.ts";

export class EpisodeLog {
  readonly #log: Logger;
  readonly #counts = new Map<string, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** One more client was refused for this reason, a constant text. */
  begin(reason: string, fields: Fields): void {
    const count = this.#counts.get(reason) ?? 0;
    this.#counts.set(reason, count + 1);
    if (count === 0) this.#log.warn(`refusing clients: ${reason}`, fields);
  }

  /** The reason is gone; nothing if it was not there. */
  end(reason: string): void {
    const refused = this.#counts.get(reason);
    if (refused === undefined) return;
    this.#counts.delete(reason);
    this.#log.info(`serving clients again: was ${reason}`, { refused });
  }
}
