// Ends unused relays: those that moved no byte for too long, and those whose
// client has vanished from the network while bytes are owed to it. One timer
// checks all relays, so the data path pays nothing.
import type { Clock } from "../core/clock.ts";

/** Why a relay is ended. */
export type ExpiryReason = "idle" | "client_vanished";

/** A relay, as the idle timeout uses it. */
export interface ExpiringRelay {
  /** Bytes received from both sides so far; undefined until the relay is joined. */
  receivedBytes(): number | undefined;
  /** Reports whether the client is owed bytes and has shown no sign of life for `silentMs`. */
  hasClientVanished(silentMs: number): boolean;
  terminate(reason: ExpiryReason): void;
}

export interface IdleLimits {
  /** Milliseconds without a byte in either direction. 0: no limit. */
  readonly idleTimeoutMs: number;
  /** Milliseconds without a sign of life from a client that is owed bytes. 0: no limit. */
  readonly userTimeoutMs: number;
}

export interface IdleTimeoutDeps<Relay extends ExpiringRelay> {
  readonly clock: Clock;
  readonly relays: () => Iterable<Relay>;
  /** Read at each check. */
  readonly limits: () => IdleLimits;
  /** Called before a relay is terminated. */
  readonly onExpired: (relay: Relay, reason: ExpiryReason) => void;
}

// Checks per shortest limit: a relay outlives that limit by at most a quarter of it.
const CHECKS_PER_LIMIT = 4;
const MIN_PERIOD_MS = 50;

export class IdleTimeout<Relay extends ExpiringRelay> {
  readonly #deps: IdleTimeoutDeps<Relay>;
  #lastActivity = new WeakMap<Relay, { bytes: number; at: number }>();
  #cancelTimer = () => {};

  constructor(deps: IdleTimeoutDeps<Relay>) {
    this.#deps = deps;
  }

  /** Starts checking. Call again to apply changed limits. */
  start(): void {
    this.#cancelTimer();
    const { idleTimeoutMs, userTimeoutMs } = this.#deps.limits();
    const limits = [idleTimeoutMs, userTimeoutMs].filter((ms) => ms > 0);
    if (limits.length === 0) return;

    const periodMs = Math.max(MIN_PERIOD_MS, Math.min(...limits) / CHECKS_PER_LIMIT);
    this.#cancelTimer = this.#deps.clock.after(periodMs, () => {
      this.#check();
      this.start();
    });
  }

  /** Stops checking. May be called twice. */
  close(): void {
    this.#cancelTimer();
  }

  #check(): void {
    const { relays, limits, onExpired } = this.#deps;
    const { idleTimeoutMs, userTimeoutMs } = limits();

    for (const relay of [...relays()]) {
      const isIdle = idleTimeoutMs > 0 && this.#idleMs(relay) >= idleTimeoutMs;
      const hasVanished = !isIdle && userTimeoutMs > 0 && relay.hasClientVanished(userTimeoutMs);
      if (!isIdle && !hasVanished) continue;

      const reason = isIdle ? "idle" : "client_vanished";
      onExpired(relay, reason);
      relay.terminate(reason);
    }
  }

  #idleMs(relay: Relay): number {
    const now = this.#deps.clock.now();
    const bytes = relay.receivedBytes();
    if (bytes === undefined) return 0;

    const last = this.#lastActivity.get(relay);
    if (last === undefined || last.bytes !== bytes) {
      this.#lastActivity.set(relay, { bytes, at: now });
      return 0;
    }

    return now - last.at;
  }
}
