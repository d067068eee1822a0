// Passive health: marks an endpoint down when a client's dial fails, and probes it
// every retry delay, or at once when a client has no other endpoint, until it is
// up again. It opens no socket itself: its dialer does.
import type { Clock } from "../core/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Pool } from "./pool.ts";

/** Dials an endpoint and closes the connection. The returned function aborts the probe. */
export type Probe = (endpoint: Endpoint, done: (error: Error | undefined) => void) => () => void;

/** Each event is one log line. */
export interface PassiveHealthEvents {
  deactivated(endpoint: Endpoint, error: Error): void;
  activated(endpoint: Endpoint): void;
  /** A probe of the retry timer failed. Failed probes for clients are not reported. */
  stillDown(endpoint: Endpoint, error: Error): void;
}

/** The retry timer and the probe of one endpoint that is down. */
interface Recovery {
  cancelTimer: () => void;
  /** Set while a probe is in progress. */
  abortProbe: (() => void) | undefined;
  /** Called with the result of the probe in progress. */
  waiting: ((error: Error | undefined) => void)[];
}

export class PassiveHealth {
  readonly #pool: Pool;
  readonly #clock: Clock;
  readonly #dialer: { readonly probe: Probe };
  #retryDelayMs: number;
  #events: PassiveHealthEvents | undefined;
  readonly #recoveries = new Map<Endpoint, Recovery>();

  /** An endpoint that is down is probed every `retryDelayMs`, at least 1. */
  constructor(pool: Pool, clock: Clock, dialer: { readonly probe: Probe }, retryDelayMs: number) {
    this.#pool = pool;
    this.#clock = clock;
    this.#dialer = dialer;
    this.#retryDelayMs = retryDelayMs;
  }

  /** Reports events to `events` from now on. */
  start(events: PassiveHealthEvents): void {
    this.#events = events;
  }

  /**
   * Marks an endpoint down after a dial that began at `since` (on the clock) failed.
   * Does nothing if the endpoint has come up since, has left the pool or is down.
   */
  markDown(endpoint: Endpoint, error: Error, since: number): void {
    const change = { at: this.#clock.now(), reason: error.message };
    if (since < endpoint.upSince || !this.#pool.setUp(endpoint, false, change)) return;

    const recovery: Recovery = { cancelTimer: () => {}, abortProbe: undefined, waiting: [] };
    this.#recoveries.set(endpoint, recovery);
    this.#retryLater(endpoint, recovery);
    this.#events?.deactivated(endpoint, error);
  }

  /**
   * Probes an endpoint now, or joins the probe in progress. Calls `done` once with
   * the result, immediately if the endpoint is up; not at all if `close` comes first.
   */
  probeNow(endpoint: Endpoint, done: (error: Error | undefined) => void): void {
    const recovery = this.#recoveries.get(endpoint);
    if (recovery === undefined) {
      done(undefined);
      return;
    }
    recovery.waiting.push(done);
    this.#probe(endpoint, recovery);
  }

  /** Stops probing an endpoint that has left the pool. Callers that wait for a probe get an error. */
  forget(endpoint: Endpoint): void {
    const recovery = this.#recoveries.get(endpoint);
    if (recovery === undefined) return;

    this.#recoveries.delete(endpoint);
    recovery.cancelTimer();
    recovery.abortProbe?.();
    for (const done of recovery.waiting) done(new Error(`${endpoint.label} was removed`));
  }

  /** Changes the retry delay and restarts all timers. Does nothing if it is the same. */
  setRetryDelay(retryDelayMs: number): void {
    if (retryDelayMs === this.#retryDelayMs) return;

    this.#retryDelayMs = retryDelayMs;
    for (const [endpoint, recovery] of this.#recoveries) {
      recovery.cancelTimer();
      this.#retryLater(endpoint, recovery);
    }
  }

  /** Stops all probes and timers without calling those that wait. May be called twice. */
  close(): void {
    for (const { cancelTimer, abortProbe } of this.#recoveries.values()) {
      cancelTimer();
      abortProbe?.();
    }
    this.#recoveries.clear();
  }

  #retryLater(endpoint: Endpoint, recovery: Recovery): void {
    recovery.cancelTimer();
    recovery.cancelTimer = this.#clock.after(this.#retryDelayMs, () => {
      recovery.waiting.push((error) => {
        if (error === undefined || !this.#recoveries.has(endpoint)) return;
        this.#events?.stillDown(endpoint, error);
        this.#retryLater(endpoint, recovery);
      });
      this.#probe(endpoint, recovery);
    });
  }

  #probe(endpoint: Endpoint, recovery: Recovery): void {
    if (recovery.abortProbe !== undefined) return;

    let isDone = false;
    const abort = this.#dialer.probe(endpoint, (error) => {
      isDone = true;
      recovery.abortProbe = undefined;
      if (error === undefined) this.#markUp(endpoint, recovery);
      else this.#pool.setDownReason(endpoint, error.message);

      const { waiting } = recovery;
      recovery.waiting = [];
      for (const done of waiting) done(error);
    });
    // The probe may end before it returns.
    if (!isDone) recovery.abortProbe = abort;
  }

  #markUp(endpoint: Endpoint, recovery: Recovery): void {
    recovery.cancelTimer();
    this.#recoveries.delete(endpoint);
    this.#pool.setUp(endpoint, true, { at: this.#clock.now() });
    this.#events?.activated(endpoint);
  }
}
