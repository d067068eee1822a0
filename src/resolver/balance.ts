// Which of several endpoints comes next: weighted round robin, alone or among
// those with the fewest connections. Nothing here knows of up and down.
import type { Endpoint } from "./endpoint.ts";

/**
 * Turns weights into shares of at least 1. If some are 0 and some are not, all
 * zeros together get one part of the sum plus one, which is the chance that the
 * algorithm of RFC 2782 gives them; if all are 0, the shares are equal.
 */
export function assignEffectiveWeights(tier: readonly Endpoint[]): void {
  const zeros = tier.filter(({ spec }) => spec.weight === 0).length;
  for (const endpoint of tier)
    endpoint.effectiveWeight = Math.max(1, endpoint.spec.weight * Math.max(1, zeros));
}

/**
 * The next in turn of those not `tried`; undefined if there is none. Smooth
 * weighted round robin, as nginx does it: over a full period each gets exactly
 * its share, and no run of one endpoint is longer than it must be.
 */
export function smoothWeightedRoundRobin(
  tier: readonly Endpoint[],
  tried: ReadonlySet<Endpoint>,
  maxLoad = Number.POSITIVE_INFINITY,
): Endpoint | undefined {
  let next: Endpoint | undefined;
  let sum = 0;
  for (const endpoint of tier) {
    if (tried.has(endpoint) || loadOf(endpoint) > maxLoad) continue;
    endpoint.currentWeight += endpoint.effectiveWeight;
    sum += endpoint.effectiveWeight;
    if (next === undefined || endpoint.currentWeight > next.currentWeight) next = endpoint;
  }
  if (next !== undefined) next.currentWeight -= sum;
  return next;
}

/** The one with the fewest connections for its share, in turn among equals. */
export function leastConnections(
  tier: readonly Endpoint[],
  tried: ReadonlySet<Endpoint>,
): Endpoint | undefined {
  let least = Number.POSITIVE_INFINITY;
  for (const endpoint of tier) if (!tried.has(endpoint)) least = Math.min(least, loadOf(endpoint));
  return smoothWeightedRoundRobin(tier, tried, least);
}

function loadOf({ connections, effectiveWeight }: Endpoint): number {
  return connections / effectiveWeight;
}
