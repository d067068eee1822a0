// Accepts clients, up to the connection limit and from allowed addresses only.
// Resets all others before it uses further resources for them. It does not dial.
import { formatHostPort, type HostPort, isLoopback } from "../core/address.ts";
import { type Clock, pause } from "../core/clock.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import type { Logger } from "../observe/log.ts";
import { DescriptorGuard, type GuardedListener } from "../net/descriptor-guard.ts";
import { Listener } from "../net/listener.ts";
import type { Relay } from "../relay/relay.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";
import { ClientAcl } from "./client-acl.ts";
import { ClientLimit } from "./client-limit.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import type { ConnectionLimit } from "./connection-limit.ts";
import type { EpisodeLog } from "./episode-log.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { Statistics } from "./statistics.ts";

const AT_LIMIT = "connection limit reached";

/** The reasons to deny a client: the name of the counter, and the words of the log. */
const DENY_REASONS = {
  not_allowed: "outside --allow-cidr",
  client_limit: "over --max-connections-per-client",
} as const;

// Fraction of the relays that a search for reset clients must end. After a search
// that ends fewer, the next one waits for the next turn of the event loop.
const WORTHWHILE_FRACTION = 0.1;

// Time for clients to complete a TCP handshake that began with this process, longer
// than usual round-trip times.
const HANDSHAKE_MS = 300;
// Silence after which the hand-over is considered complete.
const SILENCE_MS = 100;

export interface AcceptorDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly refusals: EpisodeLog;
  readonly system: TcpSystem;
  readonly relays: Pick<ConnectionTable, "count" | "reapReset">;
  readonly statistics: Statistics;
  /** The descriptor of a socket that listens already; undefined: the acceptor opens one. */
  readonly inherited: number | undefined;
}

export interface AcceptorListener {
  /** Takes over a client that may connect. Returns its relay; undefined if that has closed already. */
  accepted(client: TcpSocket): Relay | undefined;
}

export class Acceptor implements GuardedListener {
  #maxConnections = 0;
  readonly #deps: AcceptorDeps;
  readonly #acl = new ClientAcl();
  readonly #clientLimit = new ClientLimit();
  readonly #rateLimitedLog: RateLimitedLog;
  readonly #listener: Listener;
  #owner: AcceptorListener | undefined;
  #keepAliveMs: number;
  readonly #reusePort: boolean;
  #address: HostPort | undefined;
  readonly #guard: DescriptorGuard;
  #maySearchReset = true;

  /** Opens nothing; `listen` does. */
  constructor(config: GatewayConfig, deps: AcceptorDeps) {
    this.#deps = deps;
    this.#rateLimitedLog = new RateLimitedLog(deps.log, deps.clock);
    this.#guard = new DescriptorGuard(deps.clock, deps.system.hasDescriptors);
    this.#listener = new Listener(deps.system, (client) => this.#accept(client));
    this.#keepAliveMs = config.keepAliveMs;
    this.#reusePort = config.reusePort;
    this.#setLimits(config);
  }

  /**
   * Listens on an IP literal and returns the address, with its real port.
   *
   * @throws {Error} with a `code` such as EADDRINUSE.
   */
  listen(address: HostPort, owner: AcceptorListener): HostPort {
    this.#owner = owner;
    this.#address = address;
    this.#address = this.#bind();
    this.#guard.watch(this);
    this.#logListening(formatHostPort(this.#address));
    return this.#address;
  }

  #logListening(address: string): void {
    const { log } = this.#deps;
    log.info("listening", { address, "max-connections": this.maxConnections });
    if (isLoopback(this.#address!.host) || !this.#acl.isOpen) return;
    log.warn("accepting clients from any address (--allow-cidr restricts them)", { address });
  }

  #bind(): HostPort {
    return this.#listener.start(this.#address!, {
      keepAliveMs: this.#keepAliveMs,
      reusePort: this.#reusePort,
      inherited: this.#deps.inherited,
    });
  }

  /** Applies another configuration to new clients. */
  reconfigure(config: GatewayConfig): void {
    this.#keepAliveMs = config.keepAliveMs;
    this.#setLimits(config);
    this.#listener.setKeepAlive(config.keepAliveMs);
  }

  #setLimits({ allowedNetworks, maxConnectionsPerClient }: GatewayConfig): void {
    this.#acl.setNetworks(allowedNetworks);
    this.#clientLimit.setMax(maxConnectionsPerClient);
  }

  /** The maximum of concurrent relays; further clients are reset. */
  get maxConnections(): number {
    return this.#maxConnections;
  }

  /**
   * Sets the connection limit, and logs its warning if the limit changed. A limit
   * of 0 is kept only before the start, which then fails. A running gateway goes
   * on with at least 1.
   */
  setMaxConnections({ maxConnections, warning }: ConnectionLimit): void {
    const before = this.#maxConnections;
    const isLogged = warning !== undefined && (maxConnections > 0 || before > 0);
    if (isLogged && maxConnections !== before) this.#deps.log.warn(warning);
    this.#maxConnections = before > 0 ? Math.max(1, maxConnections) : maxConnections;
  }

  /** Releases what a closed relay used of the limits. */
  release(relay: Relay): void {
    this.#clientLimit.release(relay);
    // Not at the first relay that closes: at the limit, each client would log two lines.
    if (this.#deps.relays.count <= this.maxConnections * 0.9) this.#deps.refusals.end(AT_LIMIT);
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
        await pause(this.#deps.clock, HANDSHAKE_MS, { signal });
        const before = this.#deps.statistics.accepted;
        await pause(this.#deps.clock, SILENCE_MS, { signal });
        if (this.#deps.statistics.accepted === before) break;
      }
    }
    this.close();
  }

  /** Stops accepting. Open relays stay. May be called twice. */
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
   * the gateway runs or the whole system runs out of descriptors.
   */
  suspend(): void {
    this.#listener.close();
    // An inherited socket stays open in the process that passed it on, so clients queue there.
    const effect = this.#deps.inherited === undefined ? "refusing clients" : "clients wait";
    this.#deps.log.warn(`out of file descriptors: ${effect}`, {
      relays: this.#deps.relays.count,
    });
  }

  /** For the descriptor guard: listens again. */
  resume(): void {
    this.#bind();
    this.#deps.log.info("file descriptors available: listening again");
  }

  #isFull(): boolean {
    const { relays } = this.#deps;
    if (relays.count < this.maxConnections) return false;

    // Bun accepts all waiting clients before it reports that any has closed. When
    // many clients connect and reset at once, relays whose clients are gone may
    // therefore reach the limit.
    if (this.#maySearchReset) this.#searchReset();
    return relays.count >= this.maxConnections;
  }

  /** Ends relays of reset clients. After a search that finds few, this turn of the event loop has no other. */
  #searchReset(): void {
    const { clock, relays } = this.#deps;
    const before = relays.count;
    relays.reapReset();
    this.#maySearchReset = before - relays.count >= before * WORTHWHILE_FRACTION;
    if (this.#maySearchReset) return;
    clock.soon(() => {
      this.#maySearchReset = true;
    });
  }

  #accept(client: TcpSocket): void {
    const { refusals, statistics } = this.#deps;
    statistics.accepted++;

    if (this.#isFull()) {
      statistics.refused.connection_limit++;
      client.terminate();
      refusals.begin(AT_LIMIT, { "max-connections": this.maxConnections });
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
      const relay = this.#owner!.accepted(client);
      if (relay !== undefined) this.#clientLimit.acquire(relay, address);
      return;
    }
    statistics.refused[reason]++;
    client.terminate();
    this.#rateLimitedLog.warn(`refusing clients: ${DENY_REASONS[reason]}`, { client: address });
  }

  #denyReason(address: string): keyof typeof DENY_REASONS | undefined {
    if (!this.#acl.allows(address)) return "not_allowed";
    return this.#clientLimit.isReached(address) ? "client_limit" : undefined;
  }
}
