// The memory that all relays together hold for peers that do not read, and its
// limit: above it those that stand still and hold most are reset. That a peer
// reads shows when its kernel opens the window again, after a sixteenth of its
// buffer or, on this machine, 64 KiB.
import type { Clock } from "../core/clock.ts";

/** A relay as its memory is watched. */
export interface Holder {
  /** Memory held for peers that have not read what they are owed. */
  readonly bufferedBytes: number;
  /** Bytes that the peers have acknowledged so far; undefined while nothing is owed to them. */
  progress(): number | undefined;
  terminate(why: "memory_limit"): void;
}

export interface BufferLimitDeps<Relay extends Holder> {
  readonly clock: Clock;
  readonly relays: () => Iterable<Relay>;
  /** Asked at each look. 0: no limit. */
  readonly limitBytes: () => number;
  /** Told after a look that reset some. */
  readonly onReset: (relays: number, bufferedBytes: number) => void;
}

const LOOK_MS = 1000;

// Of the limit: from here on it is watched who stands still, so that it is known
// when the limit is reached.
const WATCHED_PART = 0.5;
// For so many looks in a row: who reads 5 KiB a second is none of them.
const STANDSTILL_LOOKS = 15;

interface Standstill {
  readonly progress: number;
  readonly looks: number;
}

export class BufferLimit<Relay extends Holder> {
  #bytes = 0;
  readonly #deps: BufferLimitDeps<Relay>;
  #standstills = new Map<Relay, Standstill>();
  #cancelTimer: (() => void) | undefined;

  constructor(deps: BufferLimitDeps<Relay>) {
    this.#deps = deps;
  }

  /** So many bytes more are held; negative: fewer. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#cancelTimer === undefined && this.#isWatched) this.#lookLater();
  }

  /** Looks no more. May be called twice. */
  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  get #isWatched(): boolean {
    const limit = this.#deps.limitBytes();
    return limit > 0 && this.#bytes > limit * WATCHED_PART;
  }

  #lookLater(): void {
    this.#cancelTimer = this.#deps.clock.after(LOOK_MS, () => {
      if (this.#isWatched) {
        this.#look();
        this.#lookLater();
        return;
      }
      this.#cancelTimer = undefined;
      this.#standstills.clear();
    });
  }

  #look(): void {
    const { relays, limitBytes, onReset } = this.#deps;
    const before = this.#standstills;
    this.#standstills = new Map();
    const still: Relay[] = [];
    for (const relay of relays()) {
      const progress = relay.bufferedBytes > 0 ? relay.progress() : undefined;
      if (progress === undefined) continue;
      const last = before.get(relay);
      const looks = last?.progress === progress ? last.looks + 1 : 0;
      this.#standstills.set(relay, { progress, looks });
      if (looks >= STANDSTILL_LOOKS) still.push(relay);
    }
    const bufferedBytes = this.#bytes;
    let excess = bufferedBytes - limitBytes();
    let resets = 0;
    for (const relay of still.toSorted((a, b) => b.bufferedBytes - a.bufferedBytes)) {
      if (excess <= 0) break;
      excess -= relay.bufferedBytes;
      resets++;
      relay.terminate("memory_limit");
    }
    if (resets > 0) onReset(resets, bufferedBytes);
  }
}
