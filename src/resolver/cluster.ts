// The cluster that a proxy serves: which endpoints exist, which are up, and how
// each is reached. It assembles the resolver and owns everything that it starts.
import { isIP } from "node:net";
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import type { Logger } from "../observe/log.ts";
import type { DiscoveryStatus } from "../observe/status.ts";
import { resolverDescriptors } from "./descriptor-cost.ts";
import { Discovery } from "./discovery.ts";
import { type HealthCheckLimits, type HealthResult, ActiveHealth } from "./active-health.ts";
import { PassiveHealth, type Probe } from "./passive-health.ts";
import { DnsCache } from "./dns-cache.ts";
import type { Endpoint } from "./endpoint.ts";
import { Pool } from "./pool.ts";
import { ClusterLog } from "./cluster-log.ts";
import type { Connector, DialLimits } from "./connector.ts";
import { type CheckedConfig, EndpointCheck } from "./endpoint-check.ts";
import { type ClusterIoDeps, createClusterIo } from "./cluster-io.ts";
import { checkTlsFiles } from "./start-checks.ts";

/** What the cluster reads of a proxy's configuration. */
type Config = CheckedConfig & DialLimits;

/** The machine as the cluster uses it, and where it logs. */
export interface ClusterDeps extends ClusterIoDeps {
  readonly log: Logger;
  /** Milliseconds between two log lines about an endpoint that stays down. Undefined: one for each failure. */
  readonly stillDownMs?: number;
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
  /** Probes an endpoint that is down. Not there: by a TCP connection, which is closed at once. */
  readonly probe?: Probe;
}

export class Cluster {
  readonly pool: Pool;
  readonly #names: DnsCache;
  readonly health: PassiveHealth;
  readonly dialer: Connector;
  #config: Config;
  readonly #deps: ClusterDeps;
  readonly #log: ClusterLog;
  readonly #discovery: Discovery;
  readonly #activeHealth: ActiveHealth;
  readonly #endpointCheck: EndpointCheck;
  #listener: ClusterListener | undefined;

  /** Stores; `start` starts. */
  constructor(config: Config, deps: ClusterDeps) {
    const { clock, isSelf } = deps;
    this.#config = config;
    this.#deps = deps;
    this.#log = new ClusterLog(
      deps.log.from("resolver/cluster.ts"),
      () => this.#config.retryDelayMs,
      deps.stillDownMs ?? 0,
    );
    this.pool = new Pool(config.policy);
    const io = createClusterIo(() => this.#config, deps);
    this.#names = io.names;
    this.dialer = io.dialer;
    this.#endpointCheck = new EndpointCheck(clock, isSelf, this.#log);
    const probe: Probe = (endpoint, done) =>
      this.#listener!.probe?.(endpoint, done) ?? this.dialer.probe(endpoint, done);
    this.health = new PassiveHealth(this.pool, clock, { probe }, config.retryDelayMs);
    this.#activeHealth = new ActiveHealth(this.pool, clock, io.checkHealth, deps.random);
    this.#discovery = new Discovery(config, io, this.pool, clock);
  }

  /**
   * Checks the endpoints and files of a configuration before it is applied. One
   * endpoint that resolves is enough; the results of the others are logged later.
   *
   * @throws {UsageError} if an endpoint is the proxy's own address.
   * @throws {StartError} if a name resolves to that address, or a file cannot be used.
   * @throws {StartError} if no endpoint resolves.
   */
  async check(config: Config): Promise<void> {
    await checkTlsFiles(this.#deps.network, config.tls);
    await this.#endpointCheck.check(config, this.#namesFor(config));
  }

  /**
   * Finds the first endpoints. The listener is called from now on.
   *
   * @throws {SrvError} if there are none.
   */
  start(listener: ClusterListener): Promise<void> {
    this.#listener = listener;
    this.dialer.start(this.#config, this);
    this.health.start({
      deactivated: (endpoint, error) => this.#onDown(endpoint, error),
      activated: (endpoint) => this.#onUp(endpoint),
      stillDown: (endpoint, error) => this.#log.stillDown(endpoint, error),
    });
    return this.#discovery.start(this.#log, (specs) => this.#reconcile(specs));
  }

  /** Starts to follow changes of the cluster, and health checks. */
  follow(): void {
    this.#discovery.follow();
    this.#activeHealth.start(healthLimits(this.#config), {
      healthChanged: (endpoint, answer) => this.#onHealthChanged(endpoint, answer),
      stillFailing: (endpoint) => this.#moveClients(endpoint),
    });
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
  reconfigure(config: Config): Promise<void> {
    this.#config = config;
    // Discovery may take long, and health checks do not wait for it.
    this.#activeHealth.restart(healthLimits(config));
    this.pool.policy = config.policy;
    this.dialer.setLimits(config);
    this.health.setRetryDelay(config.retryDelayMs);
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

  /** Returns the shared cache if the same DNS servers are asked, so that the addresses serve later. */
  #namesFor({ discoveryServers }: Config): DnsCache {
    const current = this.#config.discoveryServers;
    if (JSON.stringify(discoveryServers) === JSON.stringify(current)) return this.#names;
    const { network, clock } = this.#deps;
    return new DnsCache((host, signal) => network.lookup(host, discoveryServers, signal), clock);
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

function healthLimits(config: Config): HealthCheckLimits {
  const { healthUrl, healthIntervalMs, healthRise, healthFall } = config;
  const intervalMs = healthUrl === undefined ? 0 : healthIntervalMs;
  return { intervalMs, rise: healthRise, fall: healthFall };
}
