// The cluster as the gateway sees it: who exists, who is up, how each is
// reached. It puts the resolver's parts together and owns all that they start.
import type { Clock } from "../core/clock.ts";
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import type { GatewayConfig } from "../core/gateway-config.ts";
import type { Logger } from "../observe/log.ts";
import type { DiscoveryStatus } from "../observe/status.ts";
import type { TcpSystem } from "../net/tcp-socket.ts";
import { Discovery } from "./discovery.ts";
import { type HealthAnswer, ActiveHealth } from "./active-health.ts";
import { PassiveHealth } from "./passive-health.ts";
import type { DnsCache } from "./dns-cache.ts";
import { Endpoint } from "./endpoint.ts";
import { Pool } from "./pool.ts";
import { ClusterLog } from "./cluster-log.ts";
import type { Connector } from "./connector.ts";
import { EndpointCheck } from "./endpoint-check.ts";
import { createClusterIo, type Network } from "./cluster-io.ts";
import { checkTlsFiles } from "./start-checks.ts";

export interface ClusterDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly network: Network;
  readonly system: TcpSystem;
  /** Whether a connection to this IP literal and port would reach the gateway itself. */
  readonly isSelf: (address: string, port: number) => boolean;
  /** The endpoint that is about to leave under this label; it stays then. */
  readonly reclaim: (label: string) => Endpoint | undefined;
  /** The endpoint is no longer one of the pool's. */
  readonly onRemoved: (endpoint: Endpoint) => void;
  /** Endpoints came, left or changed. */
  readonly onChanged: () => void;
  /** One that was down is up. */
  readonly onActivated: () => void;
  /** The endpoint is not healthy, and its clients can move to one that is: resets its relays. */
  readonly resetRelays: (endpoint: Endpoint) => void;
  /** From 0 to 1. */
  readonly random: () => number;
}

export class Cluster {
  readonly pool: Pool;
  readonly #names: DnsCache;
  readonly health: PassiveHealth;
  readonly dialer: Connector;
  #config: GatewayConfig;
  readonly #deps: ClusterDeps;
  readonly #log: ClusterLog;
  readonly #discovery: Discovery;
  readonly #activeHealth: ActiveHealth;
  readonly #endpointCheck: EndpointCheck;

  /** Stores; `start` starts. */
  constructor(config: GatewayConfig, deps: ClusterDeps) {
    const { clock, network, system, isSelf } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#log = new ClusterLog(
      deps.log.from("resolver/cluster.ts"),
      () => this.#config.retryDelayMs,
    );
    this.pool = new Pool(config.policy);
    const sources = createClusterIo({
      config: () => this.#config,
      clock,
      network,
      system,
      isSelf,
      onUnverified: () => this.refresh(),
    });
    const { names, dialer, srv, members, verify } = sources;
    this.#names = names;
    this.dialer = dialer;
    this.#endpointCheck = new EndpointCheck({ names, network, clock, isSelf, log: this.#log });
    this.health = new PassiveHealth({
      pool: this.pool,
      clock,
      retryDelayMs: () => this.#config.retryDelayMs,
      events: {
        deactivated: (endpoint, error) => this.#onDown(endpoint, error),
        activated: (endpoint) => this.#onUp(endpoint),
        stillDown: (endpoint, error) => this.#log.stillDown(endpoint, error),
      },
      probe: (endpoint, done) => dialer.probe(endpoint, done),
    });
    this.#activeHealth = new ActiveHealth({
      pool: this.pool,
      clock,
      random: deps.random,
      ask: sources.askHealth,
      limits: () => {
        const { healthUrl, healthIntervalMs, healthRise, healthFall } = this.#config;
        const intervalMs = healthUrl === undefined ? 0 : healthIntervalMs;
        return { intervalMs, rise: healthRise, fall: healthFall };
      },
      events: {
        healthChanged: (endpoint, answer) => this.#onHealthChanged(endpoint, answer),
        stillFailing: (endpoint) => this.#moveClients(endpoint),
      },
    });
    this.#discovery = new Discovery(config, {
      clock,
      srv,
      members,
      verifier: {
        names,
        isSelf,
        verify,
        clock,
        events: this.#log,
      },
      events: this.#log,
      inUse: () => this.pool.endpoints,
      probe: (spec) =>
        new Promise((resolve, reject) => {
          const done = (error: Error | undefined) => (error ? reject(error) : resolve());
          dialer.probe(new Endpoint(spec), done);
        }),
      publish: (specs) => this.#reconcile(specs),
    });
  }

  /**
   * Checks what a configuration names, before it is taken over. One endpoint that
   * resolves is enough; what is found out about the others later is logged.
   *
   * @throws {UsageError} if an endpoint is the gateway itself, or a file cannot be used.
   * @throws {StartError} if no endpoint resolves.
   */
  async check(config: GatewayConfig): Promise<void> {
    await checkTlsFiles(this.#deps.network, config.tls);
    await this.#endpointCheck.check(config, this.#config);
  }

  /**
   * Finds the first endpoints.
   *
   * @throws {SrvError} if there are none.
   */
  start(): Promise<void> {
    return this.#discovery.start();
  }

  /** Follows all changes from now on. */
  follow(): void {
    this.#discovery.follow();
    this.#activeHealth.sync();
  }

  /** Looks for other endpoints now, if there is a place to look; resolves when that is over. */
  refresh(): Promise<void> {
    return this.#discovery.refresh();
  }

  /** Whether `refresh` may find other endpoints than there are. */
  get hasDiscovery(): boolean {
    return this.#discovery.hasDiscovery;
  }

  /** Goes by another configuration from now on; resolves when everything was looked up anew. */
  reconfigure(config: GatewayConfig): Promise<void> {
    const before = this.#config;
    this.#config = config;
    this.#activeHealth.close();
    this.pool.policy = config.policy;
    if (config.retryDelayMs !== before.retryDelayMs) this.health.restartTimers();
    return this.#discovery.reconfigure(config);
  }

  labels(): string[] {
    return this.pool.endpoints.map(({ label }) => label);
  }

  discoveryStatus(): readonly DiscoveryStatus[] {
    return this.#discovery.refreshStats.status(this.#deps.clock.now());
  }

  /** Stops everything. May be called twice. */
  close(): void {
    this.#endpointCheck.close();
    this.#names.close();
    this.#discovery.close();
    this.#activeHealth.close();
    this.health.close();
  }

  #reconcile(specs: readonly EndpointSpec[]): void {
    const isFirst = this.pool.endpoints.length === 0;
    const before = new Map(this.pool.endpoints.map(({ label, spec }) => [label, spec]));
    const changes = this.pool.reconcile(specs, this.#deps.reclaim, this.#deps.clock.now());
    for (const endpoint of this.pool.endpoints) {
      const sizeBefore = before.get(endpoint.label)?.verifiedAddresses?.size ?? 0;
      const { verifiedAddresses } = endpoint.spec;
      // It may have been down for want of a verified address.
      if (!endpoint.isUp && (verifiedAddresses?.size ?? 0) > sizeBefore)
        this.health.probeNow(endpoint, () => {});
    }
    for (const endpoint of changes.removed) {
      this.health.forget(endpoint);
      this.#deps.onRemoved(endpoint);
    }
    if (changes.removed.length > 0)
      this.#names.keepOnly(new Set(this.pool.endpoints.map(({ address }) => address.host)));
    if (!isFirst) this.#log.changed(changes);
    this.#deps.onChanged();
    if (!isFirst) this.#activeHealth.sync();
  }

  #onDown(endpoint: Endpoint, error: Error): void {
    this.#log.deactivated(endpoint, error);
    if (!this.pool.hasUp) void this.refresh();
  }

  #onHealthChanged(endpoint: Endpoint, answer: HealthAnswer): void {
    if (answer.state === "healthy") this.#log.healthy(endpoint);
    else this.#log.unhealthy(endpoint, answer.reason, this.pool.hasHealthy);
  }

  /**
   * Resets the relays to an endpoint that has just failed a check, if another has
   * passed its own. Where none has, clients are better off where they are; and a
   * cluster that recovers as a whole loses no client.
   */
  #moveClients(endpoint: Endpoint): void {
    if (this.#config.isClosedWhenUnhealthy && this.pool.hasPassing)
      this.#deps.resetRelays(endpoint);
  }

  #onUp(endpoint: Endpoint): void {
    this.#log.activated(endpoint);
    this.#deps.onActivated();
  }
}
