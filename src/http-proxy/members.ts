// Connections to members: dialled by the resolver, and kept for later reads. It knows no
// client and no request.
import http from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "../core/clock.ts";
import type { DialError } from "../net/dial-error.ts";
import type { TcpSocket } from "../net/tcp-socket.ts";
import type { Cluster } from "../resolver/cluster.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { Failover, type FailoverTarget } from "../resolver/failover.ts";
import { SocketStream } from "./socket-stream.ts";

/** Idle connections that are kept to one endpoint. Each costs a descriptor. */
export const MAX_IDLE = 32;

export interface ConnectListener {
  /** Exactly one of the two is called, unless `connect` is aborted. */
  connected(connection: SocketStream, endpoint: Endpoint): void;
  /** `error`: what this machine lacked; undefined: no endpoint accepts connections. */
  notConnected(error: DialError | undefined): void;
}

export class Members {
  readonly #clock: Clock;
  readonly #cluster: Cluster;
  readonly #attemptDelayMs: () => number;
  readonly #connections = new Map<Endpoint, MemberConnections>();

  constructor(cluster: Cluster, clock: Clock, attemptDelayMs: () => number) {
    this.#cluster = cluster;
    this.#clock = clock;
    this.#attemptDelayMs = attemptDelayMs;
  }

  /** Returns the connections to an endpoint. */
  of(endpoint: Endpoint): MemberConnections {
    let connections = this.#connections.get(endpoint);
    if (connections === undefined) {
      connections = new MemberConnections();
      this.#connections.set(endpoint, connections);
    }
    return connections;
  }

  /** Open connections to all members. */
  get count(): number {
    let count = 0;
    for (const { open } of this.#connections.values()) count += open.size;
    return count;
  }

  /** Bytes held for members that do not read. */
  get heldBytes(): number {
    let bytes = 0;
    for (const { open } of this.#connections.values())
      for (const connection of open) bytes += connection.heldBytes;
    return bytes;
  }

  /** Connects to an endpoint that is up. May call the listener before it returns. The function returned aborts it. */
  connect(target: FailoverTarget, listener: ConnectListener): () => void {
    const deps = {
      cluster: this.#cluster,
      clock: this.#clock,
      attemptDelayMs: this.#attemptDelayMs,
    };
    const failover = new Failover<TcpSocket>(
      deps,
      {
        connected: (socket, endpoint) =>
          listener.connected(this.#adopt(socket, endpoint), endpoint),
        failed: (error) => listener.notConnected(error),
      },
      target,
    );
    failover.start();
    return () => failover.abort();
  }

  #adopt(socket: TcpSocket, endpoint: Endpoint): SocketStream {
    const { open } = this.of(endpoint);
    const connection: SocketStream = new SocketStream(this.#clock, socket, {
      received: () => {},
      closed: () => {
        open.delete(connection);
        endpoint.release();
      },
    });
    open.add(connection);
    return connection;
  }

  /** Ends the connections to an endpoint that no request uses. */
  closeIdle(endpoint: Endpoint): void {
    this.#connections.get(endpoint)?.kept.closeIdle();
  }

  /** Resets all connections to an endpoint, with their requests. */
  reset(endpoint: Endpoint): void {
    const open = this.#connections.get(endpoint)?.open ?? [];
    for (const connection of [...open]) connection.abort();
  }

  /** Resets the connections to an endpoint that has left, and forgets it. */
  forget(endpoint: Endpoint): void {
    this.reset(endpoint);
    this.#connections.delete(endpoint);
  }

  /** Resets everything. May be called twice. */
  close(): void {
    for (const endpoint of this.#connections.keys()) this.reset(endpoint);
  }
}

/** The connections to one endpoint. */
export class MemberConnections {
  /** For requests that may be repeated: the member may close an idle connection as one is sent. */
  readonly kept = new MemberAgent(true);
  readonly single = new MemberAgent(false);
  readonly open = new Set<SocketStream>();
}

/** What a request hands over to its agent: a connection that it has dialled. */
export interface AgentOptions extends http.RequestOptions {
  readonly dialled: SocketStream | undefined;
}

/** node:http's agent for one endpoint: it never dials. */
export class MemberAgent extends http.Agent {
  /** `keepAlive`: whether connections are kept for later requests. */
  constructor(keepAlive: boolean) {
    super({ keepAlive, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: MAX_IDLE });
  }

  get hasIdle(): boolean {
    return this.#idle.some((socket) => !socket.destroyed);
  }

  get #idle(): readonly Duplex[] {
    return this.freeSockets[NAME] ?? [];
  }

  closeIdle(): void {
    for (const socket of [...this.#idle]) socket.destroy();
  }

  override getName(): string {
    return NAME;
  }

  override createConnection(
    options: AgentOptions,
    done?: (error: Error | null, socket: Duplex) => void,
  ): Duplex | null | undefined {
    const { dialled } = options;
    // The idle connection that this request was to use has just closed.
    if (dialled === undefined) done?.(new Error("no idle connection"), undefined as never);
    return dialled;
  }
}

const NAME = "member";
