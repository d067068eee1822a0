// Endpoints that have left the pool. Their relays get the drain timeout to end by
// themselves and are then reset, so that the clients move to an endpoint of the pool.
import type { Clock } from "../core/clock.ts";
import { keyOfLabel } from "../core/endpoint-spec.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { ConnectionTable } from "./connection-table.ts";

export class DrainingEndpoints {
  readonly #clock: Clock;
  readonly #connections: Pick<ConnectionTable, "resetRelays">;
  /** The keys are those of `keyOfLabel`. */
  readonly #draining = new Map<string, { endpoint: Endpoint; cancelTimer: () => void }>();

  constructor(clock: Clock, connections: Pick<ConnectionTable, "resetRelays">) {
    this.#clock = clock;
    this.#connections = connections;
  }

  /** Adds an endpoint that has left the pool. Resets its relays after `timeoutMs`. */
  add(endpoint: Endpoint, timeoutMs: number): void {
    const key = keyOfLabel(endpoint.label);
    const cancelTimer = this.#clock.after(timeoutMs, () => {
      this.#draining.delete(key);
      this.#connections.resetRelays(endpoint, "endpoint_left");
    });
    this.#draining.set(key, { endpoint, cancelTimer });
  }

  /** Removes and returns the draining endpoint with this label, if there is one. Its relays stay. */
  reclaim(label: string): Endpoint | undefined {
    const key = keyOfLabel(label);
    const draining = this.#draining.get(key);
    draining?.cancelTimer();
    this.#draining.delete(key);
    return draining?.endpoint;
  }

  /** Clears all timers without resetting relays. May be called twice. */
  close(): void {
    for (const { cancelTimer } of this.#draining.values()) cancelTimer();
    this.#draining.clear();
  }
}
