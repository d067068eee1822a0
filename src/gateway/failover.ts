// One client's way to an endpoint: pick, dial, on failure or silence the next,
// until one is connected or every endpoint has been tried.
import type { Clock } from "../core/clock.ts";
import { DialError } from "../net/dial-error.ts";
import type { HedgeBudget } from "../net/dial.ts";
import type { Relay } from "../relay/relay.ts";
import type { TcpSocket } from "../net/tcp-socket.ts";
import type { PassiveHealth } from "../resolver/passive-health.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { Pool } from "../resolver/pool.ts";
import { MAX_PROBES } from "./connection-limit.ts";
import type { Connector } from "../resolver/connector.ts";

/** The part of the cluster that a route needs. */
export interface FailoverCluster {
  readonly pool: Pool;
  readonly health: PassiveHealth;
  readonly dialer: Connector;
  /** Whether `refresh` may find other endpoints than there are. */
  readonly hasDiscovery: boolean;
  refresh(): Promise<void>;
}

/** One endpoint being dialled for a client. */
interface FailoverDial {
  readonly endpoint: Endpoint;
  /** On the clock. */
  readonly since: number;
  abort: () => void;
}

export interface FailoverDeps {
  readonly cluster: FailoverCluster;
  readonly clock: Clock;
  /** How long a dial may last before the next endpoint is dialled as well, in milliseconds. 0: for ever. */
  readonly attemptDelayMs: () => number;
  /** The client is served by this endpoint from now on. */
  readonly onJoined: (relay: Relay, endpoint: Endpoint) => void;
  /** The client cannot be served; with an error, for lack of something of our own. */
  readonly onRefused: (error: DialError | undefined) => void;
}

// How long a client that nothing serves is kept for the next look at who exists:
// time for DNS and a handshake, but less than a client waits before it retries.
const MAX_REFRESH_WAIT_MS = 1000;

// A dial is called slow when another was begun after it and has won. So many in
// a row, and the endpoint is down like one that refuses.
const MAX_CONSECUTIVE_OVERTAKEN = 3;

const NONE: ReadonlySet<Endpoint> = new Set();

export class Failover {
  readonly #relay: Relay;
  readonly #deps: FailoverDeps;
  /** Dials under way, the oldest first. */
  readonly #dials = new Set<FailoverDial>();
  /** Who was dialled, whatever came of it. */
  #tried: Set<Endpoint> | undefined;
  #hasRefreshed = false;
  /** Served, refused, or left by its client: whatever comes now changes nothing. */
  #isOver = false;
  /** Probes, or a look for other endpoints, are under way; there must not be two. */
  #isWaiting = false;
  #cancelWait = () => {};

  constructor(relay: Relay, deps: FailoverDeps) {
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
    this.#cancelWait();
    for (const dial of this.#dials) this.#abandon(dial, "abandoned");
  }

  /** Dials the next endpoint, beside those that are being dialled. */
  #next(): void {
    if (this.#isOver) return;
    // While a dial is under way, an endpoint in worse health does not help.
    const worst = [...this.#dials].at(-1)?.endpoint.health;
    const endpoint = this.#deps.cluster.pool.pick(this.#tried ?? NONE, worst);
    if (endpoint === undefined) this.#retryDown();
    else this.#dial(endpoint);
  }

  #dial(endpoint: Endpoint): void {
    const { cluster, clock } = this.#deps;
    const dial: FailoverDial = { endpoint, since: clock.now(), abort: () => {} };
    this.#enforceBudget();
    this.#add(dial);
    const abort = cluster.dialer.dial(endpoint, {
      connected: (server) => this.#connected(dial, server),
      failed: (error) => this.#failed(dial, error),
    });
    // A dial that failed at once has already begun the next.
    if (!this.#dials.has(dial)) return;
    dial.abort = abort;
    const delayMs = this.#deps.attemptDelayMs();
    if (delayMs > 0) this.#waitFor(delayMs, () => this.#next());
  }

  #connected(dial: FailoverDial, server: TcpSocket): void {
    const { endpoint } = dial;
    this.#remove(dial);
    if (!this.#deps.cluster.pool.has(endpoint)) {
      // It left while it was dialled, and its relays may have been cut already.
      endpoint.connections--;
      endpoint.dialStatistics.outcomes.abandoned++;
      server.terminate();
      this.#next();
      return;
    }
    this.#isOver = true;
    this.#cancelWait();
    endpoint.consecutiveOvertaken = 0;
    endpoint.dialStatistics.connected(this.#deps.clock.now() - dial.since);
    for (const slower of this.#dials) this.#recordOvertaken(slower, dial);
    this.#relay.dialing = undefined;
    this.#relay.join(server);
    this.#deps.onJoined(this.#relay, endpoint);
  }

  #failed(dial: FailoverDial, error: DialError): void {
    const { endpoint, since } = dial;
    this.#remove(dial);
    endpoint.connections--;
    endpoint.dialStatistics.failed(error.code);
    if (error.isLocal) {
      if (this.#dials.size === 0) this.#refuse(error);
      return;
    }
    this.#deps.cluster.health.markDown(endpoint, error, since);
    this.#cancelWait();
    this.#next();
  }

  /** Another endpoint has connected, though it was dialled later. */
  #recordOvertaken(dial: FailoverDial, winner: FailoverDial): void {
    const { endpoint, since } = dial;
    this.#abandon(dial, "overtaken");
    if (since >= winner.since || ++endpoint.consecutiveOvertaken < MAX_CONSECUTIVE_OVERTAKEN)
      return;
    endpoint.consecutiveOvertaken = 0;
    const error = new DialError(
      `dial tcp ${endpoint.label}`,
      `no answer ${MAX_CONSECUTIVE_OVERTAKEN} times in a row while others answered`,
    );
    this.#deps.cluster.health.markDown(endpoint, error, since);
  }

  /** Nobody else who is up helps: probes those that are down at once and goes to the first that answers. */
  #retryDown(): void {
    if (this.#isWaiting) return;
    const { pool, health } = this.#deps.cluster;
    const rest = pool.endpoints
      .filter((endpoint) => !endpoint.isUp && this.#tried?.has(endpoint) !== true)
      .slice(0, MAX_PROBES);
    if (rest.length === 0) {
      // Whoever is being dialled may still answer.
      if (this.#dials.size === 0) this.#refreshOrRefuse();
      return;
    }
    this.#isWaiting = true;
    let asked = rest.length;
    let isDecided = false;
    for (const endpoint of rest) {
      health.probeNow(endpoint, (error) => {
        if (isDecided) return;
        if (error !== undefined) this.#markTried(endpoint);
        if (error !== undefined && --asked > 0) return;
        isDecided = true;
        this.#isWaiting = false;
        this.#next();
      });
    }
  }

  /** All that are known were tried in vain; there may be others by now, or they may be back. */
  #refreshOrRefuse(): void {
    const { cluster } = this.#deps;
    if (this.#hasRefreshed || !cluster.hasDiscovery) {
      this.#refuse(undefined);
      return;
    }
    this.#hasRefreshed = true;
    this.#isWaiting = true;
    const goOn = () => {
      if (!this.#isWaiting) return;
      this.#isWaiting = false;
      this.#cancelWait();
      this.#tried = undefined;
      this.#next();
    };
    this.#waitFor(MAX_REFRESH_WAIT_MS, goOn);
    void cluster.refresh().then(goOn);
  }

  get #hedgeBudget(): HedgeBudget {
    return this.#deps.cluster.dialer.hedgeBudget;
  }

  #waitFor(ms: number, then: () => void): void {
    this.#cancelWait();
    this.#cancelWait = this.#deps.clock.after(ms, then);
  }

  /** Second dials come out of a small reserve: where it is used up, the oldest gives way. */
  #enforceBudget(): void {
    const [oldest] = this.#dials;
    if (oldest !== undefined && this.#hedgeBudget.isFull) this.#abandon(oldest, "abandoned");
  }

  #add(dial: FailoverDial): void {
    if (this.#dials.size > 0) this.#hedgeBudget.count++;
    this.#dials.add(dial);
    dial.endpoint.connections++;
    this.#markTried(dial.endpoint);
  }

  #remove(dial: FailoverDial): void {
    if (this.#dials.delete(dial) && this.#dials.size > 0) this.#hedgeBudget.count--;
  }

  #abandon(dial: FailoverDial, outcome: "abandoned" | "overtaken"): void {
    this.#remove(dial);
    dial.endpoint.dialStatistics.outcomes[outcome]++;
    dial.endpoint.connections--;
    dial.abort();
  }

  #markTried(endpoint: Endpoint): void {
    this.#tried ??= new Set();
    this.#tried.add(endpoint);
  }

  #refuse(error: DialError | undefined): void {
    this.#isOver = true;
    this.#relay.dialing = undefined;
    this.#relay.terminate("refused");
    this.#deps.onRefused(error);
  }
}
