// Endpoints that have left the cluster, and whose requests may finish until the drain
// timeout has passed.
import type { Clock } from "../core/clock.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

export class LeavingEndpoints {
  readonly #clock: Clock;
  readonly #members: { forget(endpoint: Endpoint): void };
  /** With the function that cancels the timeout. */
  readonly #endpoints = new Map<Endpoint, () => void>();

  /** `members` resets the connections to an endpoint whose time is over. */
  constructor(clock: Clock, members: { forget(endpoint: Endpoint): void }) {
    this.#clock = clock;
    this.#members = members;
  }

  add(endpoint: Endpoint, timeoutMs: number): void {
    const cancel = this.#clock.after(timeoutMs, () => {
      this.#endpoints.delete(endpoint);
      this.#members.forget(endpoint);
    });
    this.#endpoints.set(endpoint, cancel);
  }

  /** Returns the endpoint that is leaving under this label, which stays then; undefined if none is. */
  reclaim(label: string): Endpoint | undefined {
    for (const [endpoint, cancel] of this.#endpoints) {
      if (endpoint.label !== label) continue;
      cancel();
      this.#endpoints.delete(endpoint);
      return endpoint;
    }
    return undefined;
  }

  /** Clears the timers. May be called twice. */
  close(): void {
    for (const cancel of this.#endpoints.values()) cancel();
    this.#endpoints.clear();
  }
}
