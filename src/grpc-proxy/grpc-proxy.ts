// The gRPC proxy: accepts clients, and carries their calls to members. It wires its parts
// together, and starts, reconfigures, drains and closes them.
import { Acceptor, type AcceptorListener, type DenyReason } from "../clients/acceptor.ts";
import { type ConnectionLimit, connectionLimit } from "../clients/connection-limit.ts";
import { formatHostPort, type HostPort } from "../core/address.ts";
import { type Clock, pause } from "../core/clock.ts";
import { formatDuration } from "../core/duration.ts";
import type { GrpcProxyConfig } from "../core/grpc-proxy-config.ts";
import { StartError } from "../core/start-error.ts";
import type { Stream, StreamListener } from "../http2/stream.ts";
import { type Listen, listenFailure, resolveListenAddress } from "../net/listen-address.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";
import type { Logger } from "../observe/log.ts";
import { collect, type MetricSamples } from "../observe/metrics.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { Network } from "../resolver/cluster-io.ts";
import { type IsLocalAddress, isSelf } from "../resolver/self-address.ts";
import { CallRoutes } from "./call-routes.ts";
import { Calls, type ClientRequest } from "./calls.ts";
import { Client, type ClientListener, type ClientParts } from "./client.ts";
import { GrpcCode, type GrpcStatus } from "./grpc-status.ts";
import { Clients } from "./clients.ts";
import { GRPC_PROXY_METRICS } from "./grpc-proxy-metrics.ts";
import { type GrpcProxyStatus, grpcProxyStatus } from "./grpc-proxy-status.ts";
import { HttpRoutes } from "./http-routes.ts";
import { MemberMetrics } from "./member-metrics.ts";
import { Members } from "./members/members.ts";
import { Namespace } from "./namespace/namespace.ts";
import type { ProxyTls } from "./proxy-tls.ts";
import { MAX_READY_SESSIONS } from "./sessions.ts";
import { Upstream, type UpstreamListener } from "./upstream.ts";

/** The parts of the machine that the proxy uses. */
export interface GrpcProxyDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly network: Network;
  readonly system: TcpSystem;
  readonly isLocalAddress: IsLocalAddress;
  /** Returns a random number from 0 to 1. */
  readonly random: () => number;
  readonly hostname: string;
  readonly tls: ProxyTls;
  /** The maximum of descriptors that this process may have open. */
  readonly descriptorLimit: number;
  /** The descriptor of a socket that listens already, which replaces --listen-addr; undefined: none. */
  readonly inheritedListener?: number | undefined;
}

const STOPPING: GrpcStatus = {
  code: GrpcCode.UNAVAILABLE,
  message: "etcd-gateway: the proxy is stopping",
};

// Descriptors for the sessions to one endpoint, of which one may be replaced at a time.
const MAX_SESSIONS = MAX_READY_SESSIONS + 1;

// Time for etcd to take the deregistration, before clients are sent away.
const DEREGISTER_MS = 1000;
// Time for the last bytes of calls that the proxy has ended.
const LAST_BYTES_MS = 500;

export class GrpcProxy implements AcceptorListener<Client>, ClientListener, UpstreamListener {
  readonly #deps: GrpcProxyDeps;
  readonly #log: Logger;
  readonly #rejections: RateLimitedLog;
  #config: GrpcProxyConfig;
  #listen: HostPort;
  readonly #startedAt: number;
  readonly #upstream: Upstream;
  readonly #members: Members;
  readonly #routes: HttpRoutes;
  readonly #acceptor: Acceptor<Client>;
  readonly #clientParts: ClientParts;
  readonly #clients: Clients;
  readonly #calls: Calls;
  readonly #callRoutes: CallRoutes;
  readonly #refused: Record<DenyReason, number> = {
    connection_limit: 0,
    not_allowed: 0,
    client_limit: 0,
  };
  #accepted = 0;
  #isDraining = false;

  /** Opens nothing; `start` does. */
  constructor(config: GrpcProxyConfig, deps: GrpcProxyDeps) {
    const { clock, system } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#log = deps.log.from("grpc-proxy/grpc-proxy.ts");
    this.#rejections = new RateLimitedLog(this.#log, clock);
    this.#listen = config.listen;
    this.#startedAt = clock.now();
    this.#calls = new Calls(config, clock, this.#log);
    this.#upstream = new Upstream(config, {
      ...deps,
      buffered: this.#calls.memory,
      isSelf: (address, port) => isSelf(this.#listen, address, port, deps.isLocalAddress),
    });
    this.#members = new Members(config, { ...deps, upstream: this.#upstream });
    this.#callRoutes = new CallRoutes({
      upstream: this.#upstream,
      members: this.#members,
      namespace: namespaceOf(config),
      makers: new Map(),
    });
    const { pool } = this.#upstream.cluster;
    const memberMetrics = new MemberMetrics(pool, deps.network, () => this.#config);
    this.#routes = new HttpRoutes(this.#members.client, memberMetrics, () => this.metrics());
    this.#clientParts = {
      ...{ clock, buffered: this.#calls.memory, routes: this.#routes, listener: this },
      limits: () => this.#config,
      tlsSettings: () => deps.tls.clientSettings,
    };
    this.#clients = new Clients(system);
    this.#acceptor = new Acceptor<Client>(clock, this.#log, system, this.#clients);
  }

  /**
   * Checks the configuration, finds the endpoints and listens. Returns the address, with its real port.
   *
   * @throws {UsageError | StartError} as the gateway's `start`.
   */
  async start(): Promise<HostPort> {
    const listen: Listen = { flag: "--listen-addr", address: this.#config.listen };
    this.#listen = await resolveListenAddress(listen, this.#deps);
    await this.#deps.tls.start(this.#config.listen.host);
    await this.#upstream.check(this.#config);
    await this.#upstream.start(this);
    if (this.#acceptor.maxConnections === 0) throw new StartError(this.#limit().warning!);
    this.#calls.start(this.#callRoutes, this.#clients);
    try {
      const { inheritedListener } = this.#deps;
      const acceptor = { ...this.#config, isForTls: this.#deps.tls.isListening };
      this.#listen = this.#acceptor.listen(this.#listen, inheritedListener, acceptor, this);
    } catch (error) {
      throw listenFailure(listen, error);
    }

    const address = formatHostPort(this.#listen);
    this.#upstream.follow();
    this.#members.start(this.#listen);
    this.#log.info("started gRPC proxy", { address });
    return this.#listen;
  }

  /**
   * Applies another configuration, except for what only a restart changes. Calls go on. If
   * it throws, nothing has changed.
   *
   * @throws {UsageError | StartError} as `start`, except for the address.
   */
  async reconfigure(config: GrpcProxyConfig): Promise<void> {
    await this.#upstream.check(config);
    this.#config = config;
    this.#acceptor.setMaxConnections(this.#limit());
    this.#acceptor.reconfigure(config);
    this.#calls.reconfigure(config);
    this.#members.reconfigure(config);
    await this.#upstream.reconfigure(config);
  }

  /**
   * Stops accepting, deregisters, and lets calls finish until the drain timeout has passed or
   * `signal` aborts. Then ends the rest with UNAVAILABLE: streams that would go on, such as
   * watches, and calls that did not finish. Returns the number of the latter.
   */
  async drain(signal: AbortSignal): Promise<number> {
    const { drainTimeoutMs } = this.#config;
    this.#isDraining = true;
    await this.#acceptor.handOver(signal);
    this.#log.info("draining: no new clients", {
      clients: this.#clients.count,
      timeout: formatDuration(drainTimeoutMs),
    });
    await pause(this.#deps.clock, DEREGISTER_MS, { signal, until: this.#members.close() });

    void this.#clients.drain();
    await pause(this.#deps.clock, drainTimeoutMs, { signal, until: this.#calls.whenFinished() });
    const remaining = this.#calls.finiteCount;
    this.#calls.fail(STOPPING);
    await pause(this.#deps.clock, LAST_BYTES_MS, { until: this.#clients.drain() });
    this.close();
    return remaining;
  }

  /** Closes everything at once. May be called twice. */
  close(): void {
    this.#acceptor.close();
    this.#clients.close();
    void this.#members.close();
    this.#upstream.close();
    this.#calls.close();
    this.#deps.tls.close();
    this.#rejections.close();
  }

  /** Returns a snapshot of the proxy's state. */
  status(): GrpcProxyStatus {
    return grpcProxyStatus({
      listen: this.#listen,
      now: this.#deps.clock.now(),
      startedAt: this.#startedAt,
      isDraining: this.#isDraining,
      maxConnections: this.#acceptor.maxConnections,
      active: this.#clients.count,
      accepted: this.#accepted,
      refused: this.#refused,
      calls: this.#calls,
      upstream: this.#upstream,
    });
  }

  /** As in etcd's proxy, /metrics of the admin server is a member's. */
  readonly metricsPath = "/proxy/metrics";

  get routes(): HttpRoutes["forAdmin"] {
    return this.#routes.forAdmin;
  }

  metrics(): readonly MetricSamples[] {
    return collect(GRPC_PROXY_METRICS, this.status());
  }

  // The events of the acceptor.

  accepted(socket: TcpSocket): Client | undefined {
    this.#accepted++;
    const client = new Client(this.#clientParts);
    this.#clients.add(client);
    client.start(socket);
    return this.#clients.has(client) ? client : undefined;
  }

  denied(reason: DenyReason): void {
    this.#accepted++;
    this.#refused[reason]++;
  }

  // The events of clients.

  call(stream: Stream, request: ClientRequest, client: Client): StreamListener {
    return this.#calls.begin(stream, request, client);
  }

  clientClosed(client: Client): void {
    this.#clients.remove(client);
    this.#acceptor.release(client);
  }

  rejected(client: string, error: string): void {
    this.#rejections.warn("rejected connection", { client, error });
  }

  faulted(error: unknown): void {
    const { stack } = error as Error;
    this.#log.error("internal error; the call was reset", { error: String(error), stack });
  }

  endpointsChanged(): void {
    this.#acceptor.setMaxConnections(this.#limit());
  }

  /** Returns the connection limit. It is lower with more endpoints, which need descriptors too. */
  #limit(): ConnectionLimit {
    const { cluster } = this.#upstream;
    return connectionLimit(this.#config.maxConnections, {
      descriptorLimit: this.#deps.descriptorLimit,
      perClient: 1,
      forEndpoints: cluster.descriptors + cluster.pool.endpoints.length * MAX_SESSIONS,
      hasAdminServer: this.#config.metrics !== undefined,
    });
  }
}

function namespaceOf({ namespace }: GrpcProxyConfig): Namespace | undefined {
  if (namespace === undefined) return undefined;
  return new Namespace(new TextEncoder().encode(namespace.prefix), { strict: namespace.isStrict });
}
