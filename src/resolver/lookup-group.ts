// Looks up several names together. Once one has resolved, the silent ones are not
// waited for much longer.
import type { Clock } from "../core/clock.ts";
import { type LookupResult, LookupTimeout, type DnsCache, UNTIL_ANSWERED } from "./dns-cache.ts";

// A working DNS server answers within this time. While no name has resolved, the
// names are waited for as long as the resolver tries.
const SETTLE_MS = 1000;

export class LookupGroup {
  readonly #names: DnsCache;
  readonly #clock: Clock;
  readonly #onLate: () => void;
  /** One function for each lookup that is waited for, which ends the wait. */
  readonly #waiting = new Set<() => void>();
  /** Set once a name has resolved. */
  #cancelTimer: (() => void) | undefined;

  /** `onLate` is called when a name resolves that is no longer waited for. */
  constructor(names: DnsCache, clock: Clock, onLate: () => void) {
    this.#names = names;
    this.#clock = clock;
    this.#onLate = onLate;
  }

  /** Looks up `host`. Never rejects. */
  find(host: string): Promise<LookupResult> {
    const { promise, resolve } = Promise.withResolvers<LookupResult>();
    const giveUp = () => {
      this.#waiting.delete(giveUp);
      resolve({ addresses: undefined, error: new LookupTimeout(host) });
    };
    this.#waiting.add(giveUp);
    this.#names.resolve(host, UNTIL_ANSWERED, (addresses, error) => {
      const isLate = !this.#waiting.delete(giveUp);
      resolve({ addresses, error });
      if (addresses === undefined) return;
      if (isLate) this.#onLate();
      else this.#cancelTimer ??= this.#clock.after(SETTLE_MS, () => this.close());
    });
    return promise;
  }

  /** Stops waiting for names. May be called twice. */
  close(): void {
    this.#cancelTimer?.();
    for (const giveUp of this.#waiting) giveUp();
  }
}
