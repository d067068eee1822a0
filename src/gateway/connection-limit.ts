// How many relays the descriptor limit has room for.
import { StartError } from "./start-error.ts";

const DESCRIPTORS_PER_RELAY = 2;

// For all else that is open: 32 second attempts of dials (relay/dial.ts),
// standard streams, epoll and the listener (about 12 in all), name lookups,
// clients being refused. Probes come on top, one for each endpoint.
const RESERVE = 64;

export interface ConnectionLimit {
  readonly maxConnections: number;
  /** Set if less is possible than was asked for; to be logged. */
  readonly warning?: string;
}

/**
 * `wanted` relays, 0 for as many as `descriptorLimit` allows beside `endpoints`.
 *
 * @throws {StartError} if there is no room for a single one.
 */
export function connectionLimit(
  wanted: number,
  descriptorLimit: number,
  endpoints: number,
): ConnectionLimit {
  const reserve = RESERVE + endpoints;
  const possible = Math.floor((descriptorLimit - reserve) / DESCRIPTORS_PER_RELAY);
  if (possible < 1) {
    const least = reserve + DESCRIPTORS_PER_RELAY;
    throw new StartError(
      `Cannot run with a limit of ${descriptorLimit} open files: at least ${least} are needed; raise LimitNOFILE or ulimit -n`,
    );
  }
  if (wanted === 0) return { maxConnections: possible };
  if (wanted <= possible) return { maxConnections: wanted };
  const needed = wanted * DESCRIPTORS_PER_RELAY + reserve;
  return {
    maxConnections: possible,
    warning: `--max-connections "${wanted}" needs ${needed} open files and the limit is ${descriptorLimit}: ${possible} are served; raise LimitNOFILE or ulimit -n`,
  };
}
