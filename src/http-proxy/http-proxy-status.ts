// Collects what /status and /metrics expose of the HTTP proxy.
import { formatHostPort, type HostPort } from "../core/address.ts";
import type { HttpProxyMode } from "../core/http-proxy-config.ts";
import type { Counts, ProxyStatus } from "../observe/status.ts";
import type { Cluster } from "../resolver/cluster.ts";
import { endpointStatus } from "../resolver/endpoint-status.ts";
import type { Clients } from "./clients.ts";
import type { Members } from "./members.ts";
import type { MethodCounts, RequestCounts } from "./request-counts.ts";

/** `gateway` in /status. */
export interface HttpProxyStatus extends ProxyStatus {
  readonly mode: HttpProxyMode;
  /** Requests in progress, including those that wait for a member or for others of their client. */
  readonly requests: number;
  /** Open connections to members. */
  readonly memberConnections: number;
  /** Every method that was used. */
  readonly methods: readonly MethodCounts[];
}

export interface StatusParts {
  readonly listen: HostPort;
  readonly mode: HttpProxyMode;
  /** On the clock, as `startedAt`. */
  readonly now: number;
  readonly startedAt: number;
  readonly isDraining: boolean;
  readonly maxConnections: number;
  readonly clients: Clients;
  readonly members: Members;
  readonly accepted: number;
  readonly refused: Counts;
  readonly counts: RequestCounts;
  readonly cluster: Cluster;
}

/** Returns a snapshot of the proxy's state. */
export function httpProxyStatus(parts: StatusParts): HttpProxyStatus {
  const { now, counts, cluster, clients, members } = parts;
  return {
    listen: formatHostPort(parts.listen),
    uptimeMs: now - parts.startedAt,
    draining: parts.isDraining,
    maxConnections: parts.maxConnections,
    active: clients.count,
    accepted: parts.accepted,
    refused: { ...parts.refused },
    bytesToServers: counts.bytesToServers,
    bytesToClients: counts.bytesToClients,
    heldBytes: clients.heldBytes + members.heldBytes,
    endpoints: cluster.pool.endpoints.map((endpoint) => endpointStatus(endpoint, now)),
    discovery: cluster.discoveryStatus(),
    mode: parts.mode,
    requests: counts.active,
    memberConnections: members.count,
    // Maps have no form in JSON.
    methods: counts.all,
  };
}
