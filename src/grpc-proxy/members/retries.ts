// How often an attempt that fails is repeated, and whether its reason is news. It starts no
// timer and logs nothing.

const FIRST_MS = 1000;
// Each attempt costs etcd the check of a password, if that is wrong.
const MAX_MS = 10_000;

export class Retries {
  #delayMs = FIRST_MS;
  #reason: string | undefined;

  /** An attempt succeeded: the next failure is news, and is repeated soon. */
  reset(): void {
    this.#delayMs = FIRST_MS;
    this.#reason = undefined;
  }

  /** Records a failure. Returns false if the attempt before failed for the same reason. */
  isNews(reason: string): boolean {
    const isNews = reason !== this.#reason;
    this.#reason = reason;
    return isNews;
  }

  /** Returns the milliseconds to wait: 1 s, then twice as long each time, up to 10 s. */
  nextDelayMs(): number {
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(MAX_MS, delayMs * 2);
    return delayMs;
  }
}
