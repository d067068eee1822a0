// The relays that there are, and to which endpoint each goes.
import type { RelayEnd } from "../relay/relay-end.ts";
import type { Relay } from "../relay/relay.ts";
import type { Endpoint } from "../resolver/endpoint.ts";

export class ConnectionTable {
  /** Each with the endpoint that serves it, once one does. */
  readonly #endpoints = new Map<Relay, Endpoint | undefined>();
  #onEmpty: (() => void) | undefined;

  get count(): number {
    return this.#endpoints.size;
  }

  has(relay: Relay): boolean {
    return this.#endpoints.has(relay);
  }

  add(relay: Relay): void {
    this.#endpoints.set(relay, undefined);
  }

  /** The dial that the endpoint counted has become this relay's connection. */
  assign(relay: Relay, endpoint: Endpoint): void {
    this.#endpoints.set(relay, endpoint);
  }

  /** The relay is closed; its endpoint, if one served it, has one connection less. */
  remove(relay: Relay): Endpoint | undefined {
    const endpoint = this.#endpoints.get(relay);
    if (endpoint !== undefined) endpoint.connections--;
    this.#endpoints.delete(relay);
    if (this.#endpoints.size === 0) this.#onEmpty?.();
    return endpoint;
  }

  all(): Iterable<Relay> {
    return this.#endpoints.keys();
  }

  /** Each with the endpoint that serves it, once one does. */
  entries(): Iterable<[Relay, Endpoint | undefined]> {
    return this.#endpoints;
  }

  /** Ends those whose client has gone by a reset that Bun has not told yet. */
  reapReset(): void {
    for (const relay of [...this.#endpoints.keys()])
      if (relay.isAbandoned) relay.terminate("client_reset");
  }

  /** Resolves when there is none. */
  whenEmpty(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
      if (this.#endpoints.size === 0) resolve();
    });
  }

  /** Resets all, or those to one endpoint; returns how many. */
  terminate(why: RelayEnd, of?: Endpoint): number {
    const relays = [...this.#endpoints]
      .filter(([, endpoint]) => of === undefined || endpoint === of)
      .map(([relay]) => relay);
    for (const relay of relays) relay.terminate(why);
    return relays.length;
  }
}
