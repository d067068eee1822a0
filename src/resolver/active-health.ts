// Active health checks: asks each endpoint for its health, over and over, and
// decides its state. What follows for clients is the cluster's matter.
import type { Clock } from "../core/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import { HEALTH_RANK, type Pool } from "./pool.ts";

/** What one check found; `reason` says why the endpoint is not healthy. */
export type HealthAnswer =
  | { readonly state: "healthy" }
  | { readonly state: "unhealthy" | "unresponsive"; readonly reason: string };

/** Checks an endpoint once. Never rejects: a failure is an answer. */
export type AskHealth = (endpoint: Endpoint) => Promise<HealthAnswer>;

export interface HealthCheckLimits {
  /** Milliseconds between the starts of two checks of an endpoint, which never overlap. 0: no checks. */
  readonly intervalMs: number;
  /** Checks in a row that must say better before the state is better. At least 1. */
  readonly rise: number;
  /** Checks in a row that must say worse before the state is worse. At least 1. */
  readonly fall: number;
}

export interface HealthCheckEvents {
  /** The endpoint's state changed to what `answer` says. */
  healthChanged(endpoint: Endpoint, answer: HealthAnswer): void;
  /** A check failed, or found the endpoint down, and the endpoint is not healthy. */
  stillFailing(endpoint: Endpoint): void;
}

export interface ActiveHealthDeps {
  readonly pool: Pool;
  readonly clock: Clock;
  readonly ask: AskHealth;
  /** Asked at each turn. */
  readonly limits: () => HealthCheckLimits;
  /** Returns a number from 0 to 1; it keeps many gateways from asking at the same moment. */
  readonly random: () => number;
  readonly events: HealthCheckEvents;
}

/** The checks of one endpoint. */
interface Series {
  cancelTimer: () => void;
  /** Checks in a row that contradict the state: positive if they say worse, negative if better. */
  streak: number;
}

// Each interval is up to a fifth longer or shorter.
const JITTER = 0.2;
// Part of the interval that is waited while checks contradict the state: Envoy's
// unhealthy_edge_interval, HAProxy's fastinter.
const EDGE_PART = 0.5;

export class ActiveHealth {
  readonly #deps: ActiveHealthDeps;
  readonly #series = new Map<Endpoint, Series>();

  constructor(deps: ActiveHealthDeps) {
    this.#deps = deps;
  }

  /** Starts to check endpoints that are new in the pool, and forgets those that left it. */
  sync(): void {
    const { pool, limits } = this.#deps;
    const isOn = limits().intervalMs > 0;

    for (const [endpoint, { cancelTimer }] of this.#series) {
      if (isOn && pool.has(endpoint)) continue;
      cancelTimer();
      this.#series.delete(endpoint);
      this.#reset(endpoint);
    }

    for (const endpoint of pool.endpoints) {
      if (!isOn) this.#reset(endpoint);
      if (!isOn || this.#series.has(endpoint)) continue;
      const series: Series = { cancelTimer: () => {}, streak: 0 };
      this.#series.set(endpoint, series);
      void this.#check(endpoint, series);
    }
  }

  /** Stops all checks. May be called twice. */
  close(): void {
    for (const { cancelTimer } of this.#series.values()) cancelTimer();
    this.#series.clear();
  }

  #reset(endpoint: Endpoint): void {
    const { pool, clock } = this.#deps;
    pool.recordCheck(endpoint, false);
    pool.setHealth(endpoint, "healthy", { at: clock.now() });
  }

  async #check(endpoint: Endpoint, series: Series): Promise<void> {
    const { clock, events } = this.#deps;
    const startedAt = clock.now();

    // An endpoint that refuses connections is down: passive health probes it.
    if (endpoint.isUp) {
      const answer = await this.#deps.ask(endpoint);
      if (this.#series.get(endpoint) !== series) return;
      if (endpoint.isUp) this.#judge(endpoint, series, answer);
    }
    if (!endpoint.isUp) this.#deps.pool.recordCheck(endpoint, false);
    if (endpoint.health !== "healthy" && !endpoint.hasPassedCheck) events.stillFailing(endpoint);

    const restMs = Math.max(0, startedAt + this.#intervalMs(series) - clock.now());
    series.cancelTimer = clock.after(restMs, () => void this.#check(endpoint, series));
  }

  #intervalMs({ streak }: Series): number {
    const { random, limits } = this.#deps;
    const jitter = 1 + JITTER * (2 * random() - 1);
    return limits().intervalMs * jitter * (streak === 0 ? 1 : EDGE_PART);
  }

  #judge(endpoint: Endpoint, series: Series, answer: HealthAnswer): void {
    const { pool, clock, limits, events } = this.#deps;
    pool.recordCheck(endpoint, answer.state === "healthy");

    const direction = Math.sign(HEALTH_RANK[answer.state] - HEALTH_RANK[endpoint.health]);
    const goesOn = Math.sign(series.streak) === direction;
    series.streak = goesOn ? series.streak + direction : direction;
    const needed = direction > 0 ? limits().fall : limits().rise;
    if (direction === 0 || Math.abs(series.streak) < needed) return;

    series.streak = 0;
    const reason = answer.state === "healthy" ? undefined : answer.reason;
    pool.setHealth(endpoint, answer.state, { at: clock.now(), reason });
    events.healthChanged(endpoint, answer);
  }
}

/**
 * Reads what etcd says of itself: `{"health":"true"}` (also with the word true), or
 * /readyz and /livez of 3.5 with the status alone.
 *
 * @see etcd server/etcdserver/api/etcdhttp/health.go
 */
export function judgeAnswer(status: number, body: string): HealthAnswer {
  const words = body.slice(0, 200).trim();
  if (status !== 200)
    return { state: "unhealthy", reason: `HTTP ${status}${words === "" ? "" : `: ${words}`}` };
  const health = /"health"\s*:\s*"?(\w+)/.exec(words)?.[1];
  if (health === undefined || health === "true") return { state: "healthy" };
  return { state: "unhealthy", reason: `the answer is ${words}` };
}
