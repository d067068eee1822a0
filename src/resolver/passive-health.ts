// Which endpoints are down, and how they come back: each is probed every retry
// delay, and at once when a client has nowhere else to go. It opens no socket;
// the probe is given to it.
import type { Clock } from "../core/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Pool } from "./pool.ts";

/** Dials an endpoint and closes the connection again; the function returned aborts it. */
export type Probe = (endpoint: Endpoint, done: (error: Error | undefined) => void) => () => void;

/** Flips and what keeps from one; each is one log line. */
export interface PassiveHealthEvents {
  deactivated(endpoint: Endpoint, error: Error): void;
  activated(endpoint: Endpoint): void;
  /** A probe of the retry timer failed; those on behalf of clients are not told. */
  stillDown(endpoint: Endpoint, error: Error): void;
}

export interface PassiveHealthDeps {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly probe: Probe;
  /** Asked whenever a timer starts; at least 1. */
  readonly retryDelayMs: () => number;
  readonly events: PassiveHealthEvents;
}

/** What is under way for one endpoint that is down. */
interface Recovery {
  cancelTimer: () => void;
  abortProbe: (() => void) | undefined;
  waiting: ((error: Error | undefined) => void)[];
}

export class PassiveHealth {
  readonly #deps: PassiveHealthDeps;
  readonly #recoveries = new Map<Endpoint, Recovery>();

  constructor(deps: PassiveHealthDeps) {
    this.#deps = deps;
  }

  /**
   * A dial that began at `since` (on the clock) failed. Old news is ignored:
   * an endpoint that came up after that is not down.
   */
  markDown(endpoint: Endpoint, error: Error, since: number): void {
    const { pool, clock } = this.#deps;
    const change = { at: clock.now(), reason: error.message };
    if (since < endpoint.upSince || !pool.setUp(endpoint, false, change)) return;
    const recovery: Recovery = { cancelTimer: () => {}, abortProbe: undefined, waiting: [] };
    this.#recoveries.set(endpoint, recovery);
    this.#retryLater(endpoint, recovery);
    this.#deps.events.deactivated(endpoint, error);
  }

  /**
   * Probes an endpoint now, or joins the probe under way, and tells how it
   * ended. `done` is called once, at once if the endpoint is up.
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

  /** The endpoint has left the pool: stops what is under way for it, and tells who waits. */
  forget(endpoint: Endpoint): void {
    const recovery = this.#recoveries.get(endpoint);
    if (recovery === undefined) return;
    this.#recoveries.delete(endpoint);
    recovery.cancelTimer();
    recovery.abortProbe?.();
    for (const done of recovery.waiting) done(new Error(`${endpoint.label} was removed`));
  }

  /** The retry delay is another one: timers start anew with it. */
  restartTimers(): void {
    for (const [endpoint, recovery] of this.#recoveries) {
      recovery.cancelTimer();
      this.#retryLater(endpoint, recovery);
    }
  }

  /** Stops all probes and timers; who waits is not told. May be called twice. */
  close(): void {
    for (const { cancelTimer, abortProbe } of this.#recoveries.values()) {
      cancelTimer();
      abortProbe?.();
    }
    this.#recoveries.clear();
  }

  #retryLater(endpoint: Endpoint, recovery: Recovery): void {
    recovery.cancelTimer();
    recovery.cancelTimer = this.#deps.clock.after(this.#deps.retryDelayMs(), () => {
      recovery.waiting.push((error) => {
        if (error === undefined || !this.#recoveries.has(endpoint)) return;
        this.#deps.events.stillDown(endpoint, error);
        this.#retryLater(endpoint, recovery);
      });
      this.#probe(endpoint, recovery);
    });
  }

  #probe(endpoint: Endpoint, recovery: Recovery): void {
    if (recovery.abortProbe !== undefined) return;
    let isDone = false;
    const abort = this.#deps.probe(endpoint, (error) => {
      isDone = true;
      recovery.abortProbe = undefined;
      if (error === undefined) this.#markUp(endpoint, recovery);
      const { waiting } = recovery;
      recovery.waiting = [];
      for (const done of waiting) done(error);
    });
    if (!isDone) recovery.abortProbe = abort;
  }

  #markUp(endpoint: Endpoint, recovery: Recovery): void {
    recovery.cancelTimer();
    this.#recoveries.delete(endpoint);
    this.#deps.pool.setUp(endpoint, true, { at: this.#deps.clock.now() });
    this.#deps.events.activated(endpoint);
  }
}
