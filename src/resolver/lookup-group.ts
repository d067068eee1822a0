// Names that are looked up together, of which one that resolves is enough to go
// on with: those that are silent then are not waited for much longer.
import type { Clock } from "../core/clock.ts";
import { type Found, LookupTimeout, type DnsCache, UNTIL_ANSWERED } from "./dns-cache.ts";

// Sound DNS answers within this. Where none of the names has an address they are
// waited for as long as the resolver tries.
const SETTLE_MS = 1000;

export class LookupGroup {
  readonly #names: DnsCache;
  readonly #clock: Clock;
  readonly #onLate: () => void;
  /** Lookups that are waited for: each function ends the wait. */
  readonly #waiting = new Set<() => void>();
  /** Set once a name has resolved. */
  #cancelTimer: (() => void) | undefined;

  /** `onLate`: a name has resolved that is no longer waited for. */
  constructor(names: DnsCache, clock: Clock, onLate: () => void) {
    this.#names = names;
    this.#clock = clock;
    this.#onLate = onLate;
  }

  /** Looks `host` up. Never rejects. */
  find(host: string): Promise<Found> {
    const { promise, resolve } = Promise.withResolvers<Found>();
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

  /** Waits for none of the names any longer. May be called twice. */
  close(): void {
    this.#cancelTimer?.();
    for (const giveUp of this.#waiting) giveUp();
  }
}
