// Which member a request goes to: the one that its client stays with, or the pool's next;
// and what answers and silence say of a member.
import type { Clock } from "../core/clock.ts";
import type { Cluster } from "../resolver/cluster.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { Client } from "./client.ts";

// Requests in a row that a member did not answer and another one did, before it is marked down.
const MAX_SILENCES = 3;

export class Routing {
  readonly #cluster: Cluster;
  readonly #clock: Clock;
  /** Requests in a row that were not answered. */
  readonly #silences = new WeakMap<Endpoint, number>();

  constructor(cluster: Cluster, clock: Clock) {
    this.#cluster = cluster;
    this.#clock = clock;
  }

  /** Returns the endpoint for the next request; undefined if none is up. */
  choose({ endpoint }: Client, excluded: ReadonlySet<Endpoint>): Endpoint | undefined {
    const { pool } = this.#cluster;
    const mayStay =
      endpoint !== undefined &&
      endpoint.isUp &&
      endpoint.health === "healthy" &&
      pool.has(endpoint) &&
      !excluded.has(endpoint);
    return mayStay ? endpoint : pool.pick(excluded);
  }

  /** Whether an endpoint is up that is neither `current` nor excluded. */
  hasOther(excluded: ReadonlySet<Endpoint>, current: Endpoint): boolean {
    return this.#cluster.pool.endpoints.some(
      (endpoint) => endpoint !== current && endpoint.isUp && !excluded.has(endpoint),
    );
  }

  /** A member answered a request that others had not answered in time. */
  answered(endpoint: Endpoint, silent: readonly Endpoint[]): void {
    this.#silences.delete(endpoint);
    for (const other of silent) {
      const count = (this.#silences.get(other) ?? 0) + 1;
      this.#silences.set(other, count);
      if (count < MAX_SILENCES) continue;
      this.#silences.delete(other);
      const error = new Error(`no answer ${MAX_SILENCES} times in a row while others answered`);
      this.#cluster.health.markDown(other, error, this.#clock.now());
    }
  }
}
