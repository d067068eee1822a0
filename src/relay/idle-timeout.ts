// Ends relays that nobody uses any more: those over which no byte has moved for
// too long, and those whose client has vanished from the network with bytes
// still owed to it. One timer looks at all of them; the data path pays nothing.
import type { Clock } from "../core/clock.ts";

/** Why a relay is ended. */
export type Expiry = "idle" | "client_vanished";

/** A relay as it is watched. */
export interface Watched {
  /** Bytes that came from both sides so far; undefined while it is not joined. */
  receivedBytes(): number | undefined;
  /** Whether the client has acknowledged nothing for `silentMs`, though asked to. */
  isClientGone(silentMs: number): boolean;
  terminate(why: Expiry): void;
}

export interface WatchLimits {
  /** Milliseconds without a byte in either direction. 0: no limit. */
  readonly idleTimeoutMs: number;
  /** Milliseconds without any sign of life of a client that is owed bytes. 0: no limit. */
  readonly userTimeoutMs: number;
}

export interface IdleTimeoutDeps<Relay extends Watched> {
  readonly clock: Clock;
  readonly relays: () => Iterable<Relay>;
  /** Asked at each look. */
  readonly limits: () => WatchLimits;
  /** Told before a relay is terminated. */
  readonly onExpired: (relay: Relay, reason: Expiry) => void;
}

// Looks for each limit: a relay ends at the latest this part of the limit late.
const LOOKS = 4;
const MIN_PERIOD_MS = 50;

export class IdleTimeout<Relay extends Watched> {
  readonly #deps: IdleTimeoutDeps<Relay>;
  #moves = new WeakMap<Relay, { bytes: number; at: number }>();
  #cancelTimer = () => {};

  constructor(deps: IdleTimeoutDeps<Relay>) {
    this.#deps = deps;
  }

  /** Begins to look, or goes by other limits from now on. */
  start(): void {
    this.#cancelTimer();
    const { idleTimeoutMs, userTimeoutMs } = this.#deps.limits();
    const limits = [idleTimeoutMs, userTimeoutMs].filter((ms) => ms > 0);
    if (limits.length === 0) return;
    const periodMs = Math.max(MIN_PERIOD_MS, Math.min(...limits) / LOOKS);
    this.#cancelTimer = this.#deps.clock.after(periodMs, () => {
      this.#look();
      this.start();
    });
  }

  /** Looks no more. May be called twice. */
  close(): void {
    this.#cancelTimer();
  }

  #look(): void {
    const { relays, limits, onExpired } = this.#deps;
    const { idleTimeoutMs, userTimeoutMs } = limits();
    for (const relay of [...relays()]) {
      const isIdle = idleTimeoutMs > 0 && this.#idleMs(relay) >= idleTimeoutMs;
      const isGone = !isIdle && userTimeoutMs > 0 && relay.isClientGone(userTimeoutMs);
      if (!isIdle && !isGone) continue;
      const why = isIdle ? "idle" : "client_vanished";
      onExpired(relay, why);
      relay.terminate(why);
    }
  }

  #idleMs(relay: Relay): number {
    const now = this.#deps.clock.now();
    const bytes = relay.receivedBytes();
    if (bytes === undefined) return 0;
    const last = this.#moves.get(relay);
    if (last === undefined || last.bytes !== bytes) {
      this.#moves.set(relay, { bytes, at: now });
      return 0;
    }
    return now - last.at;
  }
}
