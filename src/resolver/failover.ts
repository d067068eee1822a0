// Finds a connection for one client: picks an endpoint, dials it, and on failure
// or silence dials the next, until one connects or every endpoint was tried.
import type { Clock } from "../core/clock.ts";
import { dialOf } from "../core/endpoint-spec.ts";
import { DialError } from "../net/dial-error.ts";
import { type HedgeBudget, Race } from "../net/race.ts";
import { type Endpoint, type EndpointDial, OVERTAKEN_REASON } from "./endpoint.ts";
import type { PassiveHealth } from "./passive-health.ts";
import type { Pool } from "./pool.ts";

/** Opens connections to endpoints, of whatever kind a proxy needs. */
export interface Dialer<Connection> {
  /** Exactly one of the listener's methods is called, once, unless the function returned aborts the dial. */
  dial(
    endpoint: Endpoint,
    listener: { connected(connection: Connection): void; failed(error: DialError): void },
  ): () => void;
  /** Shared by all failovers of a process. */
  readonly hedgeBudget: HedgeBudget;
}

/** The part of a cluster that a failover needs. */
export interface FailoverCluster<Connection> {
  readonly pool: Pool;
  readonly health: PassiveHealth;
  readonly dialer: Dialer<Connection>;
  /** Whether `refresh` may find other endpoints. */
  readonly hasDiscovery: boolean;
  refresh(): Promise<void>;
}

export interface FailoverDeps<Connection> {
  readonly cluster: FailoverCluster<Connection>;
  readonly clock: Clock;
  /** Milliseconds that a dial may last before the next endpoint is dialled as well. 0: no limit. */
  readonly attemptDelayMs: () => number;
}

/** Which endpoints one failover dials, and in which order. */
export interface FailoverTarget {
  /** Dialled first, if it is up. Undefined: the pool picks. */
  readonly preferred?: Endpoint | undefined;
  /** Not dialled. */
  readonly excluded?: ReadonlySet<Endpoint> | undefined;
}

/** One of the two is called, once, unless the failover is aborted. */
export interface FailoverListener<Connection> {
  /** The receiver owns the connection; the endpoint counts it until the receiver takes it off. */
  connected(connection: Connection, endpoint: Endpoint): void;
  /** `error` is set if this machine lacked something; undefined: no endpoint accepts connections. */
  failed(error: DialError | undefined): void;
}

/** Endpoints that one failover probes at the same time when none is up; each costs a descriptor. */
export const MAX_PROBES = 32;

// How long a client waits for the next discovery when no endpoint serves it: time
// for DNS and a handshake, and less than a client waits before it retries.
const MAX_REFRESH_WAIT_MS = 1000;

const NONE: ReadonlySet<Endpoint> = new Set();

export class Failover<Connection extends { terminate(): void }> {
  readonly #deps: FailoverDeps<Connection>;
  readonly #listener: FailoverListener<Connection>;
  readonly #race: Race<EndpointDial>;
  /** The first endpoint that was dialled, whatever came of it. Few failovers dial another. */
  #first: Endpoint | undefined;
  /** All endpoints that were dialled; undefined until that is asked or there are two. */
  #tried: Set<Endpoint> | undefined;
  #hasRefreshed = false;
  /** Connected, failed or aborted: events that still arrive change nothing. */
  #isOver = false;
  /** Waiting for probes or for a refresh, of which there must not be two. */
  #isWaiting = false;
  #preferred: Endpoint | undefined;

  constructor(
    deps: FailoverDeps<Connection>,
    listener: FailoverListener<Connection>,
    { preferred, excluded }: FailoverTarget = {},
  ) {
    this.#deps = deps;
    this.#listener = listener;
    this.#preferred = preferred;
    if (excluded !== undefined && excluded.size > 0) {
      this.#tried = new Set(excluded);
      [this.#first] = excluded;
    }
    const { clock, cluster } = deps;
    this.#race = new Race({ clock, budget: cluster.dialer.hedgeBudget });
  }

  /** May call the listener before it returns. */
  start(): void {
    this.#next();
  }

  /** Gives up and leaves no connection open. The listener is not called. */
  abort(): void {
    this.#isOver = true;
    this.#race.abort();
  }

  /** Dials the next endpoint, alongside those that are being dialled. */
  #next(): void {
    if (this.#isOver) return;
    // While a dial is in progress, an endpoint in worse health does not help.
    const worst = this.#race.latest?.endpoint.health;
    const endpoint = this.#takePreferred() ?? this.#deps.cluster.pool.pick(this.#triedSet(), worst);
    if (endpoint === undefined) this.#retryDown();
    else this.#dial(endpoint);
  }

  /** Returns the preferred endpoint if it is up, once. */
  #takePreferred(): Endpoint | undefined {
    const endpoint = this.#preferred;
    this.#preferred = undefined;
    return endpoint?.isUp && this.#deps.cluster.pool.has(endpoint) ? endpoint : undefined;
  }

  #dial(endpoint: Endpoint): void {
    const { cluster, clock } = this.#deps;
    this.#race.makeRoom();
    const dial = endpoint.beginDial(clock.now());
    this.#race.add(dial);
    this.#markTried(endpoint);
    const abort = cluster.dialer.dial(endpoint, {
      connected: (connection) => this.#connected(dial, connection),
      failed: (error) => this.#failed(dial, error),
    });

    // A dial that failed at once has already begun the next.
    if (!this.#race.has(dial)) return;
    dial.abortConnect = abort;
    const delayMs = this.#deps.attemptDelayMs();
    if (delayMs > 0) this.#race.after(delayMs, () => this.#next());
  }

  #connected(dial: EndpointDial, connection: Connection): void {
    const { endpoint } = dial;
    this.#race.remove(dial);
    if (!this.#deps.cluster.pool.has(endpoint)) {
      // It left the pool meanwhile, and its other connections may be reset already.
      dial.abort();
      connection.terminate();
      this.#next();
      return;
    }

    this.#isOver = true;
    this.#race.cancelTimer();
    dial.connected(this.#deps.clock.now());
    this.#race.forEach((slower) => this.#recordOvertaken(slower, dial));
    this.#listener.connected(connection, endpoint);
  }

  #failed(dial: EndpointDial, error: DialError): void {
    const { endpoint, startedAt } = dial;
    this.#race.remove(dial);
    dial.failed(error.code);
    if (error.isLocal) {
      if (this.#race.size === 0) this.#fail(error);
      return;
    }
    this.#deps.cluster.health.markDown(endpoint, error, startedAt);
    this.#race.cancelTimer();
    this.#next();
  }

  /** Another endpoint has connected. If it was dialled later, `dial` was too slow. */
  #recordOvertaken(dial: EndpointDial, winner: EndpointDial): void {
    const { endpoint, startedAt } = dial;
    dial.isOvertaken = true;
    this.#race.abandon(dial);
    if (startedAt >= winner.startedAt || !endpoint.recordOvertaken(true)) return;
    const error = new DialError(dialOf(endpoint.spec), OVERTAKEN_REASON);
    this.#deps.cluster.health.markDown(endpoint, error, startedAt);
  }

  /** Probes the endpoints that are down, all at once, and goes to the first that accepts. */
  #retryDown(): void {
    if (this.#isWaiting) return;
    const { pool, health } = this.#deps.cluster;
    const tried = this.#triedSet();
    const down = pool.endpoints
      .filter((endpoint) => !endpoint.isUp && !tried.has(endpoint))
      .slice(0, MAX_PROBES);
    if (down.length === 0) {
      // A dial in progress may still connect.
      if (this.#race.size === 0) this.#refreshOrFail();
      return;
    }

    this.#isWaiting = true;
    let pending = down.length;
    let isDecided = false;
    for (const endpoint of down) {
      health.probeNow(endpoint, (error) => {
        if (isDecided) return;
        if (error !== undefined) this.#markTried(endpoint);
        if (error !== undefined && --pending > 0) return;
        isDecided = true;
        this.#isWaiting = false;
        this.#next();
      });
    }
  }

  /** Every known endpoint was tried. Discovery may find others, or the same ones may be back. */
  #refreshOrFail(): void {
    const { cluster } = this.#deps;
    if (this.#hasRefreshed || !cluster.hasDiscovery) {
      this.#fail(undefined);
      return;
    }

    this.#hasRefreshed = true;
    this.#isWaiting = true;
    const tryAgain = () => {
      if (!this.#isWaiting) return;
      this.#isWaiting = false;
      this.#race.cancelTimer();
      this.#first = undefined;
      this.#tried = undefined;
      this.#next();
    };
    this.#race.after(MAX_REFRESH_WAIT_MS, tryAgain);
    void cluster.refresh().then(tryAgain);
  }

  #fail(error: DialError | undefined): void {
    this.#isOver = true;
    this.#listener.failed(error);
  }

  #markTried(endpoint: Endpoint): void {
    if (this.#first === undefined) this.#first = endpoint;
    else (this.#tried ??= new Set([this.#first])).add(endpoint);
  }

  #triedSet(): ReadonlySet<Endpoint> {
    if (this.#first === undefined) return NONE;
    this.#tried ??= new Set([this.#first]);
    return this.#tried;
  }
}
