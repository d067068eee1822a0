// Collects what /status and /metrics expose of the gRPC proxy.
import { formatHostPort, type HostPort } from "../core/address.ts";
import type { Counts, ProxyStatus } from "../observe/status.ts";
import { endpointStatus } from "../resolver/endpoint-status.ts";
import type { Calls } from "./calls.ts";
import type { Method } from "./methods.ts";
import type { Upstream } from "./upstream.ts";

/** `gateway` in /status. */
export interface GrpcProxyStatus extends ProxyStatus {
  /** Calls in progress. */
  readonly calls: number;
  /** Those of them that wait for a connection to a member. */
  readonly waitingCalls: number;
  /** Open connections to members. */
  readonly sessions: number;
  /** Every method that was called. */
  readonly methods: readonly Method[];
}

export interface StatusParts {
  readonly listen: HostPort;
  /** On the clock, as `startedAt`. */
  readonly now: number;
  readonly startedAt: number;
  readonly isDraining: boolean;
  readonly maxConnections: number;
  /** Open connections of clients. */
  readonly active: number;
  readonly accepted: number;
  readonly refused: Counts;
  readonly calls: Calls;
  readonly upstream: Upstream;
}

/** Returns a snapshot of the proxy's state. */
export function grpcProxyStatus(parts: StatusParts): GrpcProxyStatus {
  const { now, upstream, calls } = parts;
  const all = [...calls.methods.all];
  const { cluster, sessionCount, waitingCalls } = upstream;
  const endpoints = cluster.pool.endpoints.map((endpoint) => endpointStatus(endpoint, now));
  return {
    listen: formatHostPort(parts.listen),
    uptimeMs: now - parts.startedAt,
    draining: parts.isDraining,
    maxConnections: parts.maxConnections,
    active: parts.active,
    accepted: parts.accepted,
    refused: { ...parts.refused },
    bytesToServers: sum(all, ({ bytesReceived }) => bytesReceived),
    bytesToClients: sum(all, ({ bytesSent }) => bytesSent),
    heldBytes: calls.bufferLimit.bytes,
    endpoints,
    discovery: cluster.discoveryStatus(),
    calls: calls.count,
    waitingCalls,
    sessions: sessionCount,
    methods: all,
  };
}

function sum(methods: readonly Method[], valueOf: (method: Method) => number): number {
  return methods.reduce((total, method) => total + valueOf(method), 0);
}
