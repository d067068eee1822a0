// Resolves names at every dial, and keeps the last addresses of each. They serve
// when a lookup fails or is slow (serve-stale, RFC 8767), so that an outage of DNS
// does not become an outage of etcd.
import { isIP } from "node:net";
import { UNIX_ADDRESS } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";

/**
 * Looks up a host and resolves with at least one address. Rejects with a `code`,
 * also when `signal` aborts. Ends by the resolver's own schedule.
 */
export type Lookup = (host: string, signal: AbortSignal) => Promise<readonly string[]>;

/** Receives IP literals in order of preference, or, if there are none, the reason. */
export type OnResolved = (addresses: readonly string[] | undefined, error?: LookupError) => void;

/** The result of a lookup: one of the two is set. */
export interface LookupResult {
  readonly addresses: readonly string[] | undefined;
  readonly error: LookupError | undefined;
}

/** `code` is one of node:dns, such as ENOTFOUND. */
export type LookupError = Error & { readonly code?: string };

// How long a dial waits for a fresh answer when a stale one is entry: the delay
// after which RFC 8305 tries the next address as well. It counts from the start of
// the lookup, so a silent server delays only the first dial.
const STALE_ANSWER_TIMEOUT_MS = 250;

/** A lookup that has not ended in time. */
export class LookupTimeout extends Error {
  readonly code = "ETIMEDOUT";
  constructor(host: string) {
    super(`no answer for "${host}"`);
  }
}

interface CacheEntry {
  addresses: readonly string[] | undefined;
  /** Dials that wait for the lookup in progress; undefined while there is none. */
  waiting: Set<OnResolved> | undefined;
  /** When the lookup in progress, or the last one, began. */
  askedAt: number;
}

/** A timeout that waits until the lookup ends by the resolver's own schedule. */
export const UNTIL_ANSWERED = Number.POSITIVE_INFINITY;

export class DnsCache {
  readonly #lookup: Lookup;
  readonly #clock: Clock;
  readonly #entries = new Map<string, CacheEntry>();
  readonly #controller = new AbortController();

  constructor(lookup: Lookup, clock: Clock) {
    this.#lookup = lookup;
    this.#clock = clock;
  }

  /**
   * Calls `onResolved` once: at once for an IP literal, and after `timeoutMs` (or
   * UNTIL_ANSWERED) at the latest. Calls for one name share one lookup. The function
   * returned cancels the call; the lookup goes on for other callers.
   */
  resolve(host: string, timeoutMs: number, onResolved: OnResolved): () => void {
    if (isIP(host) !== 0 || host.startsWith(UNIX_ADDRESS)) {
      onResolved([host]);
      return () => {};
    }
    const entry = this.#entry(host);
    const waiting = entry.waiting ?? this.#ask(host, entry);
    const waitMs = this.#waitMs(entry, timeoutMs);
    if (waitMs <= 0) {
      onResolved(entry.addresses, new LookupTimeout(host));
      return () => {};
    }
    let cancelTimer = () => {};
    const settle: OnResolved = (addresses, error) => {
      cancelTimer();
      waiting.delete(settle);
      onResolved(addresses, error);
    };
    waiting.add(settle);
    if (waitMs !== UNTIL_ANSWERED)
      cancelTimer = this.#clock.after(waitMs, () =>
        settle(entry.addresses, new LookupTimeout(host)),
      );
    return () => {
      cancelTimer();
      waiting.delete(settle);
    };
  }

  /** Does the same as `resolve`, for callers that never cancel. */
  find(host: string, timeoutMs: number): Promise<LookupResult> {
    return new Promise((done) => {
      this.resolve(host, timeoutMs, (addresses, error) => done({ addresses, error }));
    });
  }

  /** Forgets the addresses of all other names. Lookups in progress still answer. */
  keepOnly(hosts: ReadonlySet<string>): void {
    for (const host of this.#entries.keys()) if (!hosts.has(host)) this.#entries.delete(host);
  }

  /** Cancels all lookups, now and from now on. May be called twice. */
  close(): void {
    this.#controller.abort();
  }

  #waitMs({ addresses, askedAt }: CacheEntry, timeoutMs: number): number {
    if (addresses === undefined) return timeoutMs;
    return Math.min(timeoutMs, askedAt + STALE_ANSWER_TIMEOUT_MS - this.#clock.now());
  }

  #entry(host: string): CacheEntry {
    let entry = this.#entries.get(host);
    if (entry === undefined) {
      entry = { addresses: undefined, waiting: undefined, askedAt: 0 };
      this.#entries.set(host, entry);
    }
    return entry;
  }

  #ask(host: string, entry: CacheEntry): Set<OnResolved> {
    const waiting = new Set<OnResolved>();
    entry.waiting = waiting;
    entry.askedAt = this.#clock.now();
    this.#lookup(host, this.#controller.signal).then(
      (addresses) => {
        entry.addresses = addresses;
        this.#settle(entry, undefined);
      },
      (error: LookupError) => this.#settle(entry, error),
    );
    return waiting;
  }

  #settle(entry: CacheEntry, error: LookupError | undefined): void {
    const waiting = entry.waiting!;
    entry.waiting = undefined;
    for (const onResolved of waiting) onResolved(entry.addresses, error);
  }
}
