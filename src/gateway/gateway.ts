// The assembly: who is accepted, where each client goes, when it all ends.
// It owns everything that it starts, and `close` gives all of it back.
import type { HostPort } from "../config/address.ts";
import { type Clock, pause } from "../config/clock.ts";
import { formatDuration } from "../config/duration.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Logger } from "../observe/log.ts";
import type { GatewayStatus } from "../observe/status.ts";
import { Relay } from "../relay/relay.ts";
import type { TcpSocket, TcpSystem } from "../relay/tcp-socket.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { type IsLocalAddress, isSelf } from "../resolver/self-address.ts";
import { SrvError } from "../resolver/srv.ts";
import { logAccess } from "./access-log.ts";
import { Cluster } from "./cluster.ts";
import { type ConnectionLimit, connectionLimit } from "./connection-limit.ts";
import { Departures } from "./departures.ts";
import { Door } from "./door.ts";
import { RelayUpkeep } from "./relay-upkeep.ts";
import { Relays } from "./relays.ts";
import { Refusals } from "./refusals.ts";
import { Route, type RouteDeps } from "./route.ts";
import type { Network } from "./sources.ts";
import { Statistics } from "./statistics.ts";
import { gatewayStatus } from "./gateway-status.ts";
import { type Listen, listenFailure, whereToListen } from "./start-checks.ts";
import { StartError } from "./start-error.ts";

/** What the gateway needs of the machine. */
export interface GatewayDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly network: Network;
  readonly system: TcpSystem;
  readonly isLocalAddress: IsLocalAddress;
  /** A number from 0 to 1, at random. */
  readonly chance: () => number;
  /** Descriptors that this process may have open. */
  readonly descriptorLimit: number;
  /** A socket that listens already, instead of --listen-addr; undefined: none. */
  readonly inheritedListener?: number | undefined;
  /** How long a relay that cannot end by itself stands still before it is reset, in milliseconds. */
  readonly terminationDelayMs?: number;
}

const NO_DESCRIPTORS = "the system has no descriptors or memory left";
const NOTHING_UP = "no endpoint accepts connections";

export class Gateway {
  #config: GatewayConfig;
  readonly #deps: GatewayDeps;
  readonly #log: Logger;
  readonly #refusals: Refusals;
  readonly #cluster: Cluster;
  readonly #departures: Departures;
  readonly #door: Door;
  readonly #relays = new Relays();
  readonly #statistics: Statistics;
  #isDraining = false;
  readonly #upkeep: RelayUpkeep;
  readonly #routeDeps: RouteDeps;
  #listen: HostPort;
  readonly #isSelf = (address: string, port: number) =>
    isSelf(this.#listen, address, port, this.#deps.isLocalAddress);

  /** Stores; `start` starts. */
  constructor(config: GatewayConfig, deps: GatewayDeps) {
    const { clock, log, network, system } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#log = log.from("gateway/gateway.ts");
    this.#refusals = new Refusals(this.#log);
    this.#listen = config.listen;
    this.#statistics = new Statistics(clock.now());
    this.#departures = new Departures({
      clock,
      timeoutMs: () => this.#config.drainTimeoutMs,
      cut: (endpoint) => this.#upkeep.cut(endpoint, "endpoint_left"),
    });
    this.#cluster = new Cluster(config, {
      clock,
      log,
      network,
      system,
      isSelf: this.#isSelf,
      takeBack: (label) => this.#departures.takeBack(label),
      onRemoved: (endpoint) => this.#departures.leave(endpoint),
      onChanged: () => this.#door.setLimit(this.#limit()),
      resetRelays: (endpoint) => this.#upkeep.cut(endpoint, "endpoint_unhealthy"),
      chance: deps.chance,
      onActivated: () => this.#refusals.clear(NOTHING_UP),
    });
    this.#door = new Door(config, {
      clock,
      log: this.#log,
      refusals: this.#refusals,
      system,
      relays: this.#relays,
      statistics: this.#statistics,
      inherited: deps.inheritedListener,
      onClient: (client) => this.#admit(client),
    });
    this.#upkeep = new RelayUpkeep({
      clock,
      log: this.#log,
      system,
      relays: this.#relays,
      config: () => this.#config,
      terminationDelayMs: deps.terminationDelayMs,
      onClosed: (relay) => this.#forget(relay),
    });
    this.#routeDeps = {
      cluster: this.#cluster,
      clock,
      attemptDelayMs: () => this.#config.attemptDelayMs,
      onJoined: (relay, endpoint) => this.#onJoined(relay, endpoint),
      onRefused: (error) => {
        this.#statistics.refused[error === undefined ? "no_endpoint" : "no_descriptors"]++;
        if (error !== undefined) this.#refusals.add(NO_DESCRIPTORS, { error: error.message });
        else this.#refusals.add(NOTHING_UP, { endpoints: this.#cluster.labels() });
      },
    };
  }

  /**
   * Finds the endpoints and checks them, then listens. Returns the address, with its real port.
   *
   * @throws {UsageError} if an endpoint is the gateway itself, or a file cannot be used.
   * @throws {StartError} if there is no endpoint, none resolves, or the address cannot be listened on.
   */
  async start(): Promise<HostPort> {
    const listen: Listen = { flag: "--listen-addr", address: this.#config.listen };
    this.#listen = await whereToListen(listen, this.#deps);
    await this.#cluster.check(this.#config);
    try {
      await this.#cluster.start();
    } catch (error) {
      throw error instanceof SrvError ? new StartError(error.message, { cause: error }) : error;
    }
    if (this.#door.maxConnections === 0) throw new StartError(this.#limit().warning!);
    try {
      this.#listen = this.#door.open(this.#listen);
    } catch (error) {
      throw listenFailure(listen, error);
    }
    this.#cluster.follow();
    this.#upkeep.start();
    this.#log.info("ready to proxy client requests", { endpoints: this.#cluster.labels() });
    return this.#listen;
  }

  /**
   * Goes by another configuration from now on, but for where it listens, and
   * looks everything up anew. Relays go on.
   *
   * @throws {UsageError} if an endpoint is the gateway itself; nothing has changed then.
   * @throws {StartError} if none resolves; nothing has changed then either.
   */
  async reconfigure(config: GatewayConfig): Promise<void> {
    await this.#cluster.check(config);
    this.#config = config;
    this.#door.setLimit(this.#limit());
    this.#door.reconfigure(config);
    this.#upkeep.start();
    await this.#cluster.reconfigure(config);
  }

  /**
   * Stops accepting and waits until every relay has ended, for the drain
   * timeout or until `hurry` resolves; then resets the rest and returns how
   * many that were.
   */
  async drain(hurry: Promise<unknown>): Promise<number> {
    const { drainTimeoutMs } = this.#config;
    this.#isDraining = true;
    await this.#door.retire(hurry);
    this.#log.info("draining: no new clients", {
      relays: this.#relays.count,
      timeout: formatDuration(drainTimeoutMs),
    });
    await pause(this.#deps.clock, drainTimeoutMs, this.#relays.empty(), hurry);
    const cut = this.#relays.count;
    this.close();
    return cut;
  }

  /** What it can tell of itself at this moment. */
  status(): GatewayStatus {
    return gatewayStatus({
      listen: this.#listen,
      now: this.#deps.clock.now(),
      isDraining: this.#isDraining,
      maxConnections: this.#door.maxConnections,
      statistics: this.#statistics,
      relays: this.#relays,
      cluster: this.#cluster,
    });
  }

  /** Ends everything at once: relays are reset, timers cleared. May be called twice. */
  close(): void {
    this.#door.close();
    this.#departures.close();
    this.#relays.terminate("shutdown");
    this.#cluster.close();
    this.#upkeep.close();
  }

  #admit(client: TcpSocket): Relay | undefined {
    const relay = new Relay(client, this.#upkeep.relayDeps);
    if (this.#config.hasAccessLog) relay.rememberClient();
    this.#relays.add(relay);
    new Route(relay, this.#routeDeps).start();
    return this.#relays.has(relay) ? relay : undefined;
  }

  #onJoined(relay: Relay, endpoint: Endpoint): void {
    this.#statistics.relayed++;
    this.#relays.serve(relay, endpoint);
    this.#refusals.clear(NO_DESCRIPTORS);
    this.#refusals.clear(NOTHING_UP);
    // One line a client is too much unless it was asked for.
    if (this.#config.logLevel === "debug")
      this.#log.debug("relaying", { client: relay.clientAddress, endpoint: endpoint.label });
  }

  #forget(relay: Relay): void {
    const endpoint = this.#relays.forget(relay);
    this.#statistics.count(relay, endpoint);
    if (this.#config.hasAccessLog)
      logAccess(this.#log, relay, { endpoint, now: this.#deps.clock.now() });
    this.#door.leave(relay);
  }

  /** Endpoints are probed beside all relays, so more of them leave room for fewer relays. */
  #limit(): ConnectionLimit {
    return connectionLimit(this.#config.maxConnections, {
      descriptorLimit: this.#deps.descriptorLimit,
      endpoints: this.#cluster.pool.endpoints.length,
      isFollowing: this.#cluster.isFollowing || this.#config.healthUrl !== undefined,
      isTelling: this.#config.metrics !== undefined,
    });
  }
}
