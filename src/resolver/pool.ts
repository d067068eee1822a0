// The pool: the endpoints of a cluster, their state, and which of them the next
// client gets. It opens no connection and starts no timer.
import { type EndpointSpec, keyOfLabel, labelOf } from "../core/endpoint-spec.ts";
import type { Policy } from "../core/gateway-config.ts";
import { Endpoint, type HealthState } from "./endpoint.ts";
import { assignEffectiveWeights, leastConnections, smoothWeightedRoundRobin } from "./balance.ts";

/** The order in which endpoints are picked by their health; 0 is the best. */
export const HEALTH_RANK: Readonly<Record<HealthState, number>> = {
  healthy: 0,
  unhealthy: 1,
  unresponsive: 2,
};

const HEALTH_STATES = Object.keys(HEALTH_RANK) as HealthState[];

/** When a state changed, on the clock, and why, if it got worse. */
export interface StateChange {
  readonly at: number;
  readonly reason?: string | undefined;
}

export interface Changes {
  readonly added: readonly Endpoint[];
  readonly removed: readonly Endpoint[];
}

export class Pool {
  policy: Policy;
  /** The keys are those of `keyOfLabel`. */
  #byKey: ReadonlyMap<string, Endpoint> = new Map();
  #endpoints: readonly Endpoint[] = [];
  /** The endpoints that are up, grouped by health and then priority, best group first. */
  #tiers: readonly (readonly Endpoint[])[] = [];

  /** The keys of the current tiers, to detect tiers that changed. */
  #tierKeys: ReadonlySet<string> = new Set();

  /** Empty until `reconcile`. */
  constructor(policy: Policy) {
    this.policy = policy;
  }

  get endpoints(): readonly Endpoint[] {
    return this.#endpoints;
  }

  get hasUp(): boolean {
    return this.#tiers.length > 0;
  }

  /** Whether this endpoint is in the pool. False for another one with the same label. */
  has(endpoint: Endpoint): boolean {
    return this.#byKey.get(keyOfLabel(endpoint.label)) === endpoint;
  }

  /**
   * Replaces the endpoints. An endpoint that stays keeps its state and its position,
   * regardless of the order of `specs`. A new one is taken from `reclaim` if that
   * returns it, otherwise created; it starts as up. Of two specs with the same
   * label, the one with the better priority counts. Labels are compared without case.
   */
  reconcile(
    specs: readonly EndpointSpec[],
    reclaim: (label: string) => Endpoint | undefined = () => undefined,
    now = 0,
  ): Changes {
    const wanted = new Map<string, EndpointSpec>();
    for (const spec of specs) {
      const key = keyOfLabel(labelOf(spec));
      const other = wanted.get(key);
      if (other === undefined || spec.priority < other.priority) wanted.set(key, spec);
    }

    const staying = this.#endpoints.filter(({ label }) => wanted.has(keyOfLabel(label)));
    const removed = this.#endpoints.filter(({ label }) => !wanted.has(keyOfLabel(label)));
    const added = [...wanted]
      .filter(([key]) => !this.#byKey.has(key))
      .map(([, spec]) => reclaim(labelOf(spec)) ?? new Endpoint(spec));
    for (const endpoint of added) {
      endpoint.isUp = true;
      endpoint.stateChangedAt = now;
    }

    this.#endpoints = [...staying, ...added];
    for (const endpoint of this.#endpoints) endpoint.spec = wanted.get(keyOfLabel(endpoint.label))!;
    this.#byKey = new Map(
      this.#endpoints.map((endpoint) => [keyOfLabel(endpoint.label), endpoint]),
    );
    this.#rebuildTiers();
    return { added, removed };
  }

  /** Whether an endpoint is up and healthy. */
  get hasHealthy(): boolean {
    return this.#tiers[0]?.[0]!.health === "healthy";
  }

  /** Whether an endpoint is up and healthy, and its latest health check passed. */
  get hasPassing(): boolean {
    return this.#endpoints.some((e) => e.isUp && e.health === "healthy" && e.hasPassedCheck);
  }

  /**
   * Returns the next endpoint that is up, not in `tried`, and not in worse health
   * than `worst`; undefined if there is none. Health comes before priority: an
   * unhealthy endpoint is picked when every healthy one was tried, and an
   * unresponsive one last. The share of an endpoint that is down goes to all others.
   */
  pick(tried: ReadonlySet<Endpoint>, worst: HealthState = "unresponsive"): Endpoint | undefined {
    const choose =
      this.policy === "least-connections" ? leastConnections : smoothWeightedRoundRobin;
    for (const tier of this.#tiers) {
      if (HEALTH_RANK[tier[0]!.health] > HEALTH_RANK[worst]) return undefined;
      const endpoint = choose(tier, tried);
      if (endpoint !== undefined) return endpoint;
    }
    return undefined;
  }

  /** Sets the health of an endpoint. Does nothing if it is in this state already. */
  setHealth(endpoint: Endpoint, health: HealthState, { at, reason }: StateChange): void {
    if (endpoint.health === health) return;
    endpoint.health = health;
    endpoint.stateChangedAt = at;
    endpoint.downReason = reason;
    this.#rebuildTiers();
  }

  /** Records whether the latest health check of an endpoint passed. */
  recordCheck(endpoint: Endpoint, hasPassed: boolean): void {
    endpoint.hasPassedCheck = hasPassed;
  }

  /** Marks an endpoint up or down. Returns false if it was so already, or has left the pool. */
  setUp(endpoint: Endpoint, isUp: boolean, { at, reason }: StateChange): boolean {
    if (endpoint.isUp === isUp || !this.has(endpoint)) return false;
    endpoint.isUp = isUp;
    if (isUp) endpoint.upSince = at;
    endpoint.stateChangedAt = at;
    endpoint.downReason = reason;
    this.#rebuildTiers();
    return true;
  }

  /** Replaces the reason why an endpoint is down. Does nothing if it is up. */
  setDownReason(endpoint: Endpoint, reason: string): void {
    if (!endpoint.isUp) endpoint.downReason = reason;
  }

  #rebuildTiers(): void {
    const priorities = [...new Set(this.#endpoints.map(({ spec }) => spec.priority))];
    const byPriority = priorities
      .sort((a, b) => a - b)
      .map((priority) => this.#endpoints.filter(({ spec }) => spec.priority === priority));
    for (const endpoints of byPriority) assignEffectiveWeights(endpoints);

    // An endpoint that fails its checks is a last resort, not excluded.
    this.#tiers = HEALTH_STATES.flatMap((health) =>
      byPriority.map((endpoints) => endpoints.filter((e) => e.isUp && e.health === health)),
    ).filter((tier) => tier.length > 0);

    for (const tier of this.#tiers) {
      // In a changed tier, current weights from before would give some endpoints a burst of picks.
      if (this.#tierKeys.has(tierKeyOf(tier))) continue;
      for (const endpoint of tier) endpoint.currentWeight = 0;
    }
    this.#tierKeys = new Set(this.#tiers.map(tierKeyOf));
  }
}

/** Identifies the members of a tier and their effective weights. */
function tierKeyOf(tier: readonly Endpoint[]): string {
  return tier.map(({ label, effectiveWeight }) => `${label}=${effectiveWeight}`).join();
}
