// The assembly: who is accepted, where each client goes, when it all ends.
// It owns everything that it starts, and `close` gives all of it back.
import { formatHostPort, type HostPort } from "../config/address.ts";
import type { Clock } from "../config/clock.ts";
import { formatDuration } from "../config/duration.ts";
import type { GatewayConfig } from "../config/gateway-config.ts";
import type { Logger } from "../observe/log.ts";
import { EndingWatch } from "../relay/ending-watch.ts";
import { Listener } from "../relay/listener.ts";
import { Relay, type RelayDeps } from "../relay/relay.ts";
import type { TcpSocket, TcpSystem } from "../relay/tcp-socket.ts";
import { Health, type HealthEvents } from "../resolver/health.ts";
import { type Lookup, Names } from "../resolver/names.ts";
import { type Endpoint, Pool } from "../resolver/pool.ts";
import { type IsLocalAddress, isSelf } from "../resolver/self-address.ts";
import { EndpointDialer } from "./endpoint-dialer.ts";
import { Refusals } from "./refusals.ts";
import { Route, type RouteDeps } from "./route.ts";
import { checkEndpoints, listenFailure, resolveListenHost } from "./start-checks.ts";

/** What the gateway needs of the machine. */
export interface GatewayDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly lookup: Lookup;
  readonly system: TcpSystem;
  readonly isLocalAddress: IsLocalAddress;
  /** Relays at the same time; more clients are reset. At least 1. */
  readonly maxConnections: number;
  /** How long a relay that cannot end by itself stands still before it is reset, in milliseconds. */
  readonly terminationDelayMs?: number;
}

// Long enough for a slow reader, whose window opens again after a sixteenth of
// its buffer; short enough that what nobody reads is not kept for ever.
const TERMINATION_DELAY_MS = 60_000;

const AT_LIMIT = "the connection limit is reached";
const NO_DESCRIPTORS = "the system has no descriptors or memory left";
const NOTHING_UP = "no endpoint accepts connections";

export class Gateway implements HealthEvents {
  readonly #config: GatewayConfig;
  readonly #deps: GatewayDeps;
  readonly #log: Logger;
  readonly #refusals: Refusals;
  readonly #pool: Pool;
  readonly #names: Names;
  readonly #health: Health;
  readonly #listener: Listener;
  readonly #relays = new Set<Relay>();
  readonly #relayDeps: RelayDeps;
  readonly #routeDeps: RouteDeps;
  #listen: HostPort;
  readonly #isSelf = (address: string, port: number) =>
    isSelf(this.#listen, address, port, this.#deps.isLocalAddress);
  #onEmpty: (() => void) | undefined;

  /** Stores; `start` starts. */
  constructor(config: GatewayConfig, deps: GatewayDeps) {
    const { clock, system, lookup } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#log = deps.log.from("gateway/gateway.ts");
    this.#refusals = new Refusals(this.#log);
    this.#listen = config.listen;
    this.#pool = new Pool(config.endpoints);
    this.#names = new Names(lookup, clock);
    const dialer = new EndpointDialer({
      names: this.#names,
      system,
      clock,
      timeoutMs: config.dialTimeoutMs,
      isSelf: this.#isSelf,
    });
    this.#health = new Health({
      pool: this.#pool,
      clock,
      retryDelayMs: config.retryDelayMs,
      events: this,
      probe: (endpoint, done) =>
        dialer.dial(endpoint, {
          connected: (socket) => {
            // A reset, as HAProxy's checks do: nothing was sent, and no TIME_WAIT stays.
            socket.terminate();
            done(undefined);
          },
          failed: done,
        }),
    });
    this.#listener = new Listener(system, (client) => this.#accept(client));
    this.#relayDeps = {
      clock,
      endings: new EndingWatch(clock, deps.terminationDelayMs ?? TERMINATION_DELAY_MS),
      unsentBytes: (fd) => system.unsentBytes(fd),
      onClosed: (relay) => this.#forget(relay),
    };
    this.#routeDeps = {
      pool: this.#pool,
      health: this.#health,
      dialer,
      clock,
      onJoined: (relay, { label }) => {
        this.#refusals.clear(NO_DESCRIPTORS);
        // One line a client is too much unless it was asked for.
        if (config.logLevel === "debug")
          this.#log.debug("relaying", { client: relay.clientAddress, endpoint: label });
      },
      onRefused: (error) => {
        if (error === undefined) this.#refusals.add(NOTHING_UP, { endpoints: this.#labels() });
        else this.#refusals.add(NO_DESCRIPTORS, { error: error.message });
      },
    };
  }

  /**
   * Checks the endpoints, then listens. Returns the address, with its real port.
   *
   * @throws {UsageError} if an endpoint is the gateway itself.
   * @throws {StartError} if no endpoint resolves or the address cannot be listened on.
   */
  async start(): Promise<HostPort> {
    const { lookup, maxConnections } = this.#deps;
    this.#listen = await resolveListenHost(this.#config.listen, lookup);
    const unresolved = await checkEndpoints(this.#pool.endpoints, {
      names: this.#names,
      isSelf: this.#isSelf,
      timeoutMs: this.#config.dialTimeoutMs,
      listen: formatHostPort(this.#config.listen),
    });
    for (const [{ label }, error] of unresolved)
      this.#log.warn("endpoint does not resolve; it is looked up again at each dial", {
        address: label,
        error,
      });
    try {
      this.#listen = this.#listener.start(this.#listen);
    } catch (error) {
      throw listenFailure(this.#config.listen, error);
    }
    this.#log.info("listening", {
      address: formatHostPort(this.#listen),
      "max-connections": maxConnections,
    });
    this.#log.info("ready to proxy client requests", { endpoints: this.#labels() });
    return this.#listen;
  }

  /**
   * Stops accepting and waits until every relay has ended, for the drain
   * timeout or until `hurry` resolves; then resets the rest and returns how
   * many that were.
   */
  async drain(hurry: Promise<unknown>): Promise<number> {
    const { drainTimeoutMs } = this.#config;
    this.#listener.close();
    this.#log.info("draining: no new clients", {
      relays: this.#relays.size,
      timeout: formatDuration(drainTimeoutMs),
    });
    let cancelTimer = () => {};
    const timeout = new Promise<void>((resolve) => {
      cancelTimer = this.#deps.clock.after(drainTimeoutMs, resolve);
    });
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      if (this.#relays.size === 0) resolve();
    });
    await Promise.race([timeout, empty, hurry]);
    cancelTimer();
    const cut = this.#relays.size;
    this.close();
    return cut;
  }

  /** Ends everything at once: relays are reset, timers cleared. May be called twice. */
  close(): void {
    this.#listener.close();
    for (const relay of [...this.#relays]) relay.terminate();
    this.#health.close();
    this.#relayDeps.endings.close();
  }

  deactivated(endpoint: Endpoint, error: Error): void {
    this.#log.warn("deactivated endpoint", this.#failure(endpoint, error));
  }

  stillDown(endpoint: Endpoint, error: Error): void {
    const message = "failed to activate endpoint (stay inactive for another interval)";
    this.#log.warn(message, this.#failure(endpoint, error));
  }

  activated(endpoint: Endpoint): void {
    this.#log.info("activated", { address: endpoint.label });
    this.#refusals.clear(NOTHING_UP);
  }

  #accept(client: TcpSocket): void {
    if (this.#relays.size >= this.#deps.maxConnections) {
      client.terminate();
      this.#refusals.add(AT_LIMIT, { "max-connections": this.#deps.maxConnections });
      return;
    }
    const relay = new Relay(client, this.#relayDeps);
    this.#relays.add(relay);
    new Route(relay, this.#routeDeps).start();
  }

  #forget(relay: Relay): void {
    this.#relays.delete(relay);
    if (this.#relays.size === 0) this.#onEmpty?.();
    // Not at the first that leaves, or the log would flip with every client at the limit.
    if (this.#relays.size <= this.#deps.maxConnections * 0.9) this.#refusals.clear(AT_LIMIT);
  }

  #labels(): string[] {
    return this.#pool.endpoints.map((endpoint) => endpoint.label);
  }

  #failure(endpoint: Endpoint, error: Error) {
    const interval = formatDuration(this.#config.retryDelayMs);
    return { address: endpoint.label, interval, error: error.message };
  }
}
