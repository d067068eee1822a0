// The assembly: who is accepted, where each client goes, when it all ends.
// It owns everything that it starts, and `close` gives all of it back.
import type { HostPort } from "../core/address.ts";
import { type Clock, pause } from "../core/clock.ts";
import { formatDuration } from "../core/duration.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import type { Logger } from "../observe/log.ts";
import type { GatewayStatus } from "../observe/status.ts";
import { Relay } from "../relay/relay.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { type IsLocalAddress, isSelf } from "../resolver/self-address.ts";
import { SrvError } from "../resolver/srv.ts";
import { logAccess } from "./access-log.ts";
import { Cluster } from "../resolver/cluster.ts";
import { type ConnectionLimit, connectionLimit } from "./connection-limit.ts";
import { DrainingEndpoints } from "./draining-endpoints.ts";
import { Acceptor } from "./acceptor.ts";
import { RelayUpkeep } from "./relay-upkeep.ts";
import { ConnectionTable } from "./connection-table.ts";
import { EpisodeLog } from "./episode-log.ts";
import { Failover, type FailoverDeps } from "./failover.ts";
import type { Network } from "../resolver/cluster-io.ts";
import { Statistics } from "./statistics.ts";
import { gatewayStatus } from "./gateway-status.ts";
import { type Listen, listenFailure, whereToListen } from "../net/listen-address.ts";
import { StartError } from "../core/start-error.ts";

/** What the gateway needs of the machine. */
export interface GatewayDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly network: Network;
  readonly system: TcpSystem;
  readonly isLocalAddress: IsLocalAddress;
  /** A number from 0 to 1, at random. */
  readonly random: () => number;
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
  readonly #refusals: EpisodeLog;
  readonly #cluster: Cluster;
  readonly #draining: DrainingEndpoints;
  readonly #acceptor: Acceptor;
  readonly #relays = new ConnectionTable();
  readonly #statistics: Statistics;
  #isDraining = false;
  readonly #upkeep: RelayUpkeep;
  readonly #failoverDeps: FailoverDeps;
  #listen: HostPort;
  readonly #isSelf = (address: string, port: number) =>
    isSelf(this.#listen, address, port, this.#deps.isLocalAddress);

  /** Stores; `start` starts. */
  constructor(config: GatewayConfig, deps: GatewayDeps) {
    const { clock, log, network, system } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#log = log.from("gateway/gateway.ts");
    this.#refusals = new EpisodeLog(this.#log);
    this.#listen = config.listen;
    this.#statistics = new Statistics(clock.now());
    this.#draining = new DrainingEndpoints({
      clock,
      timeoutMs: () => this.#config.drainTimeoutMs,
      resetConnections: (endpoint) => this.#upkeep.cut(endpoint, "endpoint_left"),
    });
    this.#cluster = new Cluster(config, {
      clock,
      log,
      network,
      system,
      isSelf: this.#isSelf,
      reclaim: (label) => this.#draining.reclaim(label),
      onRemoved: (endpoint) => this.#draining.add(endpoint),
      onChanged: () => this.#acceptor.setMaxConnections(this.#limit()),
      resetRelays: (endpoint) => this.#upkeep.cut(endpoint, "endpoint_unhealthy"),
      random: deps.random,
      onActivated: () => this.#refusals.end(NOTHING_UP),
    });
    this.#acceptor = new Acceptor(config, {
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
    this.#failoverDeps = {
      cluster: this.#cluster,
      clock,
      attemptDelayMs: () => this.#config.attemptDelayMs,
      onJoined: (relay, endpoint) => this.#onJoined(relay, endpoint),
      onRefused: (error) => {
        this.#statistics.refused[error === undefined ? "no_endpoint" : "no_descriptors"]++;
        if (error !== undefined) this.#refusals.begin(NO_DESCRIPTORS, { error: error.message });
        else this.#refusals.begin(NOTHING_UP, { endpoints: this.#cluster.labels() });
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
    if (this.#acceptor.maxConnections === 0) throw new StartError(this.#limit().warning!);
    try {
      this.#listen = this.#acceptor.listen(this.#listen);
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
    this.#acceptor.setMaxConnections(this.#limit());
    this.#acceptor.reconfigure(config);
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
    await this.#acceptor.handOver(hurry);
    this.#log.info("draining: no new clients", {
      relays: this.#relays.count,
      timeout: formatDuration(drainTimeoutMs),
    });
    await pause(this.#deps.clock, drainTimeoutMs, this.#relays.whenEmpty(), hurry);
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
      maxConnections: this.#acceptor.maxConnections,
      statistics: this.#statistics,
      relays: this.#relays,
      cluster: this.#cluster,
    });
  }

  /** Ends everything at once: relays are reset, timers cleared. May be called twice. */
  close(): void {
    this.#acceptor.close();
    this.#draining.close();
    this.#relays.terminate("shutdown");
    this.#cluster.close();
    this.#upkeep.close();
  }

  #admit(client: TcpSocket): Relay | undefined {
    const relay = new Relay(client, this.#upkeep.relayDeps);
    if (this.#config.hasAccessLog) relay.rememberClient();
    this.#relays.add(relay);
    new Failover(relay, this.#failoverDeps).start();
    return this.#relays.has(relay) ? relay : undefined;
  }

  #onJoined(relay: Relay, endpoint: Endpoint): void {
    this.#statistics.relayed++;
    this.#relays.assign(relay, endpoint);
    this.#refusals.end(NO_DESCRIPTORS);
    this.#refusals.end(NOTHING_UP);
    // One line a client is too much unless it was asked for.
    if (this.#config.logLevel === "debug")
      this.#log.debug("relaying", { client: relay.clientAddress, endpoint: endpoint.label });
  }

  #forget(relay: Relay): void {
    const endpoint = this.#relays.remove(relay);
    this.#statistics.count(relay, endpoint);
    if (this.#config.hasAccessLog)
      logAccess(this.#log, relay, { endpoint, now: this.#deps.clock.now() });
    this.#acceptor.release(relay);
  }

  /** Endpoints are probed beside all relays, so more of them leave room for fewer relays. */
  #limit(): ConnectionLimit {
    return connectionLimit(this.#config.maxConnections, {
      descriptorLimit: this.#deps.descriptorLimit,
      endpoints: this.#cluster.pool.endpoints.length,
      hasDiscovery: this.#cluster.hasDiscovery || this.#config.healthUrl !== undefined,
      hasAdminServer: this.#config.metrics !== undefined,
    });
  }
}
