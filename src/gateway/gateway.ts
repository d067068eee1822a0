// The L4 gateway: wires the acceptor, the cluster and the connection table together,
// and starts, reconfigures, drains and closes them. It owns all of them.
import type { HostPort } from "../core/address.ts";
import { type Clock, pause } from "../core/clock.ts";
import { formatDuration } from "../core/duration.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import { StartError } from "../core/start-error.ts";
import type { DialError } from "../net/dial-error.ts";
import { type Listen, listenFailure, resolveListenAddress } from "../net/listen-address.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";
import type { Logger } from "../observe/log.ts";
import { collect, type MetricSamples } from "../observe/metrics.ts";
import type { Relay } from "../relay/relay.ts";
import type { Network } from "../resolver/cluster-io.ts";
import { Cluster, type ClusterListener } from "../resolver/cluster.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { FailoverDeps } from "../resolver/failover.ts";
import { type IsLocalAddress, isSelf } from "../resolver/self-address.ts";
import { SrvError } from "../resolver/srv.ts";
import { logAccess } from "./access-log.ts";
import { Acceptor, type AcceptorListener, type DenyReason } from "../clients/acceptor.ts";
import { ClientConnection, type ClientConnectionListener } from "./client-connection.ts";
import { type ConnectionLimit, connectionLimit } from "../clients/connection-limit.ts";
import { ConnectionTable, type ConnectionTableListener } from "./connection-table.ts";
import { DrainingEndpoints } from "./draining-endpoints.ts";
import { EpisodeLog } from "../observe/episode-log.ts";
import { GATEWAY_METRICS } from "./gateway-metrics.ts";
import { type GatewayStatus, gatewayStatus } from "./gateway-status.ts";
import { Statistics } from "./statistics.ts";

/** The parts of the machine that the gateway uses. */
export interface GatewayDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly network: Network;
  readonly system: TcpSystem;
  readonly isLocalAddress: IsLocalAddress;
  /** Returns a random number from 0 to 1. */
  readonly random: () => number;
  /** The maximum of descriptors that this process may have open. */
  readonly descriptorLimit: number;
  /** The descriptor of a socket that listens already, which replaces --listen-addr; undefined: none. */
  readonly inheritedListener?: number | undefined;
  /** Milliseconds after which a relay that is closing and makes no progress is reset. */
  readonly stallTimeoutMs?: number;
}

const DESCRIPTORS_PER_RELAY = 2;

const NO_DESCRIPTORS = "out of file descriptors or memory";
const NOTHING_UP = "no endpoint accepts connections";

export class Gateway
  implements
    AcceptorListener<Relay>,
    ClientConnectionListener,
    ClusterListener,
    ConnectionTableListener
{
  #config: GatewayConfig;
  readonly #deps: GatewayDeps;
  readonly #log: Logger;
  readonly #refusals: EpisodeLog;
  readonly #statistics: Statistics;
  readonly #connections: ConnectionTable;
  readonly #draining: DrainingEndpoints;
  readonly #cluster: Cluster;
  readonly #acceptor: Acceptor<Relay>;
  readonly #failoverDeps: FailoverDeps<TcpSocket>;
  #listen: HostPort;
  #isDraining = false;

  /** Opens nothing; `start` does. */
  constructor(config: GatewayConfig, deps: GatewayDeps) {
    const { clock, network, system, random } = deps;
    const log = deps.log.from("gateway/gateway.ts");
    this.#config = config;
    this.#deps = deps;
    this.#log = log;
    this.#listen = config.listen;
    this.#refusals = new EpisodeLog(log);
    this.#statistics = new Statistics(clock.now());
    this.#connections = new ConnectionTable(clock, log, system, deps.stallTimeoutMs);
    this.#draining = new DrainingEndpoints(clock, this.#connections);
    this.#cluster = new Cluster(config, {
      ...{ clock, log: deps.log, network, system, random },
      isSelf: (address, port) => isSelf(this.#listen, address, port, deps.isLocalAddress),
    });
    this.#acceptor = new Acceptor<Relay>(clock, log, system, this.#connections);
    this.#failoverDeps = {
      cluster: this.#cluster,
      clock,
      attemptDelayMs: () => this.#config.attemptDelayMs,
    };
  }

  /**
   * Checks the configuration, finds the endpoints and listens. Returns the address, with its real port.
   *
   * @throws {UsageError} if an endpoint is the gateway's own address.
   * @throws {StartError} if there is no endpoint, none resolves, one resolves to the
   *   gateway itself, a file cannot be used, the descriptor limit is too low, or the
   *   gateway cannot listen on the address.
   */
  async start(): Promise<HostPort> {
    const listen: Listen = { flag: "--listen-addr", address: this.#config.listen };
    this.#listen = await resolveListenAddress(listen, this.#deps);
    await this.#cluster.check(this.#config);
    try {
      await this.#cluster.start(this);
    } catch (error) {
      throw error instanceof SrvError ? new StartError(error.message, { cause: error }) : error;
    }

    if (this.#acceptor.maxConnections === 0) throw new StartError(this.#limit().warning!);
    this.#connections.start(this.#config, this);
    try {
      const { inheritedListener } = this.#deps;
      this.#listen = this.#acceptor.listen(this.#listen, inheritedListener, this.#config, this);
    } catch (error) {
      throw listenFailure(listen, error);
    }

    this.#cluster.follow();
    this.#log.info("ready to proxy client requests", { endpoints: this.#cluster.labels() });
    return this.#listen;
  }

  /**
   * Applies another configuration, except for its listen address, and refreshes
   * discovery. Open relays stay. If it throws, nothing has changed.
   *
   * @throws {UsageError | StartError} as `start` does, except for the address.
   */
  async reconfigure(config: GatewayConfig): Promise<void> {
    await this.#cluster.check(config);
    this.#config = config;
    this.#acceptor.setMaxConnections(this.#limit());
    this.#acceptor.reconfigure(config);
    this.#connections.reconfigure(config);
    await this.#cluster.reconfigure(config);
  }

  /**
   * Stops accepting and waits until every relay has ended, the drain timeout has
   * passed or `signal` aborts. Then resets the remaining relays and returns their number.
   */
  async drain(signal: AbortSignal): Promise<number> {
    const { drainTimeoutMs } = this.#config;
    this.#isDraining = true;

    await this.#acceptor.handOver(signal);
    this.#log.info("draining: no new clients", {
      relays: this.#connections.count,
      timeout: formatDuration(drainTimeoutMs),
    });

    const until = this.#connections.whenEmpty();
    await pause(this.#deps.clock, drainTimeoutMs, { signal, until });
    const reset = this.#connections.count;
    this.close();
    return reset;
  }

  /** Returns a snapshot of the gateway's state. */
  status(): GatewayStatus {
    return gatewayStatus({
      listen: this.#listen,
      now: this.#deps.clock.now(),
      isDraining: this.#isDraining,
      maxConnections: this.#acceptor.maxConnections,
      statistics: this.#statistics,
      connections: this.#connections,
      cluster: this.#cluster,
    });
  }

  /** Returns the current samples of its metrics. */
  metrics(): readonly MetricSamples[] {
    return collect(GATEWAY_METRICS, this.status());
  }

  /** Closes everything immediately: relays, sockets and timers. May be called twice. */
  close(): void {
    this.#acceptor.close();
    this.#draining.close();
    this.#connections.close("shutdown");
    this.#cluster.close();
  }

  accepted(client: TcpSocket): Relay | undefined {
    this.#statistics.accepted++;
    const relay = this.#connections.add(client);
    new ClientConnection(relay, this).connect(this.#failoverDeps);
    return this.#connections.has(relay) ? relay : undefined;
  }

  denied(reason: DenyReason): void {
    this.#statistics.accepted++;
    this.#statistics.refused[reason]++;
  }

  joined(relay: Relay, endpoint: Endpoint): void {
    this.#statistics.relayed++;
    this.#connections.assign(relay, endpoint);
    this.#refusals.end(NO_DESCRIPTORS);
    this.#refusals.end(NOTHING_UP);
    // The client's address costs a system call, so it is read only if it is logged.
    if (this.#config.logLevel === "debug")
      this.#log.debug("relaying", { client: relay.clientAddress, endpoint: endpoint.label });
  }

  refused(error: DialError | undefined): void {
    if (error === undefined) {
      this.#statistics.refused.no_endpoint++;
      this.#refusals.begin(NOTHING_UP, { endpoints: this.#cluster.labels() });
    } else {
      this.#statistics.refused.no_descriptors++;
      this.#refusals.begin(NO_DESCRIPTORS, { error: error.message });
    }
  }

  closed(relay: Relay, endpoint: Endpoint | undefined): void {
    this.#statistics.count(relay, endpoint);
    if (this.#config.hasAccessLog)
      logAccess(this.#log, relay, { endpoint, now: this.#deps.clock.now() });
    this.#acceptor.release(relay);
  }

  reclaim(label: string): Endpoint | undefined {
    return this.#draining.reclaim(label);
  }

  endpointRemoved(endpoint: Endpoint): void {
    this.#draining.add(endpoint, this.#config.drainTimeoutMs);
  }

  endpointsChanged(): void {
    this.#acceptor.setMaxConnections(this.#limit());
  }

  endpointUp(): void {
    this.#refusals.end(NOTHING_UP);
  }

  endpointFailing(endpoint: Endpoint): void {
    this.#connections.resetRelays(endpoint, "endpoint_unhealthy");
  }

  /** Returns the connection limit. It is lower with more endpoints, whose probes need descriptors too. */
  #limit(): ConnectionLimit {
    return connectionLimit(this.#config.maxConnections, {
      descriptorLimit: this.#deps.descriptorLimit,
      perClient: DESCRIPTORS_PER_RELAY,
      forEndpoints: this.#cluster.descriptors,
      hasAdminServer: this.#config.metrics !== undefined,
    });
  }
}
