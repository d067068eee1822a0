// Limits the memory that a proxy holds for peers that do not read. Above the limit it ends
// stalled holders (relays, calls), those with the largest buffers first.
import type { Clock } from "../core/clock.ts";

/** What holds bytes for a peer: a relay, or a call. */
export interface BufferHolder {
  /** Memory held for bytes that the peers have not taken. */
  readonly bufferedBytes: number;
  /** Bytes that the peers have acknowledged so far; undefined if there is nothing to wait for. */
  progress(): number | undefined;
  terminate(reason: "memory_limit"): void;
}

export interface BufferLimitListener {
  /** A check has ended `count` holders. `bufferedBytes` is the total before. */
  holdersEnded(count: number, bufferedBytes: number): void;
}

const CHECK_INTERVAL_MS = 1000;

// Fraction of the limit above which stalls are tracked, so that the stalled
// holders are already known when the limit is reached.
const TRACKING_THRESHOLD = 0.5;

// Consecutive checks without progress that make a holder stalled. A peer's reads
// show only when its kernel reopens the receive window: after a sixteenth of its
// buffer, on loopback after 64 KiB. So a peer that reads 5 KiB/s is not stalled.
const STALLED_CHECKS = 15;

interface Stall {
  readonly progress: number;
  /** Consecutive checks that found the same progress. */
  readonly checks: number;
}

export class BufferLimit<Holder extends BufferHolder> {
  #bytes = 0;
  /** 0: no limit. */
  #limitBytes = 0;
  readonly #clock: Clock;
  readonly #holders: { keys(): Iterable<Holder> };
  #listener: BufferLimitListener | undefined;
  #stalls = new Map<Holder, Stall>();
  #cancelTimer: (() => void) | undefined;

  /** The keys of `holders` are checked, those that it has at the time. */
  constructor(clock: Clock, holders: { keys(): Iterable<Holder> }) {
    this.#clock = clock;
    this.#holders = holders;
  }

  /** Limits the memory from now on. */
  start(limitBytes: number, listener: BufferLimitListener): void {
    this.#limitBytes = limitBytes;
    this.#listener = listener;
  }

  /** Changes the limit. 0: no limit. It takes effect at the next byte or check. */
  setLimit(limitBytes: number): void {
    this.#limitBytes = limitBytes;
  }

  /** The total. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether less than half of the limit is used, so that windows may grow. */
  get mayGrow(): boolean {
    return !this.#isTracking;
  }

  /** Adds `bytes` (may be negative) to the total. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#cancelTimer === undefined && this.#isTracking) this.#scheduleCheck();
  }

  /** Stops checking. May be called twice. */
  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  get #isTracking(): boolean {
    const limit = this.#limitBytes;
    return limit > 0 && this.#bytes > limit * TRACKING_THRESHOLD;
  }

  #scheduleCheck(): void {
    this.#cancelTimer = this.#clock.after(CHECK_INTERVAL_MS, () => {
      if (this.#isTracking) {
        this.#check();
        this.#scheduleCheck();
        return;
      }

      this.#cancelTimer = undefined;
      this.#stalls.clear();
    });
  }

  /** Updates the stalls, then resets stalled holders until the rest fits the limit. */
  #check(): void {
    const before = this.#stalls;
    this.#stalls = new Map();
    const stalled: Holder[] = [];
    for (const holder of this.#holders.keys()) {
      const progress = holder.bufferedBytes > 0 ? holder.progress() : undefined;
      if (progress === undefined) continue;

      const last = before.get(holder);
      const checks = last?.progress === progress ? last.checks + 1 : 0;
      this.#stalls.set(holder, { progress, checks });
      if (checks >= STALLED_CHECKS) stalled.push(holder);
    }

    const bufferedBytes = this.#bytes;
    let excess = bufferedBytes - this.#limitBytes;
    let resets = 0;
    for (const holder of stalled.toSorted((a, b) => b.bufferedBytes - a.bufferedBytes)) {
      if (excess <= 0) break;
      excess -= holder.bufferedBytes;
      resets++;
      holder.terminate("memory_limit");
    }

    if (resets > 0) this.#listener!.holdersEnded(resets, bufferedBytes);
  }
}
