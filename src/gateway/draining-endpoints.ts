// Endpoints that have left the pool while relays still go to them: the relays
// may end by themselves for the drain timeout, then they are cut, so that their
// clients move to an endpoint that is there.
import type { Clock } from "../core/clock.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

export interface DrainingEndpointsDeps {
  readonly clock: Clock;
  /** In milliseconds; asked when an endpoint leaves. */
  readonly timeoutMs: () => number;
  /** Resets all relays to this endpoint. */
  readonly resetConnections: (endpoint: Endpoint) => void;
}

export class DrainingEndpoints {
  readonly #deps: DrainingEndpointsDeps;
  readonly #leaving = new Map<string, { endpoint: Endpoint; cancel: () => void }>();

  constructor(deps: DrainingEndpointsDeps) {
    this.#deps = deps;
  }

  /** The endpoint has left the pool. */
  add(endpoint: Endpoint): void {
    const { clock, timeoutMs, resetConnections } = this.#deps;
    const cancel = clock.after(timeoutMs(), () => {
      this.#leaving.delete(endpoint.label);
      resetConnections(endpoint);
    });
    this.#leaving.set(endpoint.label, { endpoint, cancel });
  }

  /** The endpoint that leaves under this label, if one does: it is back, with its relays. */
  reclaim(label: string): Endpoint | undefined {
    const leaving = this.#leaving.get(label);
    leaving?.cancel();
    this.#leaving.delete(label);
    return leaving?.endpoint;
  }

  /** Forgets all timers; nothing is cut. May be called twice. */
  close(): void {
    for (const { cancel } of this.#leaving.values()) cancel();
    this.#leaving.clear();
  }
}
