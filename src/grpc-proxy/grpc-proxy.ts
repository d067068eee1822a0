// The gRPC proxy: accepts clients, and carries their calls to members. It wires its parts
// together, and starts, reconfigures, drains and closes them.
import { formatHostPort, type HostPort } from "../core/address.ts";
import { type Clock, pause } from "../core/clock.ts";
import { formatDuration } from "../core/duration.ts";
import type { GrpcProxyConfig } from "../core/grpc-proxy-config.ts";
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import type { Stream, StreamListener } from "../http2/stream.ts";
import { type Listen, listenFailure, resolveListenAddress } from "../net/listen-address.ts";
import { Listener } from "../net/listener.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";
import type { Logger } from "../observe/log.ts";
import { collect, type MetricSamples } from "../observe/metrics.ts";
import type { Network } from "../resolver/cluster-io.ts";
import { endpointStatus } from "../resolver/endpoint-status.ts";
import { type IsLocalAddress, isSelf } from "../resolver/self-address.ts";
import { Call, type CallParts } from "./call.ts";
import { Client, type ClientListener, type ClientParts } from "./client.ts";
import { Deadlines } from "./deadlines.ts";
import { GrpcCode } from "./grpc-status.ts";
import { GRPC_PROXY_METRICS } from "./grpc-proxy-metrics.ts";
import type { GrpcProxyStatus } from "./grpc-proxy-status.ts";
import { type HttpAnswer, HttpRoutes, textAnswer } from "./http-routes.ts";
import { Members } from "./members/members.ts";
import { MethodTable } from "./methods.ts";
import type { Session } from "./session.ts";
import { Upstream, type UpstreamListener } from "./upstream.ts";
import type { WaitingCall } from "./waiting-calls.ts";

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
  /** The maximum of descriptors that this process may have open. */
  readonly descriptorLimit: number;
  /** The descriptor of a socket that listens already, which replaces --listen-addr; undefined: none. */
  readonly inheritedListener?: number | undefined;
}

// Time for etcd to take the deregistration, before clients are sent away.
const DEREGISTER_MS = 1000;
// Time for the last bytes of calls that the proxy has ended.
const LAST_BYTES_MS = 500;

export class GrpcProxy implements ClientListener, UpstreamListener, CallParts {
  readonly #deps: GrpcProxyDeps;
  readonly #log: Logger;
  #config: GrpcProxyConfig;
  #listen: HostPort;
  readonly #startedAt: number;
  readonly #buffered = new Buffered();
  readonly deadlines: Deadlines;
  readonly #methods = new MethodTable();
  readonly #upstream: Upstream;
  readonly #members: Members;
  readonly #routes: HttpRoutes;
  readonly #listener: Listener;
  readonly #clientParts: ClientParts;
  readonly #clients = new Set<Client>();
  readonly #calls = new Set<Call>();
  #accepted = 0;
  #isDraining = false;
  #onIdle = () => {};

  /** Opens nothing; `start` does. */
  constructor(config: GrpcProxyConfig, deps: GrpcProxyDeps) {
    const { clock, system } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#log = deps.log.from("grpc-proxy/grpc-proxy.ts");
    this.#listen = config.listen;
    this.#startedAt = clock.now();
    this.deadlines = new Deadlines(clock);
    this.#upstream = new Upstream(config, {
      ...deps,
      buffered: this.#buffered,
      isSelf: (address, port) => isSelf(this.#listen, address, port, deps.isLocalAddress),
    });
    this.#members = new Members(config, { ...deps, upstream: this.#upstream });
    this.#routes = new HttpRoutes(this.#members.client, this);
    this.#clientParts = {
      ...{ clock, buffered: this.#buffered, routes: this.#routes, listener: this },
      limits: () => this.#config,
    };
    this.#listener = new Listener(system, (socket) => this.#accept(socket));
  }

  /**
   * Checks the configuration, finds the endpoints and listens. Returns the address, with its real port.
   *
   * @throws {UsageError | StartError} as the gateway's `start`.
   */
  async start(): Promise<HostPort> {
    const listen: Listen = { flag: "--listen-addr", address: this.#config.listen };
    this.#listen = await resolveListenAddress(listen, this.#deps);
    await this.#upstream.check(this.#config);
    await this.#upstream.start(this);
    try {
      this.#listen = this.#listener.start(this.#listen, {
        keepAliveMs: this.#config.keepAliveMs,
        reusePort: this.#config.reusePort,
        inherited: this.#deps.inheritedListener,
      });
    } catch (error) {
      throw listenFailure(listen, error);
    }

    const address = formatHostPort(this.#listen);
    this.#log.info("listening for gRPC proxy client requests", { address });
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
    this.#members.reconfigure(config);
    await this.#upstream.reconfigure(config);
  }

  /**
   * Stops accepting, deregisters, and lets calls finish until the drain timeout has passed or
   * `signal` aborts. Then ends the rest with UNAVAILABLE, and returns the number of clients
   * that were still connected.
   */
  async drain(signal: AbortSignal): Promise<number> {
    const { drainTimeoutMs } = this.#config;
    this.#isDraining = true;
    this.#listener.close();
    this.#log.info("draining: no new clients", {
      clients: this.#clients.size,
      timeout: formatDuration(drainTimeoutMs),
    });
    await pause(this.#deps.clock, DEREGISTER_MS, { signal, until: this.#members.close() });

    for (const client of this.#clients) client.drain();
    const until = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      if (this.#clients.size === 0) resolve();
    });
    await pause(this.#deps.clock, drainTimeoutMs, { signal, until });
    const remaining = this.#clients.size;
    await this.#endCalls();
    this.close();
    return remaining;
  }

  /** Ends all calls with a status that makes clients go elsewhere, and waits until that is written. */
  async #endCalls(): Promise<void> {
    for (const call of [...this.#calls])
      call.fail({ code: GrpcCode.UNAVAILABLE, message: "etcd-gateway: the proxy is stopping" });
    for (const client of this.#clients) client.drain();
    const until = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      if (this.#clients.size === 0) resolve();
    });
    await pause(this.#deps.clock, LAST_BYTES_MS, { until });
  }

  /** Closes everything at once. May be called twice. */
  close(): void {
    this.#listener.close();
    for (const client of [...this.#clients]) client.terminate();
    void this.#members.close();
    this.#upstream.close();
    this.deadlines.close();
  }

  /** Returns a snapshot of the proxy's state. */
  status(): GrpcProxyStatus {
    const now = this.#deps.clock.now();
    const { cluster, sessionCount, waitingCalls } = this.#upstream;
    return {
      listen: formatHostPort(this.#listen),
      uptimeMs: now - this.#startedAt,
      draining: this.#isDraining,
      maxConnections: this.#config.maxConnections,
      active: this.#clients.size,
      accepted: this.#accepted,
      refused: {},
      bytesToServers: 0,
      bytesToClients: 0,
      heldBytes: this.#buffered.bytes,
      endpoints: cluster.pool.endpoints.map((endpoint) => endpointStatus(endpoint, now)),
      discovery: cluster.discoveryStatus(),
      calls: this.#calls.size,
      waitingCalls,
      sessions: sessionCount,
      methods: [...this.#methods.all],
    };
  }

  metrics(): readonly MetricSamples[] {
    return collect(GRPC_PROXY_METRICS, this.status());
  }

  memberMetrics(): Promise<HttpAnswer> {
    return Promise.resolve(textAnswer(500, "Internal server error\n"));
  }

  #accept(socket: TcpSocket): void {
    this.#accepted++;
    this.#clients.add(new Client(socket, this.#clientParts));
  }

  // The events of clients.

  call(stream: Stream, list: HeaderList, isEnd: boolean): StreamListener {
    const path = headerValue(list, ":path")!;
    const rewriter = this.#members.rewriterOf(path);
    const call = new Call(stream, this.#methods.find(path), { list, isEnd, rewriter }, this);
    this.#calls.add(call);
    call.start();
    return call;
  }

  clientClosed(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#onIdle();
  }

  faulted(error: unknown): void {
    const { stack } = error as Error;
    this.#log.error("internal error; the call was reset", { error: String(error), stack });
  }

  endpointsChanged(): void {}

  // What calls use.

  get limits(): CallParts["limits"] {
    return this.#config.messages;
  }

  pick(): Session | undefined {
    return this.#upstream.pick();
  }

  wait(call: WaitingCall, timeoutMs: number): () => void {
    return this.#upstream.wait(call, timeoutMs);
  }

  ended(call: Call): void {
    this.#calls.delete(call);
  }
}

/** The bytes that are held for peers that read slowly. */
class Buffered {
  bytes = 0;
  readonly mayGrow = true;

  add(bytes: number): void {
    this.bytes += bytes;
  }
}
