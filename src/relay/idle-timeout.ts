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

export interface IdleTimeoutListener<Relay extends ExpiringRelay> {
  /** The relay is about to be terminated. */
  expired(relay: Relay, reason: ExpiryReason): void;
}

// Checks per shortest limit: a relay outlives that limit by at most a quarter of it.
const CHECKS_PER_LIMIT = 4;
const MIN_PERIOD_MS = 50;

export class IdleTimeout<Relay extends ExpiringRelay> {
  readonly #clock: Clock;
  readonly #relays: Pick<ReadonlyMap<Relay, unknown>, "keys">;
  #limits: IdleLimits = { idleTimeoutMs: 0, userTimeoutMs: 0 };
  #listener: IdleTimeoutListener<Relay> | undefined;
  #lastActivity = new WeakMap<Relay, { bytes: number; at: number }>();
  #cancelTimer = () => {};

  /** The keys of `relays` are checked, those that it has at the time. */
  constructor(clock: Clock, relays: Pick<ReadonlyMap<Relay, unknown>, "keys">) {
    this.#clock = clock;
    this.#relays = relays;
  }

  /** Starts checking. */
  start(limits: IdleLimits, listener: IdleTimeoutListener<Relay>): void {
    this.#listener = listener;
    this.setLimits(limits);
  }

  /** Applies changed limits. The next check is a whole period away. */
  setLimits(limits: IdleLimits): void {
    this.#limits = limits;
    this.#scheduleCheck();
  }

  /** Stops checking. May be called twice. */
  close(): void {
    this.#cancelTimer();
  }

  #scheduleCheck(): void {
    this.#cancelTimer();
    const { idleTimeoutMs, userTimeoutMs } = this.#limits;
    const limits = [idleTimeoutMs, userTimeoutMs].filter((ms) => ms > 0);
    if (limits.length === 0) return;

    const periodMs = Math.max(MIN_PERIOD_MS, Math.min(...limits) / CHECKS_PER_LIMIT);
    this.#cancelTimer = this.#clock.after(periodMs, () => {
      this.#check();
      this.#scheduleCheck();
    });
  }

  #check(): void {
    const { idleTimeoutMs, userTimeoutMs } = this.#limits;

    for (const relay of [...this.#relays.keys()]) {
      const isIdle = idleTimeoutMs > 0 && this.#idleMs(relay) >= idleTimeoutMs;
      const hasVanished = !isIdle && userTimeoutMs > 0 && relay.hasClientVanished(userTimeoutMs);
      if (!isIdle && !hasVanished) continue;

      const reason = isIdle ? "idle" : "client_vanished";
      this.#listener!.expired(relay, reason);
      relay.terminate(reason);
    }
  }

  #idleMs(relay: Relay): number {
    const now = this.#clock.now();
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
