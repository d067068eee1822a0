// Descriptors that finding and reaching endpoints takes at most, besides the
// connections of clients.
import { MAX_EXCHANGES } from "../dns/stub-resolver.ts";
import { MAX_HEDGES } from "../net/race.ts";
import { MAX_HANDSHAKES } from "./endpoint-verifier.ts";
import { MAX_PROBES } from "./failover.ts";

// Four calls of getaddrinfo with two sockets each (os/dns.ts).
const SYSTEM_LOOKUPS = 8;

// Requests for health and the member list, and the files of handshakes.
const REQUESTS = 48;

/** `hasDiscovery`: whether endpoints are discovered or checked while the proxy runs. */
export function resolverDescriptors(endpoints: number, hasDiscovery: boolean): number {
  const probes = Math.min(endpoints, MAX_PROBES);
  const discovery = hasDiscovery ? MAX_HANDSHAKES + REQUESTS : 0;
  return MAX_HEDGES + MAX_EXCHANGES + SYSTEM_LOOKUPS + probes + discovery;
}
