// How many relays the descriptor limit has room for.
import { StartError } from "./start-error.ts";

const DESCRIPTORS_PER_RELAY = 2;

// For all else that is open: standard streams, epoll, the listener (about 12 in
// all), name lookups, probes, second attempts of a dial, clients being refused.
const RESERVE = 64;

export interface ConnectionLimit {
  readonly maxConnections: number;
  /** Set if less is possible than was asked for; to be logged. */
  readonly warning?: string;
}

/**
 * `wanted` relays, 0 for as many as `descriptorLimit` allows.
 *
 * @throws {StartError} if there is no room for a single one.
 */
export function connectionLimit(wanted: number, descriptorLimit: number): ConnectionLimit {
  const possible = Math.floor((descriptorLimit - RESERVE) / DESCRIPTORS_PER_RELAY);
  if (possible < 1) {
    const least = RESERVE + DESCRIPTORS_PER_RELAY;
    throw new StartError(
      `Cannot run with a limit of ${descriptorLimit} open files: at least ${least} are needed; raise LimitNOFILE or ulimit -n`,
    );
  }
  if (wanted === 0) return { maxConnections: possible };
  if (wanted <= possible) return { maxConnections: wanted };
  const needed = wanted * DESCRIPTORS_PER_RELAY + RESERVE;
  return {
    maxConnections: possible,
    warning: `--max-connections "${wanted}" needs ${needed} open files and the limit is ${descriptorLimit}: ${possible} are served; raise LimitNOFILE or ulimit -n`,
  };
}
