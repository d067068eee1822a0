// Selects one of several endpoints: by weighted round robin, over all of them or
// over those with the fewest connections. The pool decides which are eligible.
import type { Endpoint } from "./endpoint.ts";

/**
 * Turns the weights of a tier into effective weights of at least 1. If only some
 * weights are 0, the endpoints with weight 0 together get 1 / (sum + 1) of the
 * picks, as the algorithm of RFC 2782 gives them. If all are 0, the effective
 * weights are equal.
 */
export function assignEffectiveWeights(tier: readonly Endpoint[]): void {
  const zeros = tier.filter(({ spec }) => spec.weight === 0).length;
  for (const endpoint of tier)
    endpoint.effectiveWeight = Math.max(1, endpoint.spec.weight * Math.max(1, zeros));
}

/**
 * Returns the next endpoint that is not in `tried` and whose load is at most
 * `maxLoad`; undefined if there is none. Implements nginx's smooth weighted round
 * robin: over a full period each endpoint gets exactly its share, and its turns
 * are spread as evenly as possible.
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

/** Returns the endpoint with the lowest load that is not in `tried`; equals take turns. */
export function leastConnections(
  tier: readonly Endpoint[],
  tried: ReadonlySet<Endpoint>,
): Endpoint | undefined {
  let least = Number.POSITIVE_INFINITY;
  for (const endpoint of tier) if (!tried.has(endpoint)) least = Math.min(least, loadOf(endpoint));
  return smoothWeightedRoundRobin(tier, tried, least);
}

/** Returns the connections of an endpoint in proportion to its effective weight. */
function loadOf({ connections, effectiveWeight }: Endpoint): number {
  return connections / effectiveWeight;
}
