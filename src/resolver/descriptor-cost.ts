// Descriptors that finding and reaching endpoints takes at most, besides the
// connections of clients.
import { MAX_EXCHANGES } from "../dns/stub-resolver.ts";
import { MAX_HEDGES } from "../net/race.ts";
import { MAX_HANDSHAKES } from "./endpoint-verifier.ts";
import { MAX_PROBES } from "./failover.ts";

// Files of handshakes, and requests for health and the member list. Where
// getaddrinfo is called, its four calls (os/dns.ts) take the place of exchanges.
const REQUESTS = 16;

/** `hasDiscovery`: whether endpoints or names are looked up, or checked, while the proxy runs. */
export function resolverDescriptors(endpoints: number, hasDiscovery: boolean): number {
  const probes = Math.min(endpoints, MAX_PROBES);
  const discovery = hasDiscovery ? MAX_EXCHANGES + MAX_HANDSHAKES + REQUESTS : 0;
  return MAX_HEDGES + probes + discovery;
}
