// Connection attempts that race each other (RFC 8305, Happy Eyeballs): the next
// begins when the last has failed or has been silent for a while, and the first
// to connect wins. Dials race addresses, failovers race endpoints.
import type { Clock } from "../core/clock.ts";

/**
 * Hedges of all races of a process together. They come out of the reserve that
 * the connection limit leaves, so there cannot be one for every connection.
 */
export const MAX_HEDGES = 32;

/** Counts hedges: attempts of a race beyond its first. One budget serves all races of a process. */
export class HedgeBudget {
  #inUse = 0;

  get inUse(): number {
    return this.#inUse;
  }

  /** Returns false if all hedges are in use. */
  tryAcquire(): boolean {
    if (this.#inUse >= MAX_HEDGES) return false;
    this.#inUse++;
    return true;
  }

  release(): void {
    this.#inUse--;
  }
}

export interface RaceOptions {
  readonly clock: Clock;
  readonly budget: HedgeBudget;
  /** Attempts of this race at the same time; undefined: as many as the budget allows. */
  readonly maxAttempts?: number;
}

/** The attempts in progress of one race, and the timer of the next one. */
export class Race<Attempt extends { abort(): void }> {
  readonly #options: RaceOptions;
  /** The oldest first. */
  readonly #attempts = new Set<Attempt>();
  #latest: Attempt | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(options: RaceOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#attempts.size;
  }

  /** The attempt that was added last, if it or an earlier one is in progress. */
  get latest(): Attempt | undefined {
    return this.#attempts.size === 0 ? undefined : this.#latest;
  }

  has(attempt: Attempt): boolean {
    return this.#attempts.has(attempt);
  }

  /** Makes room for one more attempt: aborts the oldest if there would be too many. */
  makeRoom(): void {
    const { maxAttempts = Number.POSITIVE_INFINITY } = this.#options;
    const [oldest] = this.#attempts;
    if (oldest === undefined) return;
    const isFull = this.#options.budget.inUse >= MAX_HEDGES;
    if (isFull || this.#attempts.size >= maxAttempts) this.abandon(oldest);
  }

  /** Adds an attempt that begins now, for which `makeRoom` has made room. */
  add(attempt: Attempt): void {
    if (this.#attempts.size > 0) this.#options.budget.tryAcquire();
    this.#attempts.add(attempt);
    this.#latest = attempt;
  }

  /** Takes off an attempt that has ended by itself. */
  remove(attempt: Attempt): void {
    if (this.#attempts.delete(attempt) && this.#attempts.size > 0) this.#options.budget.release();
  }

  /** Takes off an attempt and aborts it. */
  abandon(attempt: Attempt): void {
    this.remove(attempt);
    attempt.abort();
  }

  /** Calls `visit` for each attempt in progress, which it may take off. */
  forEach(visit: (attempt: Attempt) => void): void {
    for (const attempt of this.#attempts) visit(attempt);
  }

  /** Calls `next` once after `delayMs`, in place of what was to be called before. */
  after(delayMs: number, next: () => void): void {
    this.cancelTimer();
    this.#cancelTimer = this.#options.clock.after(delayMs, next);
  }

  cancelTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** Aborts every attempt and clears the timer. May be called twice. */
  abort(): void {
    this.cancelTimer();
    for (const attempt of this.#attempts) this.abandon(attempt);
  }
}
