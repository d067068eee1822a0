// Who exists, who is up, who is next. Opens nothing and waits for nothing.
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import type { Policy } from "../core/gateway-config.ts";
import { Endpoint, type HealthState } from "./endpoint.ts";
import { assignEffectiveWeights, leastConnections, smoothWeightedRoundRobin } from "./balance.ts";

/** How much a client is helped by an endpoint in each state; 0 is the best. */
export const HEALTH_RANK: Readonly<Record<HealthState, number>> = {
  healthy: 0,
  unhealthy: 1,
  unresponsive: 2,
};

const HEALTH_STATES = Object.keys(HEALTH_RANK) as HealthState[];

/** When a state changed, on the clock, and why it is worse; no reason if it is better. */
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
  #byLabel: ReadonlyMap<string, Endpoint> = new Map();
  #endpoints: readonly Endpoint[] = [];
  /** Endpoints that are up, by health and then priority, the best first. */
  #tiers: readonly (readonly Endpoint[])[] = [];

  /** Who was in each tier with which share. */
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

  /** Whether it is still one of the pool's. */
  has(endpoint: Endpoint): boolean {
    return this.#byLabel.get(endpoint.label) === endpoint;
  }

  /**
   * Takes over a new set. An endpoint that stays keeps its state, and its place
   * in the order, whatever the order of the answer; one that is new comes from
   * `former`, if that still has it, and is up until it is found down. A label
   * given twice counts once, with the better priority.
   */
  reconcile(
    specs: readonly EndpointSpec[],
    former: (label: string) => Endpoint | undefined = () => undefined,
    now = 0,
  ): Changes {
    const wanted = new Map<string, EndpointSpec>();
    for (const spec of specs) {
      const other = wanted.get(labelOf(spec));
      if (other === undefined || spec.priority < other.priority) wanted.set(labelOf(spec), spec);
    }
    const staying = this.#endpoints.filter(({ label }) => wanted.has(label));
    const removed = this.#endpoints.filter(({ label }) => !wanted.has(label));
    const added = [...wanted]
      .filter(([label]) => !this.#byLabel.has(label))
      .map(([label, spec]) => former(label) ?? new Endpoint(spec));
    for (const endpoint of added) {
      endpoint.isUp = true;
      endpoint.stateChangedAt = now;
    }
    this.#endpoints = [...staying, ...added];
    for (const endpoint of this.#endpoints) endpoint.spec = wanted.get(endpoint.label)!;
    this.#byLabel = new Map(this.#endpoints.map((endpoint) => [endpoint.label, endpoint]));
    this.#rank();
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
   * unresponsive one last. Turns go over the endpoints that are up, so that the
   * neighbour of one that is down does not get a double share.
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

  /** Changes what health checks say of an endpoint. Does nothing if it is in this state already. */
  setHealth(endpoint: Endpoint, health: HealthState, { at, reason }: StateChange): void {
    if (endpoint.health === health) return;
    endpoint.health = health;
    endpoint.stateChangedAt = at;
    endpoint.downReason = reason;
    this.#rank();
  }

  /** Records whether the latest health check of an endpoint passed. */
  recordCheck(endpoint: Endpoint, hasPassed: boolean): void {
    endpoint.hasPassedCheck = hasPassed;
  }

  /** Returns whether that changed anything; an endpoint that has left the pool does not change. */
  setUp(endpoint: Endpoint, isUp: boolean, { at, reason }: StateChange): boolean {
    if (endpoint.isUp === isUp || !this.has(endpoint)) return false;
    endpoint.isUp = isUp;
    if (isUp) endpoint.upSince = at;
    endpoint.stateChangedAt = at;
    endpoint.downReason = reason;
    this.#rank();
    return true;
  }

  #rank(): void {
    const priorities = [...new Set(this.#endpoints.map(({ spec }) => spec.priority))];
    const ranks = priorities
      .sort((a, b) => a - b)
      .map((priority) => this.#endpoints.filter(({ spec }) => spec.priority === priority));
    for (const rank of ranks) assignEffectiveWeights(rank);
    // Health is a ranking: an endpoint that fails its checks is a last resort.
    this.#tiers = HEALTH_STATES.flatMap((health) =>
      ranks.map((rank) => rank.filter((e) => e.isUp && e.health === health)),
    ).filter((tier) => tier.length > 0);
    for (const tier of this.#tiers) {
      // What was earned by other shares, or beside others, would be paid out in a burst.
      if (this.#tierKeys.has(tierKeyOf(tier))) continue;
      for (const endpoint of tier) endpoint.currentWeight = 0;
    }
    this.#tierKeys = new Set(this.#tiers.map(tierKeyOf));
  }
}

function tierKeyOf(tier: readonly Endpoint[]): string {
  return tier.map(({ label, effectiveWeight }) => `${label}=${effectiveWeight}`).join();
}
