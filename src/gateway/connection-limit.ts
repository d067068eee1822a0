// How many relays the descriptor limit has room for.
import { MAX_STATUS_CONNECTIONS } from "../observe/status.ts";

const DESCRIPTORS_PER_RELAY = 2;

// For all else that is open: 32 second attempts of dials (net/dial.ts),
// standard streams, epoll and the listener (about 12 in all), name lookups,
// clients being refused. Probes come on top, one for each endpoint, up to as
// many as a client begins at a time (gateway/failover.ts).
const RESERVE = 64;

/** Endpoints that are probed at the same time, if none is up. */
export const MAX_PROBES = 32;

// The listener of --metrics-addr comes on top of who asks there.
const STATUS_RESERVE = MAX_STATUS_CONNECTIONS + 1;

// Following the cluster takes DNS sockets, 16 handshakes at a time
// (resolver/endpoint-verifier.ts) and their files.
const FOLLOWING_RESERVE = 64;

export interface DescriptorBudget {
  readonly descriptorLimit: number;
  readonly endpoints: number;
  /** Whether endpoints are looked up while the gateway runs. */
  readonly hasDiscovery: boolean;
  /** Whether it tells how it is. */
  readonly hasAdminServer: boolean;
}

export interface ConnectionLimit {
  /** 0 if there is no room for a single one. */
  readonly maxConnections: number;
  /** Set if less is possible than was asked for; to be logged. */
  readonly warning?: string;
}

/** `wanted` relays, 0 for as many as there is room for. */
export function connectionLimit(
  wanted: number,
  { descriptorLimit, endpoints, hasDiscovery, hasAdminServer }: DescriptorBudget,
): ConnectionLimit {
  const probes = Math.min(endpoints, MAX_PROBES);
  const others = (hasDiscovery ? FOLLOWING_RESERVE : 0) + (hasAdminServer ? STATUS_RESERVE : 0);
  const reserve = RESERVE + probes + others;
  const possible = Math.floor((descriptorLimit - reserve) / DESCRIPTORS_PER_RELAY);
  if (possible < 1) {
    const least = reserve + DESCRIPTORS_PER_RELAY;
    return {
      maxConnections: 0,
      warning: `Cannot run with a limit of ${descriptorLimit} open files: at least ${least} are needed; raise LimitNOFILE or ulimit -n`,
    };
  }
  if (wanted === 0) return { maxConnections: possible };
  if (wanted <= possible) return { maxConnections: wanted };
  const needed = wanted * DESCRIPTORS_PER_RELAY + reserve;
  return {
    maxConnections: possible,
    warning: `--max-connections "${wanted}" needs ${needed} open files and the limit is ${descriptorLimit}: ${possible} are served; raise LimitNOFILE or ulimit -n`,
  };
}
