// Describes an endpoint for /status and /metrics.
import type { EndpointStatus } from "../observe/status.ts";
import type { Endpoint } from "./endpoint.ts";

/** Bytes of open relays, which the endpoint does not count yet. */
export interface OpenBytes {
  readonly toServer: number;
  readonly toClients: number;
}

/** Returns a snapshot of an endpoint. `now` is on the clock; `open`: the bytes of its open relays. */
export function endpointStatus(
  endpoint: Endpoint,
  now: number,
  open: OpenBytes = { toServer: 0, toClients: 0 },
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
    bytesToServer: endpoint.bytesToServer + open.toServer,
    bytesToClients: endpoint.bytesToClients + open.toClients,
    dials: { ...dialStatistics.outcomes },
    dialTimes: dialStatistics.times,
  };
}
