// The door: accepts clients, and lets in those whose address is allowed, as long
// as there is room. Everybody else is reset before anything is done for him.
import { formatHostPort, type HostPort, isLoopback } from "../core/address.ts";
import { type Clock, pause } from "../core/clock.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import type { Logger } from "../observe/log.ts";
import { Listener } from "../net/listener.ts";
import type { Relay } from "../relay/relay.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";
import { ClientGate, NOT_ALLOWED } from "./client-gate.ts";
import { RateLimitedLog } from "./rate-limited-log.ts";
import type { ConnectionLimit } from "./connection-limit.ts";
import type { EpisodeLog } from "./episode-log.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { Statistics } from "./statistics.ts";

const AT_LIMIT = "the connection limit is reached";

// Of all relays, that must have been found to be over.
const WORTHWHILE_PART = 0.1;

// For a handshake that has begun here, over any sane distance.
const ON_THEIR_WAY_MS = 300;
// After which it is believed that clients go elsewhere.
const NONE_COMES_MS = 100;

const LOOK_MS = 1000;
// To listen again: for the listener, and for a client and its server.
const DESCRIPTORS_WANTED = 3;

export interface AcceptorDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly refusals: EpisodeLog;
  readonly system: TcpSystem;
  readonly relays: Pick<ConnectionTable, "count" | "reapReset">;
  readonly statistics: Statistics;
  /** A socket that listens already; undefined: it is opened here. */
  readonly inherited: number | undefined;
  /** Makes a relay for a client that has been let in, for `leave`; undefined if it is closed again. */
  readonly onClient: (client: TcpSocket) => Relay | undefined;
}

export class Acceptor {
  #maxConnections = 0;
  readonly #deps: AcceptorDeps;
  readonly #gate = new ClientGate();
  readonly #rateLimitedLog: RateLimitedLog;
  readonly #listener: Listener;
  #keepAliveMs: number;
  readonly #reusePort: boolean;
  #address: HostPort | undefined;
  #cancelLook = () => {};
  #mayReap = true;

  constructor(config: GatewayConfig, deps: AcceptorDeps) {
    this.#deps = deps;
    this.#rateLimitedLog = new RateLimitedLog(deps.log, deps.clock);
    this.#listener = new Listener(deps.system, (client) => this.#accept(client));
    this.#keepAliveMs = config.keepAliveMs;
    this.#reusePort = config.reusePort;
    this.#gate.limits = config;
  }

  /** Listens on an IP literal and returns where. Throws an error with a `code`. */
  listen(listen: HostPort): HostPort {
    this.#address = listen;
    this.#address = this.#bind();
    this.#watchDescriptors();
    this.#tell(formatHostPort(this.#address));
    return this.#address;
  }

  #tell(address: string): void {
    const { log } = this.#deps;
    log.info("listening", { address, "max-connections": this.maxConnections });
    if (isLoopback(this.#address!.host) || this.#gate.hasNetworks) return;
    log.warn(
      "every machine that reaches this address reaches etcd through it; --allow-cidr says who may",
      { address },
    );
  }

  #bind(): HostPort {
    return this.#listener.start(this.#address!, {
      keepAliveMs: this.#keepAliveMs,
      reusePort: this.#reusePort,
      inherited: this.#deps.inherited,
    });
  }

  /** Goes by another configuration from now on; who is in stays. */
  reconfigure(config: GatewayConfig): void {
    this.#keepAliveMs = config.keepAliveMs;
    this.#gate.limits = config;
    this.#listener.setKeepAlive(config.keepAliveMs);
  }

  /** Relays at the same time; more clients are reset. */
  get maxConnections(): number {
    return this.#maxConnections;
  }

  /** So many from now on. Without room for any, the start says so and ends; later it is better to try. */
  setMaxConnections({ maxConnections, warning }: ConnectionLimit): void {
    const before = this.#maxConnections;
    const isTold = warning !== undefined && (maxConnections > 0 || before > 0);
    if (isTold && maxConnections !== before) this.#deps.log.warn(warning);
    this.#maxConnections = before > 0 ? Math.max(1, maxConnections) : maxConnections;
  }

  /** The relay is closed. */
  release(relay: Relay): void {
    this.#gate.leave(relay);
    // Not at the first that leaves, or the log would flip with every client at the limit.
    if (this.#deps.relays.count <= this.maxConnections * 0.9) this.#deps.refusals.end(AT_LIMIT);
  }

  /**
   * Accepts no more once nobody has to be refused for it: where another process
   * shares the address, new clients go there, and those on their way come in,
   * unless `hurry` resolves.
   */
  async handOver(hurry: Promise<unknown>): Promise<void> {
    if (this.#reusePort && this.#listener.isOpen) {
      // The one that leaves is the older, unless it has closed and listened again:
      // that shows, since clients go on coming here.
      for (const index of [1, 0] as const) {
        this.#listener.passOn(index);
        await pause(this.#deps.clock, ON_THEIR_WAY_MS, hurry);
        const before = this.#deps.statistics.accepted;
        await pause(this.#deps.clock, NONE_COMES_MS, hurry);
        if (this.#deps.statistics.accepted === before) break;
      }
    }
    this.close();
  }

  /** Accepts no more; who is in stays. May be called twice. */
  close(): void {
    this.#cancelLook();
    this.#listener.close();
    this.#rateLimitedLog.close();
  }

  /**
   * The connection limit leaves room for all else, but the descriptor limit may
   * be lowered while this runs, and the system as a whole run out. Bun 1.4.5
   * would then try to accept without end, and tell nobody (oven-sh/bun#32705).
   */
  #watchDescriptors(): void {
    const { clock, system, log } = this.#deps;
    this.#cancelLook = clock.after(LOOK_MS, () => {
      this.#watchDescriptors();
      if (this.#listener.isOpen) {
        if (system.hasDescriptors(1)) return;
        this.#listener.close();
        // An inherited socket stays open with whom it belongs to.
        const isOurs = this.#deps.inherited === undefined;
        const what = isOurs ? "refusing clients" : "clients wait";
        log.warn(`no descriptors left: ${what} until some are free`, {
          relays: this.#deps.relays.count,
        });
      } else if (system.hasDescriptors(DESCRIPTORS_WANTED)) this.#reopen();
    });
  }

  #reopen(): void {
    try {
      this.#bind();
      this.#deps.log.info("descriptors are free again: listening");
    } catch {
      // Somebody else has the address for now: again at the next look.
    }
  }

  #isFull(): boolean {
    const { clock, relays } = this.#deps;
    if (relays.count < this.maxConnections) return false;
    // Bun accepts all who wait before it hears of anybody's end, so in a storm of
    // clients that reset at once, the room may be taken by those who have gone.
    if (this.#mayReap) {
      const before = relays.count;
      relays.reapReset();
      // A look at every relay must be worth it, or be rare.
      this.#mayReap = before - relays.count >= before * WORTHWHILE_PART;
      if (!this.#mayReap)
        clock.soon(() => {
          this.#mayReap = true;
        });
    }
    return relays.count >= this.maxConnections;
  }

  #accept(client: TcpSocket): void {
    const { refusals, onClient, statistics } = this.#deps;
    statistics.accepted++;
    if (this.#isFull()) {
      statistics.refused.connection_limit++;
      client.terminate();
      refusals.begin(AT_LIMIT, { "max-connections": this.maxConnections });
      return;
    }
    if (!this.#gate.isGuarded) {
      onClient(client);
      return;
    }
    const address = client.remoteAddress;
    const refusal = this.#gate.refusal(address);
    if (refusal === undefined) {
      const relay = onClient(client);
      if (relay !== undefined) this.#gate.enter(relay, address);
      return;
    }
    statistics.refused[refusal === NOT_ALLOWED ? "not_allowed" : "client_limit"]++;
    client.terminate();
    this.#rateLimitedLog.warn(`refusing clients: ${refusal}`, { client: address });
  }
}
