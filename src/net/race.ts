// The attempts and the timer of a race of connection attempts (RFC 8305, Happy
// Eyeballs), and the budget that all races share. Dials race addresses, failovers
// race endpoints; each decides itself what to attempt next and which attempt wins.
import type { Clock } from "../core/clock.ts";

/**
 * The maximum of concurrent hedges of a process. Each costs a descriptor of the
 * reserve that the connection limit leaves, so not every connection can have one.
 */
export const MAX_HEDGES = 32;

/** Counts hedges: concurrent attempts of a race beyond the first. All races of a process share one budget. */
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
  /** The maximum of concurrent attempts of this race; undefined: limited by the budget only. */
  readonly maxAttempts?: number;
}

/** The attempts in progress of one race, and the timer of its next attempt. */
export class Race<Attempt extends { abort(): void }> {
  readonly #options: RaceOptions;
  /** Oldest first. */
  readonly #attempts: Attempt[] = [];
  #latest: Attempt | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(options: RaceOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#attempts.length;
  }

  /** The attempt that was added last; undefined while no attempt is in progress. */
  get latest(): Attempt | undefined {
    return this.#attempts.length === 0 ? undefined : this.#latest;
  }

  has(attempt: Attempt): boolean {
    return this.#attempts.includes(attempt);
  }

  /** Makes room for one more attempt: aborts the oldest if a limit is reached. */
  makeRoom(): void {
    const { maxAttempts = Number.POSITIVE_INFINITY } = this.#options;
    const oldest = this.#attempts[0];
    if (oldest === undefined) return;
    const isFull = this.#options.budget.inUse >= MAX_HEDGES;
    if (isFull || this.#attempts.length >= maxAttempts) this.abandon(oldest);
  }

  /** Adds an attempt that begins now. The caller must have called `makeRoom`. */
  add(attempt: Attempt): void {
    if (this.#attempts.length > 0) this.#options.budget.tryAcquire();
    this.#attempts.push(attempt);
    this.#latest = attempt;
  }

  /** Removes an attempt that has ended by itself. */
  remove(attempt: Attempt): void {
    const index = this.#attempts.indexOf(attempt);
    if (index < 0) return;
    this.#attempts.splice(index, 1);
    if (this.#attempts.length > 0) this.#options.budget.release();
  }

  /** Removes an attempt and aborts it. */
  abandon(attempt: Attempt): void {
    this.remove(attempt);
    attempt.abort();
  }

  /** Calls `visit` for each attempt in progress. `visit` may remove the attempt. */
  forEach(visit: (attempt: Attempt) => void): void {
    for (const attempt of this.#attempts.slice()) visit(attempt);
  }

  /** Calls `next` once after `delayMs`. Replaces the timer that was set before. */
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
    while (this.#attempts.length > 0) this.abandon(this.#attempts[0]!);
  }
}
