// One client's way to an endpoint: pick, dial, on failure the next, until one
// is connected or every endpoint has been tried.
import type { Clock } from "../config/clock.ts";
import type { DialError } from "../relay/dial-error.ts";
import type { Relay } from "../relay/relay.ts";
import type { Health } from "../resolver/health.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { Pool } from "../resolver/pool.ts";
import type { EndpointDialer } from "./endpoint-dialer.ts";

/** The part of the cluster that a route needs. */
export interface Destinations {
  readonly pool: Pool;
  readonly health: Health;
  readonly dialer: EndpointDialer;
  /** Whether `refresh` may find other endpoints than there are. */
  readonly isFollowing: boolean;
  refresh(): Promise<void>;
}

export interface RouteDeps {
  readonly cluster: Destinations;
  readonly clock: Clock;
  /** The client is served by this endpoint from now on. */
  readonly onJoined: (relay: Relay, endpoint: Endpoint) => void;
  /** The client cannot be served; with an error, for lack of something of our own. */
  readonly onRefused: (error: DialError | undefined) => void;
}

// How long a client that nothing serves is kept for the next look at who exists:
// time for DNS and a handshake, but less than a client waits before it retries.
const MAX_REFRESH_WAIT_MS = 1000;

const NONE: ReadonlySet<Endpoint> = new Set();

export class Route {
  readonly #relay: Relay;
  readonly #deps: RouteDeps;
  #tried: Set<Endpoint> | undefined;
  #hasRefreshed = false;
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
    const endpoint = this.#deps.cluster.pool.pick(this.#tried ?? NONE);
    if (endpoint === undefined) this.#revive();
    else this.#dial(endpoint);
  }

  #dial(endpoint: Endpoint): void {
    const { cluster, clock } = this.#deps;
    const since = clock.now();
    let isSettled = false;
    endpoint.connections++;
    const abort = cluster.dialer.dial(endpoint, {
      connected: (server) => {
        isSettled = true;
        if (!cluster.pool.has(endpoint)) {
          // It left while it was dialled, and its relays may have been cut already.
          server.terminate();
          this.#passOver(endpoint);
          return;
        }
        this.#relay.dialing = undefined;
        this.#relay.join(server);
        this.#deps.onJoined(this.#relay, endpoint);
      },
      failed: (error) => {
        isSettled = true;
        if (error.isLocal) {
          endpoint.connections--;
          this.#refuse(error);
          return;
        }
        cluster.health.markDown(endpoint, error, since);
        this.#passOver(endpoint);
      },
    });
    // A dial that failed at once has already begun the next.
    if (isSettled) return;
    this.#abortDial = () => {
      isSettled = true;
      endpoint.connections--;
      abort();
    };
  }

  #passOver(endpoint: Endpoint): void {
    endpoint.connections--;
    this.#abortDial = () => {};
    this.#markTried(endpoint);
    this.#next();
  }

  /** Nothing that is up is left: probes all others at once and goes to the first that answers. */
  #revive(): void {
    const { pool, health } = this.#deps.cluster;
    const rest = pool.endpoints.filter((endpoint) => this.#tried?.has(endpoint) !== true);
    if (rest.length === 0) {
      this.#refreshOrRefuse();
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

  /** All that are known were tried in vain; there may be others by now. */
  #refreshOrRefuse(): void {
    const { cluster, clock } = this.#deps;
    if (this.#hasRefreshed || !cluster.isFollowing) {
      this.#refuse(undefined);
      return;
    }
    this.#hasRefreshed = true;
    let isWaiting = true;
    const goOn = () => {
      if (isWaiting && !this.#isOver) this.#next();
      isWaiting = false;
    };
    const cancelTimer = clock.after(MAX_REFRESH_WAIT_MS, goOn);
    this.#abortDial = cancelTimer;
    void cluster.refresh().then(() => {
      cancelTimer();
      goOn();
    });
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
