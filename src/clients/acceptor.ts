// Accepts the clients of a proxy, up to the connection limit and from allowed addresses
// only. Resets all others before it uses further resources for them. It does not serve them.
import { formatHostPort, type HostPort, isLoopback } from "../core/address.ts";
import { type Clock, pause } from "../core/clock.ts";
import type { ConnectionConfig, ServiceConfig } from "../core/gateway-config.ts";
import type { Logger } from "../observe/log.ts";
import { DescriptorGuard, type GuardedListener } from "../net/descriptor-guard.ts";
import { Listener } from "../net/listener.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";
import { ClientAcl } from "./client-acl.ts";
import { ClientLimit } from "./client-limit.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { ConnectionLimit } from "./connection-limit.ts";
import { EpisodeLog } from "../observe/episode-log.ts";

const AT_LIMIT = "connection limit reached";

/** The reasons to deny a client: the name of the counter, and the words of the log. */
const DENY_REASONS = {
  not_allowed: "outside --allow-cidr",
  client_limit: "over --max-connections-per-client",
} as const;

// Fraction of the connections that a search for reset clients must end. After a search
// that ends fewer, the next one waits for the next turn of the event loop.
const WORTHWHILE_FRACTION = 0.1;

// Time for clients to complete a TCP handshake that began with this process, longer
// than usual round-trip times.
const HANDSHAKE_MS = 300;
// Silence after which the hand-over is considered complete.
const SILENCE_MS = 100;

/** The part of the configuration that it uses. */
export type AcceptorConfig = Pick<
  ConnectionConfig & ServiceConfig,
  "allowedNetworks" | "keepAliveMs" | "maxConnectionsPerClient" | "reusePort"
> & {
  /** Whether the owner starts a TLS handshake on each client before `accepted` returns. Default: false. */
  readonly isForTls?: boolean;
};

/** The connections that were accepted and are open. */
export interface OpenConnections {
  readonly count: number;
  /** Ends those whose client has sent a reset that was not reported yet. */
  reapReset(): void;
}

export interface AcceptorListener<Connection> {
  /** Takes over a client that may connect. Returns its connection; undefined if that has closed already. */
  accepted(client: TcpSocket): Connection | undefined;
  /** A client was reset. */
  denied(reason: DenyReason): void;
}

/** Why a client may not connect. */
export type DenyReason = "connection_limit" | keyof typeof DENY_REASONS;

export class Acceptor<Connection extends object> implements GuardedListener {
  #maxConnections = 0;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #connections: OpenConnections;
  readonly #episodes: EpisodeLog;
  readonly #acl = new ClientAcl();
  readonly #clientLimit = new ClientLimit<Connection>();
  readonly #rateLimitedLog: RateLimitedLog;
  readonly #listener: Listener;
  #owner: AcceptorListener<Connection> | undefined;
  #keepAliveMs = 0;
  #reusePort = false;
  #isForTls = false;
  #address: HostPort | undefined;
  #inherited: number | undefined;
  /** Clients so far, including those that were denied. */
  #clients = 0;
  readonly #guard: DescriptorGuard;
  #maySearchReset = true;

  /** Opens nothing; `listen` does. */
  constructor(clock: Clock, log: Logger, system: TcpSystem, connections: OpenConnections) {
    this.#clock = clock;
    this.#log = log;
    this.#connections = connections;
    this.#episodes = new EpisodeLog(log);
    this.#rateLimitedLog = new RateLimitedLog(log, clock);
    this.#guard = new DescriptorGuard(clock, system.hasDescriptors);
    this.#listener = new Listener(system, (client) => this.#accept(client));
  }

  /**
   * Listens on an IP literal and returns the address, with its real port. `inherited` is
   * the descriptor of a socket that listens there already.
   *
   * @throws {Error} with a `code` such as EADDRINUSE.
   */
  listen(
    address: HostPort,
    inherited: number | undefined,
    config: AcceptorConfig,
    owner: AcceptorListener<Connection>,
  ): HostPort {
    this.#owner = owner;
    this.#inherited = inherited;
    this.#keepAliveMs = config.keepAliveMs;
    this.#reusePort = config.reusePort;
    this.#isForTls = config.isForTls === true;
    this.#setLimits(config);
    this.#address = address;
    this.#address = this.#bind();
    this.#guard.watch(this);
    this.#logListening(formatHostPort(this.#address));
    return this.#address;
  }

  #logListening(address: string): void {
    this.#log.info("listening", { address, "max-connections": this.maxConnections });
    if (isLoopback(this.#address!.host) || !this.#acl.isOpen) return;
    this.#log.warn("accepting clients from any address (--allow-cidr restricts them)", { address });
  }

  #bind(): HostPort {
    return this.#listener.start(this.#address!, {
      keepAliveMs: this.#keepAliveMs,
      reusePort: this.#reusePort,
      inherited: this.#inherited,
      isForTls: this.#isForTls,
    });
  }

  /** Applies another configuration to new clients. */
  reconfigure(config: AcceptorConfig): void {
    this.#keepAliveMs = config.keepAliveMs;
    this.#setLimits(config);
    this.#listener.setKeepAlive(config.keepAliveMs);
  }

  #setLimits({ allowedNetworks, maxConnectionsPerClient }: AcceptorConfig): void {
    this.#acl.setNetworks(allowedNetworks);
    this.#clientLimit.setMax(maxConnectionsPerClient);
  }

  /** The maximum of concurrent connections; further clients are reset. */
  get maxConnections(): number {
    return this.#maxConnections;
  }

  /**
   * Sets the connection limit, and logs its warning if the limit changed. A limit
   * of 0 is kept only before the start, which then fails. A running proxy goes
   * on with at least 1.
   */
  setMaxConnections({ maxConnections, warning }: ConnectionLimit): void {
    const before = this.#maxConnections;
    const isLogged = warning !== undefined && (maxConnections > 0 || before > 0);
    if (isLogged && maxConnections !== before) this.#log.warn(warning);
    this.#maxConnections = before > 0 ? Math.max(1, maxConnections) : maxConnections;
  }

  /** Releases what a closed connection used of the limits. */
  release(connection: Connection): void {
    this.#clientLimit.release(connection);
    // Not at the first connection that closes: at the limit, each client would log two lines.
    if (this.#connections.count <= this.maxConnections * 0.9) this.#episodes.end(AT_LIMIT);
  }

  /**
   * Stops accepting without refusing clients. If another process shares the address,
   * directs new clients to it, and still accepts those whose handshake began here,
   * unless `signal` aborts.
   */
  async handOver(signal: AbortSignal): Promise<void> {
    if (this.#reusePort && this.#listener.isOpen) {
      // Index 0 is the process that has listened longest, usually this one. If this one
      // has closed and listened again, it is index 1: clients keep arriving, and the
      // loop goes on.
      for (const index of [1, 0] as const) {
        this.#listener.directClients(index);
        await pause(this.#clock, HANDSHAKE_MS, { signal });
        const before = this.#clients;
        await pause(this.#clock, SILENCE_MS, { signal });
        if (this.#clients === before) break;
      }
    }
    this.close();
  }

  /** Stops accepting. Open connections stay. May be called twice. */
  close(): void {
    this.#guard.close();
    this.#listener.close();
    this.#rateLimitedLog.close();
  }

  /** For the descriptor guard: whether the acceptor listens. */
  get isOpen(): boolean {
    return this.#listener.isOpen;
  }

  /**
   * For the descriptor guard: stops accepting while no descriptor is free. This can
   * happen in spite of the connection limit, if the descriptor limit is lowered while
   * the proxy runs or the whole system runs out of descriptors.
   */
  suspend(): void {
    this.#listener.close();
    // An inherited socket stays open in the process that passed it on, so clients queue there.
    const effect = this.#inherited === undefined ? "refusing clients" : "clients wait";
    this.#log.warn(`out of file descriptors: ${effect}`, {
      connections: this.#connections.count,
    });
  }

  /** For the descriptor guard: listens again. */
  resume(): void {
    this.#bind();
    this.#log.info("file descriptors available: listening again");
  }

  #isFull(): boolean {
    if (this.#connections.count < this.maxConnections) return false;

    // Bun accepts all waiting clients before it reports that any has closed. When
    // many clients connect and reset at once, connections whose clients are gone may
    // therefore reach the limit.
    if (this.#maySearchReset) this.#searchReset();
    return this.#connections.count >= this.maxConnections;
  }

  /** Ends connections of reset clients. After a search that finds few, this turn of the event loop has no other. */
  #searchReset(): void {
    const before = this.#connections.count;
    this.#connections.reapReset();
    this.#maySearchReset = before - this.#connections.count >= before * WORTHWHILE_FRACTION;
    if (this.#maySearchReset) return;
    this.#clock.soon(() => {
      this.#maySearchReset = true;
    });
  }

  #accept(client: TcpSocket): void {
    this.#clients++;

    if (this.#isFull()) {
      this.#owner!.denied("connection_limit");
      client.terminate();
      this.#episodes.begin(AT_LIMIT, { "max-connections": this.maxConnections });
      return;
    }

    // Reading the address is a system call, so it is read only if a rule needs it.
    if (this.#acl.isOpen && !this.#clientLimit.isOn) {
      this.#owner!.accepted(client);
      return;
    }

    const address = client.remoteAddress;
    const reason = this.#denyReason(address);
    if (reason === undefined) {
      const connection = this.#owner!.accepted(client);
      if (connection !== undefined) this.#clientLimit.acquire(connection, address);
      return;
    }
    this.#owner!.denied(reason);
    client.terminate();
    this.#rateLimitedLog.warn(`refusing clients: ${DENY_REASONS[reason]}`, { client: address });
  }

  #denyReason(address: string): keyof typeof DENY_REASONS | undefined {
    if (!this.#acl.allows(address)) return "not_allowed";
    return this.#clientLimit.isReached(address) ? "client_limit" : undefined;
  }
}
