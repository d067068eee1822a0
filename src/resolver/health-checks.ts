// Members that are up but useless: each endpoint is asked for its health, over
// and over. It decides who is healthy; what follows from that is others' matter.
import type { Clock } from "../config/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Pool } from "./pool.ts";

/** Asks an endpoint once; resolves if it says that it is well, rejects with why it is not. */
export type AskHealth = (endpoint: Endpoint) => Promise<void>;

export interface HealthCheckLimits {
  /** Milliseconds from one check of an endpoint to the next, which waits for its end. 0: none at all. */
  readonly intervalMs: number;
  /** Checks in a row that must pass before an unhealthy endpoint is healthy. At least 1. */
  readonly rise: number;
  /** Checks in a row that must fail before a healthy endpoint is not. At least 1. */
  readonly fall: number;
}

export interface HealthChecksDeps {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly ask: AskHealth;
  /** Asked at each turn. */
  readonly limits: () => HealthCheckLimits;
  /** From 0 to 1: keeps many gateways from asking at the same moment. */
  readonly chance: () => number;
  /** Flips; each is one log line. */
  readonly onUnhealthy: (endpoint: Endpoint, error: Error) => void;
  readonly onHealthy: (endpoint: Endpoint) => void;
}

/** What is under way for one endpoint. */
interface Series {
  cancelTimer: () => void;
  /** Checks in a row that speak against the present state. */
  contrary: number;
}

// Each interval is up to a fifth longer or shorter.
const JITTER = 0.2;
// Of the interval, while checks speak against the present state: Envoy's
// unhealthy_edge_interval, HAProxy's fastinter.
const EDGE_PART = 0.5;

export class HealthChecks {
  readonly #deps: HealthChecksDeps;
  readonly #series = new Map<Endpoint, Series>();

  constructor(deps: HealthChecksDeps) {
    this.#deps = deps;
  }

  /** Begins with endpoints that are new in the pool, and forgets those that have left. */
  follow(): void {
    const { pool, limits } = this.#deps;
    const isOn = limits().intervalMs > 0;
    for (const [endpoint, { cancelTimer }] of this.#series) {
      if (isOn && pool.has(endpoint)) continue;
      cancelTimer();
      this.#series.delete(endpoint);
      pool.setHealthy(endpoint, true);
    }
    for (const endpoint of pool.endpoints) {
      if (!isOn) pool.setHealthy(endpoint, true);
      if (!isOn || this.#series.has(endpoint)) continue;
      const series: Series = { cancelTimer: () => {}, contrary: 0 };
      this.#series.set(endpoint, series);
      void this.#check(endpoint, series);
    }
  }

  /** Asks nobody any more. May be called twice. */
  close(): void {
    for (const { cancelTimer } of this.#series.values()) cancelTimer();
    this.#series.clear();
  }

  async #check(endpoint: Endpoint, series: Series): Promise<void> {
    const { clock } = this.#deps;
    const begunAt = clock.now();
    // Who refuses connections is the retry delay's matter, and said already.
    if (endpoint.isUp) {
      const error = await this.#deps.ask(endpoint).then(
        () => undefined,
        (failure: Error) => failure,
      );
      if (this.#series.get(endpoint) !== series) return;
      if (endpoint.isUp) this.#judge(endpoint, series, error);
    }
    const restMs = Math.max(0, begunAt + this.#intervalMs(series) - clock.now());
    series.cancelTimer = clock.after(restMs, () => void this.#check(endpoint, series));
  }

  #intervalMs({ contrary }: Series): number {
    const { chance, limits } = this.#deps;
    const jitter = 1 + JITTER * (2 * chance() - 1);
    return limits().intervalMs * jitter * (contrary > 0 ? EDGE_PART : 1);
  }

  #judge(endpoint: Endpoint, series: Series, error: Error | undefined): void {
    const { pool, limits, onHealthy, onUnhealthy } = this.#deps;
    if ((error === undefined) === endpoint.isHealthy) {
      series.contrary = 0;
      return;
    }
    series.contrary++;
    if (series.contrary < (error === undefined ? limits().rise : limits().fall)) return;
    series.contrary = 0;
    pool.setHealthy(endpoint, error === undefined);
    if (error === undefined) onHealthy(endpoint);
    else onUnhealthy(endpoint, error);
  }
}

/**
 * What etcd says of itself: `{"health":"true"}` (also with the word true), or
 * /readyz and /livez of 3.5 with the status alone.
 *
 * @throws {Error} that says why it is not well.
 * @see etcd server/etcdserver/api/etcdhttp/health.go
 */
export function judgeAnswer(status: number, body: string): void {
  const words = body.slice(0, 200).trim();
  if (status !== 200) throw new Error(`HTTP ${status}${words === "" ? "" : `: ${words}`}`);
  const health = /"health"\s*:\s*"?(\w+)/.exec(words)?.[1];
  if (health !== undefined && health !== "true") throw new Error(`it says: ${words}`);
}
