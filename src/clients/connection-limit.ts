// The connection limit: as many clients as the descriptor limit leaves room for.
import { MAX_ADMIN_CONNECTIONS } from "../observe/status.ts";

// Standard streams, epoll and the listener (about 12 in all), and clients that are
// being refused.
const OWN_RESERVE = 32;

// The listener of --metrics-addr, and its clients.
const ADMIN_RESERVE = MAX_ADMIN_CONNECTIONS + 1;

export interface DescriptorBudget {
  readonly descriptorLimit: number;
  /** What one client takes: its connection, and that to a server if it has its own. */
  readonly perClient: number;
  /** What endpoints take besides. */
  readonly forEndpoints: number;
  /** Whether the admin server listens. */
  readonly hasAdminServer: boolean;
}

export interface ConnectionLimit {
  /** 0 if there is no room for a single client. */
  readonly maxConnections: number;
  /** Set if fewer are possible than were asked for; to be logged. */
  readonly warning?: string;
}

/** Returns the limit for `wanted` clients; 0 asks for as many as possible. */
export function connectionLimit(
  wanted: number,
  { descriptorLimit, perClient, forEndpoints, hasAdminServer }: DescriptorBudget,
): ConnectionLimit {
  const reserve = OWN_RESERVE + forEndpoints + (hasAdminServer ? ADMIN_RESERVE : 0);
  const possible = Math.floor((descriptorLimit - reserve) / perClient);
  if (possible < 1) {
    const least = reserve + perClient;
    return {
      maxConnections: 0,
      warning: `Cannot run with a limit of ${descriptorLimit} open files: at least ${least} are needed; raise LimitNOFILE or ulimit -n`,
    };
  }
  if (wanted === 0) return { maxConnections: possible };
  if (wanted <= possible) return { maxConnections: wanted };
  const needed = wanted * perClient + reserve;
  return {
    maxConnections: possible,
    warning: `--max-connections "${wanted}" needs ${needed} open files and the limit is ${descriptorLimit}: ${possible} are served; raise LimitNOFILE or ulimit -n`,
  };
}
