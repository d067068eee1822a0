// The cluster that a proxy serves: which endpoints exist, which are up, and how
// each is reached. It assembles the resolver and owns everything that it starts.
import { isIP } from "node:net";
import type { Clock } from "../core/clock.ts";
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import type { Logger } from "../observe/log.ts";
import type { DiscoveryStatus } from "../observe/status.ts";
import type { TcpSystem } from "../net/tcp-socket.ts";
import { resolverDescriptors } from "./descriptor-cost.ts";
import { Discovery } from "./discovery.ts";
import { type HealthResult, ActiveHealth } from "./active-health.ts";
import { PassiveHealth } from "./passive-health.ts";
import type { DnsCache } from "./dns-cache.ts";
import { Endpoint } from "./endpoint.ts";
import { Pool } from "./pool.ts";
import { ClusterLog } from "./cluster-log.ts";
import type { Connector, DialLimits } from "./connector.ts";
import { type CheckedConfig, EndpointCheck } from "./endpoint-check.ts";
import { createClusterIo, type Network } from "./cluster-io.ts";
import type { IsSelf } from "./self-address.ts";
import { checkTlsFiles } from "./start-checks.ts";

/** What the resolver reads of a proxy's configuration. */
export type ResolverConfig = CheckedConfig & DialLimits;

export interface ClusterDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly network: Network;
  readonly system: TcpSystem;
  readonly isSelf: IsSelf;
  /** Returns a number from 0 to 1. */
  readonly random: () => number;
}

/** What a proxy learns of its cluster. */
export interface ClusterListener {
  /** Returns the endpoint that is draining under this label, which stays then; undefined if none is. */
  reclaim(label: string): Endpoint | undefined;
  /** The endpoint has left the pool; connections to it may go on. */
  endpointRemoved(endpoint: Endpoint): void;
  /** Endpoints were added, removed or changed. */
  endpointsChanged(): void;
  /** An endpoint that was down is up. */
  endpointUp(endpoint: Endpoint): void;
  /** An endpoint fails its health checks while another passes: its connections should be reset. */
  endpointFailing(endpoint: Endpoint): void;
}

export class Cluster {
  readonly pool: Pool;
  readonly #names: DnsCache;
  readonly health: PassiveHealth;
  readonly dialer: Connector;
  #config: ResolverConfig;
  readonly #deps: ClusterDeps;
  readonly #log: ClusterLog;
  readonly #discovery: Discovery;
  readonly #activeHealth: ActiveHealth;
  readonly #endpointCheck: EndpointCheck;
  #listener: ClusterListener | undefined;

  /** Stores; `start` starts. */
  constructor(config: ResolverConfig, deps: ClusterDeps) {
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
      ask: sources.checkHealth,
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
   * Checks the endpoints and files of a configuration before it is applied. One
   * endpoint that resolves is enough; the results of the others are logged later.
   *
   * @throws {UsageError} if an endpoint is the proxy's own address.
   * @throws {StartError} if a name resolves to that address, or a file cannot be used.
   * @throws {StartError} if no endpoint resolves.
   */
  async check(config: ResolverConfig): Promise<void> {
    await checkTlsFiles(this.#deps.network, config.tls);
    await this.#endpointCheck.check(config, this.#config);
  }

  /**
   * Finds the first endpoints. The listener is called from now on.
   *
   * @throws {SrvError} if there are none.
   */
  start(listener: ClusterListener): Promise<void> {
    this.#listener = listener;
    return this.#discovery.start();
  }

  /** Starts to follow changes of the cluster, and health checks. */
  follow(): void {
    this.#discovery.follow();
    this.#activeHealth.sync();
  }

  /** Discovers endpoints now, if there is a source, and resolves when that is over. */
  refresh(): Promise<void> {
    return this.#discovery.refresh();
  }

  /** Whether there is a source that `refresh` can ask. */
  get hasDiscovery(): boolean {
    return this.#discovery.hasDiscovery;
  }

  /** Descriptors that the resolver itself may need while the proxy runs. */
  get descriptors(): number {
    const { healthUrl, endpoints } = this.#config;
    const hasRequests =
      this.hasDiscovery ||
      healthUrl !== undefined ||
      endpoints.some(({ address }) => isIP(address.host) === 0);
    return resolverDescriptors(this.pool.endpoints.length, hasRequests);
  }

  /** Applies another configuration, and resolves when every lookup was repeated. */
  reconfigure(config: ResolverConfig): Promise<void> {
    const before = this.#config;
    this.#config = config;
    // Discovery may take long, and health checks do not wait for it.
    this.#activeHealth.restart();
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
    const changes = this.pool.reconcile(
      specs,
      (label) => this.#listener!.reclaim(label),
      this.#deps.clock.now(),
    );
    for (const endpoint of this.pool.endpoints) {
      const sizeBefore = before.get(endpoint.label)?.verifiedAddresses?.size ?? 0;
      const { verifiedAddresses } = endpoint.spec;
      // It may have been down because none of its addresses was verified.
      if (!endpoint.isUp && (verifiedAddresses?.size ?? 0) > sizeBefore)
        this.health.probeNow(endpoint, () => {});
    }
    for (const endpoint of changes.removed) {
      this.health.forget(endpoint);
      this.#listener!.endpointRemoved(endpoint);
    }
    if (changes.removed.length > 0)
      this.#names.keepOnly(new Set(this.pool.endpoints.map(({ address }) => address.host)));
    if (!isFirst) this.#log.changed(changes);
    this.#listener!.endpointsChanged();
    if (!isFirst) this.#activeHealth.sync();
  }

  #onDown(endpoint: Endpoint, error: Error): void {
    this.#log.deactivated(endpoint, error);
    if (!this.pool.hasUp) void this.refresh();
  }

  #onHealthChanged(endpoint: Endpoint, answer: HealthResult): void {
    if (answer.state === "healthy") this.#log.healthy(endpoint);
    else this.#log.unhealthy(endpoint, answer.reason, this.pool.hasHealthy);
  }

  /**
   * Moves clients off an endpoint that has just failed a check, if another endpoint
   * has passed its own. While none has, clients are better off where they are, and
   * a cluster that recovers as a whole loses no client.
   */
  #moveClients(endpoint: Endpoint): void {
    if (this.#config.isClosedWhenUnhealthy && this.pool.hasPassing)
      this.#listener!.endpointFailing(endpoint);
  }

  #onUp(endpoint: Endpoint): void {
    this.#log.activated(endpoint);
    this.#listener!.endpointUp(endpoint);
  }
}
