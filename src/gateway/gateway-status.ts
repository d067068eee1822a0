// Collects the gateway's state for a request of /status or /metrics. It counts only
// the bytes of open relays; all else is counted where it happens.
import { formatHostPort, type HostPort } from "../core/address.ts";
import type { Counts, ProxyStatus } from "../observe/status.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { endpointStatus } from "../resolver/endpoint-status.ts";
import type { Cluster } from "../resolver/cluster.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { Statistics } from "./statistics.ts";

/** `gateway` in /status. accepted = relayed + the sum of refused + those still waiting for an endpoint. */
export interface GatewayStatus extends ProxyStatus {
  readonly relayed: number;
  /** Ended relays, by cause. */
  readonly ended: Counts;
}

export interface StatusParts {
  readonly listen: HostPort;
  /** On the clock. */
  readonly now: number;
  readonly isDraining: boolean;
  readonly maxConnections: number;
  readonly statistics: Statistics;
  readonly connections: ConnectionTable;
  readonly cluster: Cluster;
}

/** Bytes of open relays. */
interface OpenBytes {
  toServer: number;
  toClients: number;
}

/** Returns a snapshot of the gateway's state. */
export function gatewayStatus(parts: StatusParts): GatewayStatus {
  const { now, statistics, connections, cluster } = parts;
  const all: OpenBytes = { toServer: 0, toClients: 0 };
  const open = new Map<Endpoint, OpenBytes>();
  let heldBytes = 0;

  for (const [relay, endpoint] of connections.entries()) {
    heldBytes += relay.bufferedBytes;
    if (endpoint === undefined) continue;
    const own = open.get(endpoint) ?? { toServer: 0, toClients: 0 };
    open.set(endpoint, own);
    for (const sum of [own, all]) {
      sum.toServer += relay.bytesToServer;
      sum.toClients += relay.bytesToClient;
    }
  }

  return {
    listen: formatHostPort(parts.listen),
    uptimeMs: now - statistics.startedAt,
    draining: parts.isDraining,
    maxConnections: parts.maxConnections,
    active: connections.count,
    accepted: statistics.accepted,
    relayed: statistics.relayed,
    refused: { ...statistics.refused },
    ended: { ...statistics.ended },
    bytesToServers: statistics.bytesToServers + all.toServer,
    bytesToClients: statistics.bytesToClients + all.toClients,
    heldBytes,
    endpoints: cluster.pool.endpoints.map((endpoint) =>
      endpointStatus(endpoint, now, open.get(endpoint)),
    ),
    discovery: cluster.discoveryStatus(),
  };
}
