// Active health checks: checks each endpoint at an interval and decides its health
// state. It does not send the requests, nor move clients.
import type { Clock } from "../core/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import { HEALTH_RANK, type Pool } from "./pool.ts";

/** The result of one check. `reason` is why the endpoint is not healthy. */
export type HealthResult =
  | { readonly state: "healthy" }
  | { readonly state: "unhealthy" | "unresponsive"; readonly reason: string };

/** Checks an endpoint once. Never rejects: a failure is a result. */
export type CheckHealth = (endpoint: Endpoint) => Promise<HealthResult>;

export interface HealthCheckLimits {
  /** Milliseconds from the start of one check of an endpoint to the next. 0: no checks. */
  readonly intervalMs: number;
  /** Consecutive checks with a better result before the state improves. At least 1. */
  readonly rise: number;
  /** Consecutive checks with a worse result before the state worsens. At least 1. */
  readonly fall: number;
}

export interface HealthCheckEvents {
  /** The endpoint's health changed to the state of `answer`. */
  healthChanged(endpoint: Endpoint, answer: HealthResult): void;
  /** A check of an endpoint that is not healthy failed, or was skipped because it is down. */
  stillFailing(endpoint: Endpoint): void;
}

/** The checks of one endpoint. */
interface Series {
  cancelTimer: () => void;
  /** Consecutive results that differ from the state: positive if worse, negative if better. */
  streak: number;
}

// Each interval is up to 20 % longer or shorter.
const JITTER = 0.2;
// Factor of the interval while results differ from the state: Envoy's
// unhealthy_edge_interval, HAProxy's fastinter.
const EDGE_FACTOR = 0.5;

export class ActiveHealth {
  readonly #pool: Pool;
  readonly #clock: Clock;
  readonly #ask: CheckHealth;
  readonly #random: () => number;
  #limits: HealthCheckLimits = { intervalMs: 0, rise: 1, fall: 1 };
  #events: HealthCheckEvents | undefined;
  readonly #series = new Map<Endpoint, Series>();
  #isClosed = false;

  /** `random` returns a number from 0 to 1, for the jitter that spreads the checks of many gateways. */
  constructor(pool: Pool, clock: Clock, ask: CheckHealth, random: () => number) {
    this.#pool = pool;
    this.#clock = clock;
    this.#ask = ask;
    this.#random = random;
  }

  /** Starts checks of the endpoints in the pool. */
  start(limits: HealthCheckLimits, events: HealthCheckEvents): void {
    this.#limits = limits;
    this.#events = events;
    this.sync();
  }

  /** Starts checks of endpoints that are new in the pool, and stops those of endpoints that left it. */
  sync(): void {
    const pool = this.#pool;
    const isOn = this.#limits.intervalMs > 0;

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

  /**
   * Checks every endpoint now, by other limits. Earlier results no longer count: the
   * health URL may have changed. Each endpoint keeps its state. Does nothing after `close`.
   */
  restart(limits: HealthCheckLimits): void {
    this.#limits = limits;
    this.#stop();
    for (const endpoint of this.#pool.endpoints) this.#pool.recordCheck(endpoint, false);
    if (!this.#isClosed) this.sync();
  }

  /** Stops all checks; a check in progress changes nothing. May be called twice. */
  close(): void {
    this.#isClosed = true;
    this.#stop();
  }

  #stop(): void {
    for (const { cancelTimer } of this.#series.values()) cancelTimer();
    this.#series.clear();
  }

  /** Makes an endpoint healthy, as endpoints without checks are. */
  #reset(endpoint: Endpoint): void {
    this.#pool.recordCheck(endpoint, false);
    this.#pool.setHealth(endpoint, "healthy", { at: this.#clock.now() });
  }

  async #check(endpoint: Endpoint, series: Series): Promise<void> {
    const clock = this.#clock;
    const startedAt = clock.now();

    // An endpoint that is down is not checked: passive health probes it.
    if (endpoint.isUp) {
      const answer = await this.#ask(endpoint);
      if (this.#series.get(endpoint) !== series) return;
      if (endpoint.isUp) this.#applyResult(endpoint, series, answer);
    }
    if (!endpoint.isUp) this.#pool.recordCheck(endpoint, false);
    if (endpoint.health !== "healthy" && !endpoint.hasPassedCheck)
      this.#events?.stillFailing(endpoint);

    const delayMs = Math.max(0, startedAt + this.#intervalMs(series) - clock.now());
    series.cancelTimer = clock.after(delayMs, () => void this.#check(endpoint, series));
  }

  #intervalMs({ streak }: Series): number {
    const jitter = 1 + JITTER * (2 * this.#random() - 1);
    return this.#limits.intervalMs * jitter * (streak === 0 ? 1 : EDGE_FACTOR);
  }

  /** Records a result, and changes the state after enough consecutive results that differ from it. */
  #applyResult(endpoint: Endpoint, series: Series, answer: HealthResult): void {
    const pool = this.#pool;
    pool.recordCheck(endpoint, answer.state === "healthy");

    const direction = Math.sign(HEALTH_RANK[answer.state] - HEALTH_RANK[endpoint.health]);
    const continues = Math.sign(series.streak) === direction;
    series.streak = continues ? series.streak + direction : direction;
    const threshold = direction > 0 ? this.#limits.fall : this.#limits.rise;
    if (direction === 0 || Math.abs(series.streak) < threshold) return;

    series.streak = 0;
    const reason = answer.state === "healthy" ? undefined : answer.reason;
    pool.setHealth(endpoint, answer.state, { at: this.#clock.now(), reason });
    this.#events?.healthChanged(endpoint, answer);
  }
}

/**
 * Returns the health that etcd reports: status 200 with `{"health":"true"}` or
 * `{"health":true}` from /health, status 200 alone from /readyz and /livez (3.5).
 *
 * @see etcd server/etcdserver/api/etcdhttp/health.go
 */
export function parseHealthResponse(status: number, body: string): HealthResult {
  const excerpt = body.slice(0, 200).trim();
  if (status !== 200)
    return { state: "unhealthy", reason: `HTTP ${status}${excerpt === "" ? "" : `: ${excerpt}`}` };

  const health = /"health"\s*:\s*"?(\w+)/.exec(excerpt)?.[1];
  if (health === undefined || health === "true") return { state: "healthy" };
  return { state: "unhealthy", reason: `the answer is ${excerpt}` };
}
