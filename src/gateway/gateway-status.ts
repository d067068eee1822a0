// The gateway's state for who asks, put together at that moment.
import { formatHostPort, type HostPort } from "../core/address.ts";
import type { EndpointStatus, GatewayStatus } from "../observe/status.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { Cluster } from "../resolver/cluster.ts";
import type { ConnectionTable } from "./connection-table.ts";
import type { Statistics } from "./statistics.ts";

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

/** Bytes of relays that are under way, to servers and to clients. */
interface Moving {
  toServer: number;
  toClients: number;
}

/** A copy: what happens later does not change it. */
export function gatewayStatus(parts: StatusParts): GatewayStatus {
  const { now, statistics, connections, cluster } = parts;
  const all: Moving = { toServer: 0, toClients: 0 };
  const moving = new Map<Endpoint, Moving>();
  let heldBytes = 0;
  for (const [relay, endpoint] of connections.entries()) {
    heldBytes += relay.bufferedBytes;
    if (endpoint === undefined) continue;
    const own = moving.get(endpoint) ?? { toServer: 0, toClients: 0 };
    moving.set(endpoint, own);
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
      endpointStatus(endpoint, moving.get(endpoint), now),
    ),
    discovery: cluster.discoveryStatus(),
  };
}

function endpointStatus(
  endpoint: Endpoint,
  moving: Moving | undefined,
  now: number,
): EndpointStatus {
  const { spec, dialStatistics } = endpoint;
  const healthy = endpoint.health === "healthy";
  return {
    address: endpoint.label,
    origin: spec.origin,
    priority: spec.priority,
    weight: spec.weight,
    up: endpoint.isUp,
    healthy,
    health: endpoint.health,
    why: endpoint.isUp && healthy ? null : (endpoint.downReason ?? null),
    sinceMs: now - endpoint.stateChangedAt,
    connections: endpoint.connections,
    bytesToServer: endpoint.bytesToServer + (moving?.toServer ?? 0),
    bytesToClients: endpoint.bytesToClients + (moving?.toClients ?? 0),
    dials: { ...dialStatistics.outcomes },
    dialTimes: dialStatistics.times,
  };
}
