// Names to addresses, asked anew at every dial and never frozen. What was last
// known serves when the system's resolver fails or is slow: an outage of DNS is
// no outage of etcd.
import { isIP } from "node:net";
import type { Clock } from "../core/clock.ts";

/**
 * Looks a host up and resolves with at least one address; rejects with a `code`,
 * also when `signal` is aborted. It ends by itself.
 */
export type Lookup = (host: string, signal: AbortSignal) => Promise<readonly string[]>;

/** IP literals in the order of preference, or, if there are none, why. */
export type LookupResult = (addresses: readonly string[] | undefined, error?: LookupError) => void;

/** One of the two is set. */
export interface Found {
  readonly addresses: readonly string[] | undefined;
  readonly error: LookupError | undefined;
}

/** `code` is one of node:dns's, such as ENOTFOUND. */
export type LookupError = Error & { readonly code?: string };

// How long dials wait for a new answer when they have an old one: the delay at
// which RFC 8305 tries the next address as well. From the question on, so that of
// a silent server only the first dial takes note.
const STALE_ANSWER_TIMEOUT_MS = 250;

/** The lookup has not answered in time. */
export class LookupTimeout extends Error {
  readonly code = "ETIMEDOUT";
  constructor(host: string) {
    super(`no answer for "${host}"`);
  }
}

interface CacheEntry {
  addresses: readonly string[] | undefined;
  /** Dials that wait for the lookup under way; undefined when there is none. */
  waiting: Set<LookupResult> | undefined;
  /** When the lookup under way began, or the last one. */
  askedAt: number;
}

/** As long as the lookup itself takes, which ends by the resolver's own schedule. */
export const UNTIL_ANSWERED = Number.POSITIVE_INFINITY;

export class DnsCache {
  readonly #lookup: Lookup;
  readonly #clock: Clock;
  readonly #known = new Map<string, CacheEntry>();
  readonly #controller = new AbortController();

  constructor(lookup: Lookup, clock: Clock) {
    this.#lookup = lookup;
    this.#clock = clock;
  }

  /**
   * Answers once: at once for an IP literal, after `timeoutMs` at the latest,
   * which may be UNTIL_ANSWERED. Questions for one name share one lookup. The
   * function returned takes the question back; the lookup goes on, for others.
   */
  resolve(host: string, timeoutMs: number, answer: LookupResult): () => void {
    if (isIP(host) !== 0) {
      answer([host]);
      return () => {};
    }
    const known = this.#entry(host);
    const waiting = known.waiting ?? this.#ask(host, known);
    const waitMs = this.#patienceMs(known, timeoutMs);
    if (waitMs <= 0) {
      answer(known.addresses, new LookupTimeout(host));
      return () => {};
    }
    let cancelTimer = () => {};
    const settle: LookupResult = (addresses, error) => {
      cancelTimer();
      waiting.delete(settle);
      answer(addresses, error);
    };
    waiting.add(settle);
    if (waitMs !== UNTIL_ANSWERED)
      cancelTimer = this.#clock.after(waitMs, () =>
        settle(known.addresses, new LookupTimeout(host)),
      );
    return () => {
      cancelTimer();
      waiting.delete(settle);
    };
  }

  /** As `resolve`, for who may wait and never takes the question back. */
  find(host: string, timeoutMs: number): Promise<Found> {
    return new Promise((done) => {
      this.resolve(host, timeoutMs, (addresses, error) => done({ addresses, error }));
    });
  }

  /** Forgets the addresses of all other names. What asks for one of them now is still answered. */
  keepOnly(hosts: ReadonlySet<string>): void {
    for (const host of this.#known.keys()) if (!hosts.has(host)) this.#known.delete(host);
  }

  /** Cancels all lookups, now and from now on. May be called twice. */
  close(): void {
    this.#controller.abort();
  }

  #patienceMs({ addresses, askedAt }: CacheEntry, timeoutMs: number): number {
    if (addresses === undefined) return timeoutMs;
    return Math.min(timeoutMs, askedAt + STALE_ANSWER_TIMEOUT_MS - this.#clock.now());
  }

  #entry(host: string): CacheEntry {
    let known = this.#known.get(host);
    if (known === undefined) {
      known = { addresses: undefined, waiting: undefined, askedAt: 0 };
      this.#known.set(host, known);
    }
    return known;
  }

  #ask(host: string, known: CacheEntry): Set<LookupResult> {
    const waiting = new Set<LookupResult>();
    known.waiting = waiting;
    known.askedAt = this.#clock.now();
    this.#lookup(host, this.#controller.signal).then(
      (addresses) => {
        known.addresses = addresses;
        this.#tell(known, undefined);
      },
      (error: LookupError) => this.#tell(known, error),
    );
    return waiting;
  }

  #tell(known: CacheEntry, error: LookupError | undefined): void {
    const waiting = known.waiting!;
    known.waiting = undefined;
    for (const answer of waiting) answer(known.addresses, error);
  }
}
