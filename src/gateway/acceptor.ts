// Accepts clients: as many as the connection limit allows, from the addresses
// that may connect. Every other client is reset before anything is done for it.
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
import { RateLimitedLog } from "./rate-limited-log.ts";
import type { ConnectionLimit } from "./connection-limit.ts";
import type { EpisodeLog } from "./episode-log.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { Statistics } from "./statistics.ts";

const AT_LIMIT = "connection limit reached";

/** Why a client may not connect, as the log says it; each is counted under its own name. */
const DENY_REASONS = {
  not_allowed: "outside --allow-cidr",
  client_limit: "over --max-connections-per-client",
} as const;

// Part of all relays that one search for reset clients must find for the next
// search to be worth its cost at once.
const WORTHWHILE_PART = 0.1;

// Time for a TCP handshake that was begun with this process, over any sane distance.
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
  /** A socket that listens already; undefined: the acceptor opens one. */
  readonly inherited: number | undefined;
}

export interface AcceptorListener {
  /** Makes a relay of a client that may connect; undefined if it is closed again already. */
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

  /** Stores; `listen` starts. */
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

  /** Relays at the same time; further clients are reset. */
  get maxConnections(): number {
    return this.#maxConnections;
  }

  /**
   * Sets the connection limit and logs its warning if it is news. 0 is kept only
   * before the start, which it ends: while the gateway runs, it is better to try.
   */
  setMaxConnections({ maxConnections, warning }: ConnectionLimit): void {
    const before = this.#maxConnections;
    const isLogged = warning !== undefined && (maxConnections > 0 || before > 0);
    if (isLogged && maxConnections !== before) this.#deps.log.warn(warning);
    this.#maxConnections = before > 0 ? Math.max(1, maxConnections) : maxConnections;
  }

  /** Takes a relay that has closed off the limits. */
  release(relay: Relay): void {
    this.#clientLimit.release(relay);
    // Not at the first relay that closes, or the log would flip with every client at the limit.
    if (this.#deps.relays.count <= this.maxConnections * 0.9) this.#deps.refusals.end(AT_LIMIT);
  }

  /**
   * Stops accepting without refusing a client: where another process shares the
   * address, new clients go there, and clients whose handshake has begun here are
   * still accepted, until `signal` aborts.
   */
  async handOver(signal: AbortSignal): Promise<void> {
    if (this.#reusePort && this.#listener.isOpen) {
      // The process that leaves has listened longer, unless it has closed and
      // listened again. Then clients go on arriving here, and the index was wrong.
      for (const index of [1, 0] as const) {
        this.#listener.passOn(index);
        await pause(this.#deps.clock, HANDSHAKE_MS, { signal });
        const before = this.#deps.statistics.accepted;
        await pause(this.#deps.clock, SILENCE_MS, { signal });
        if (this.#deps.statistics.accepted === before) break;
      }
    }
    this.close();
  }

  /** Stops accepting; relays go on. May be called twice. */
  close(): void {
    this.#guard.close();
    this.#listener.close();
    this.#rateLimitedLog.close();
  }

  /** For the descriptor guard, like `suspend` and `resume`. */
  get isOpen(): boolean {
    return this.#listener.isOpen;
  }

  /**
   * Stops accepting while this process has no descriptors. The connection limit
   * leaves room for everything else, but the descriptor limit may be lowered while
   * the gateway runs, and the whole system may run out.
   */
  suspend(): void {
    this.#listener.close();
    // An inherited socket stays open in the process that handed it over.
    const effect = this.#deps.inherited === undefined ? "refusing clients" : "clients wait";
    this.#deps.log.warn(`out of file descriptors: ${effect}`, {
      relays: this.#deps.relays.count,
    });
  }

  resume(): void {
    this.#bind();
    this.#deps.log.info("file descriptors available: listening again");
  }

  #isFull(): boolean {
    const { relays } = this.#deps;
    if (relays.count < this.maxConnections) return false;
    // Bun accepts every waiting client before it reports the end of any, so in a
    // storm of clients that reset at once, relays of clients that are gone may
    // take all the room.
    if (this.#maySearchReset) this.#searchReset();
    return relays.count >= this.maxConnections;
  }

  /** Ends relays of reset clients. A search that finds few is not repeated in this turn of the event loop. */
  #searchReset(): void {
    const { clock, relays } = this.#deps;
    const before = relays.count;
    relays.reapReset();
    this.#maySearchReset = before - relays.count >= before * WORTHWHILE_PART;
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
    // The address costs a system call, so it is read only if a rule needs it.
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
