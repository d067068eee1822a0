// The HTTP proxy: accepts clients, and carries their requests to members. It wires its parts
// together, and starts, reconfigures, drains and closes them.
import http from "node:http";
import { Acceptor, type AcceptorListener, type DenyReason } from "../clients/acceptor.ts";
import { type ConnectionLimit, connectionLimit } from "../clients/connection-limit.ts";
import { formatHostPort, type HostPort } from "../core/address.ts";
import { type Clock, pause } from "../core/clock.ts";
import { formatDuration } from "../core/duration.ts";
import type { HttpProxyConfig } from "../core/http-proxy-config.ts";
import { StartError } from "../core/start-error.ts";
import { type Listen, listenFailure, resolveListenAddress } from "../net/listen-address.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";
import type { Logger } from "../observe/log.ts";
import { collect, type MetricSamples } from "../observe/metrics.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { Network } from "../resolver/cluster-io.ts";
import { Cluster, type ClusterListener } from "../resolver/cluster.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { type IsLocalAddress, isSelf } from "../resolver/self-address.ts";
import { SrvError } from "../resolver/srv.ts";
import type { OwnAnswer } from "./answers.ts";
import { Client, type ClientListener } from "./client.ts";
import { Clients } from "./clients.ts";
import { Exchange } from "./exchange.ts";
import type { EndedExchange, ExchangeListener, ExchangeParts } from "./exchange-parts.ts";
import { HTTP_PROXY_METRICS } from "./http-proxy-metrics.ts";
import { type HttpProxyStatus, httpProxyStatus } from "./http-proxy-status.ts";
import { createHttpServer } from "./http-server.ts";
import { LeavingEndpoints } from "./leaving-endpoints.ts";
import { localAnswer } from "./local-routes.ts";
import { MAX_IDLE, Members } from "./members.ts";
import { probeMember } from "./probe.ts";
import { RequestCounts } from "./request-counts.ts";
import { logRequest } from "./request-log.ts";
import { Routing } from "./routing.ts";

/** The parts of the machine that the proxy uses. */
export interface HttpProxyDeps {
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
}

// Members that are down are dialled every second by default, which is not worth a line each.
const STILL_DOWN_MS = 60_000;

// A client's connection, and one to a member for its request.
const DESCRIPTORS_PER_CLIENT = 2;

// Time for the last bytes of requests that the proxy has ended.
const LAST_BYTES_MS = 500;

export class HttpProxy
  implements AcceptorListener<Client>, ClientListener, ClusterListener, ExchangeListener
{
  readonly #deps: HttpProxyDeps;
  readonly #log: Logger;
  readonly #rejections: RateLimitedLog;
  #config: HttpProxyConfig;
  #listen: HostPort;
  readonly #startedAt: number;
  readonly #cluster: Cluster;
  readonly #members: Members;
  readonly #acceptor: Acceptor<Client>;
  readonly #clients: Clients;
  readonly #server: http.Server;
  readonly #exchangeParts: ExchangeParts;
  readonly #counts = new RequestCounts();
  readonly #byStream = new WeakMap<object, Client>();
  readonly #leaving: LeavingEndpoints;
  readonly #refused: Record<DenyReason, number> = {
    connection_limit: 0,
    not_allowed: 0,
    client_limit: 0,
  };
  #accepted = 0;
  #hasEndpoints = false;
  #isDraining = false;

  /** Opens nothing; `start` does. */
  constructor(config: HttpProxyConfig, deps: HttpProxyDeps) {
    const { clock, network, system, random } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#log = deps.log.from("http-proxy/http-proxy.ts");
    this.#rejections = new RateLimitedLog(this.#log, clock);
    this.#listen = config.listen;
    this.#startedAt = clock.now();
    this.#cluster = new Cluster(config, {
      ...{ clock, log: deps.log, network, system, random, stillDownMs: STILL_DOWN_MS },
      isSelf: (address, port) => isSelf(this.#listen, address, port, deps.isLocalAddress),
    });
    this.#members = new Members(this.#cluster, clock, () => this.#config.attemptDelayMs);
    this.#leaving = new LeavingEndpoints(clock, this.#members);
    this.#clients = new Clients(system);
    this.#acceptor = new Acceptor<Client>(clock, this.#log, system, this.#clients);
    this.#exchangeParts = {
      ...{ clock, members: this.#members, routing: new Routing(this.#cluster, clock) },
      hopId: Math.floor(random() * 2 ** 48).toString(16),
      config: () => this.#config,
      listener: this,
    };
    this.#server = createHttpServer({
      request: (request, response) => this.#request(request, response),
      malformed: (stream, error) => this.#malformed(stream, error),
    });
  }

  /**
   * Checks the configuration, finds the endpoints and listens. Returns the address, with its real port.
   *
   * @throws {UsageError | StartError} as the gateway's `start`.
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
    this.#acceptor.setMaxConnections(this.#limit());
    if (this.#acceptor.maxConnections === 0) throw new StartError(this.#limit().warning!);
    try {
      const { inheritedListener } = this.#deps;
      this.#listen = this.#acceptor.listen(this.#listen, inheritedListener, this.#config, this);
    } catch (error) {
      throw listenFailure(listen, error);
    }

    this.#cluster.follow();
    this.#log.info("started HTTP proxy", { mode: this.#config.mode });
    this.#log.info("listening for client requests", { address: formatHostPort(this.#listen) });
    return this.#listen;
  }

  /**
   * Applies another configuration, except for what only a restart changes. Requests go on. If
   * it throws, nothing has changed.
   *
   * @throws {UsageError | StartError} as `start`, except for the address.
   */
  async reconfigure(config: HttpProxyConfig): Promise<void> {
    await this.#cluster.check(config);
    this.#config = config;
    this.#acceptor.setMaxConnections(this.#limit());
    this.#acceptor.reconfigure(config);
    await this.#cluster.reconfigure(config);
  }

  /**
   * Stops accepting, closes idle connections, and lets requests finish until the drain timeout
   * has passed or `signal` aborts. Then resets the rest, and returns their number.
   */
  async drain(signal: AbortSignal): Promise<number> {
    const { drainTimeoutMs } = this.#config;
    this.#isDraining = true;
    await this.#acceptor.handOver(signal);
    this.#log.info("draining: no new clients", {
      clients: this.#clients.count,
      timeout: formatDuration(drainTimeoutMs),
    });
    const until = this.#clients.drain();
    await pause(this.#deps.clock, drainTimeoutMs, { signal, until });
    const remaining = this.#counts.active;
    // Connections whose answer was sent wait for their peer's FIN.
    if (remaining === 0) await pause(this.#deps.clock, LAST_BYTES_MS, { signal, until });
    this.close();
    return remaining;
  }

  /** Closes everything at once. May be called twice. */
  close(): void {
    this.#acceptor.close();
    this.#clients.close();
    this.#members.close();
    this.#leaving.close();
    this.#cluster.close();
    this.#server.close();
    this.#rejections.close();
  }

  /** Returns a snapshot of the proxy's state. */
  status(): HttpProxyStatus {
    return httpProxyStatus({
      listen: this.#listen,
      mode: this.#config.mode,
      now: this.#deps.clock.now(),
      startedAt: this.#startedAt,
      isDraining: this.#isDraining,
      maxConnections: this.#acceptor.maxConnections,
      clients: this.#clients,
      members: this.#members,
      accepted: this.#accepted,
      refused: this.#refused,
      counts: this.#counts,
      cluster: this.#cluster,
    });
  }

  metrics(): readonly MetricSamples[] {
    return collect(HTTP_PROXY_METRICS, this.status());
  }

  // The events of the acceptor and of clients.

  accepted(socket: TcpSocket): Client | undefined {
    this.#accepted++;
    const client = new Client(this.#deps.clock, socket, this);
    this.#clients.add(client);
    this.#byStream.set(client.stream, client);
    this.#server.emit("connection", client.stream);
    return this.#clients.has(client) ? client : undefined;
  }

  denied(reason: DenyReason): void {
    this.#accepted++;
    this.#refused[reason]++;
  }

  clientClosed(client: Client): void {
    this.#clients.remove(client);
    this.#acceptor.release(client);
  }

  // The events of requests.

  #request(request: http.IncomingMessage, response: http.ServerResponse): void {
    const client = this.#byStream.get(request.socket)!;
    this.#counts.began(request.method!);
    client.begin(new Exchange(this.#exchangeParts, client, request, response));
  }

  /** While a request is in progress, an answer would be taken for its own. */
  #malformed(stream: object, error: string): "answer" | "reset" | "nothing" {
    const client = this.#byStream.get(stream);
    this.#rejections.warn("malformed request", { client: client?.address ?? null, error });
    if (client?.isClosing) return "nothing";
    return client?.isIdle ? "answer" : "reset";
  }

  ownAnswer(method: string, path: string | undefined): OwnAnswer | undefined {
    return localAnswer(method, path, this.#cluster, () => this.status());
  }

  ended(exchange: EndedExchange): void {
    this.#counts.ended(exchange);
    if (this.#config.hasAccessLog) logRequest(this.#log, exchange, this.#deps.clock.now());
  }

  // The events of the cluster.

  reclaim(label: string): Endpoint | undefined {
    return this.#leaving.reclaim(label);
  }

  endpointRemoved(endpoint: Endpoint): void {
    this.#members.closeIdle(endpoint);
    this.#leaving.add(endpoint, this.#config.drainTimeoutMs);
  }

  endpointsChanged(): void {
    const endpoints = this.#cluster.labels();
    if (!this.#hasEndpoints && endpoints.length > 0)
      this.#log.info("endpoints found", { endpoints });
    this.#hasEndpoints ||= endpoints.length > 0;
    this.#acceptor.setMaxConnections(this.#limit());
  }

  endpointUp(): void {}

  endpointFailing(endpoint: Endpoint): void {
    this.#members.reset(endpoint);
  }

  probe(endpoint: Endpoint, done: (error: Error | undefined) => void): () => void {
    return probeMember(this.#cluster.dialer, this.#deps.clock, endpoint, done);
  }

  /** Returns the connection limit. It is lower with more endpoints, which need descriptors too. */
  #limit(): ConnectionLimit {
    return connectionLimit(this.#config.maxConnections, {
      descriptorLimit: this.#deps.descriptorLimit,
      perClient: DESCRIPTORS_PER_CLIENT,
      forEndpoints: this.#cluster.descriptors + this.#cluster.pool.endpoints.length * MAX_IDLE,
      hasAdminServer: this.#config.metrics !== undefined,
    });
  }
}
