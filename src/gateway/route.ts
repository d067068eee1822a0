// One client's way to an endpoint: pick, dial, on failure the next, until one
// is connected or every endpoint has been tried.
import type { Clock } from "../config/clock.ts";
import type { DialError } from "../relay/dial-error.ts";
import type { Relay } from "../relay/relay.ts";
import type { Health } from "../resolver/health.ts";
import type { Endpoint, Pool } from "../resolver/pool.ts";
import type { EndpointDialer } from "./endpoint-dialer.ts";

export interface RouteDeps {
  readonly pool: Pool;
  readonly health: Health;
  readonly dialer: EndpointDialer;
  readonly clock: Clock;
  /** The client is served by this endpoint from now on. */
  readonly onJoined: (relay: Relay, endpoint: Endpoint) => void;
  /** The client cannot be served; with an error, for lack of something of our own. */
  readonly onRefused: (error: DialError | undefined) => void;
}

const NONE: ReadonlySet<Endpoint> = new Set();

export class Route {
  readonly #relay: Relay;
  readonly #deps: RouteDeps;
  #tried: Set<Endpoint> | undefined;
  #isOver = false;
  #abortDial = () => {};

  constructor(relay: Relay, deps: RouteDeps) {
    this.#relay = relay;
    this.#deps = deps;
  }

  /** Goes on until the relay is joined, refused, or closed by its client. */
  start(): void {
    this.#relay.dialing = this;
    this.#next();
  }

  /** For the relay: the client has gone. */
  abort(): void {
    this.#isOver = true;
    this.#abortDial();
  }

  #next(): void {
    const endpoint = this.#deps.pool.pick(this.#tried ?? NONE);
    if (endpoint === undefined) this.#revive();
    else this.#dial(endpoint);
  }

  #dial(endpoint: Endpoint): void {
    const { dialer, health, clock } = this.#deps;
    const since = clock.now();
    let isSettled = false;
    const abort = dialer.dial(endpoint, {
      connected: (server) => {
        isSettled = true;
        this.#relay.dialing = undefined;
        this.#relay.join(server);
        this.#deps.onJoined(this.#relay, endpoint);
      },
      failed: (error) => {
        isSettled = true;
        if (error.isLocal) {
          this.#refuse(error);
          return;
        }
        this.#markTried(endpoint);
        health.markDown(endpoint, error, since);
        this.#next();
      },
    });
    // A dial that failed at once has already begun the next.
    if (!isSettled) this.#abortDial = abort;
  }

  /** Nothing that is up is left: probes all others at once and goes to the first that answers. */
  #revive(): void {
    const { pool, health } = this.#deps;
    const rest = pool.endpoints.filter((endpoint) => this.#tried?.has(endpoint) !== true);
    if (rest.length === 0) {
      this.#refuse(undefined);
      return;
    }
    let asked = rest.length;
    let isDecided = false;
    for (const endpoint of rest) {
      health.revive(endpoint, (error) => {
        if (isDecided || this.#isOver) return;
        if (error !== undefined) this.#markTried(endpoint);
        if (error !== undefined && --asked > 0) return;
        isDecided = true;
        this.#next();
      });
    }
  }

  #markTried(endpoint: Endpoint): void {
    this.#tried ??= new Set();
    this.#tried.add(endpoint);
  }

  #refuse(error: DialError | undefined): void {
    this.#isOver = true;
    this.#relay.dialing = undefined;
    this.#relay.terminate();
    this.#deps.onRefused(error);
  }
}
