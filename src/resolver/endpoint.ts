// One etcd address of the pool, and what the others need to remember of it.
import type { HostPort } from "../core/address.ts";
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";

import { DialStatistics } from "./dial-statistics.ts";

/**
 * What health checks say of an endpoint. `unhealthy`: it answers, but cannot serve
 * (it has no leader, for example). `unresponsive`: it does not answer.
 */
export type HealthState = "healthy" | "unhealthy" | "unresponsive";

/** One etcd address. Its pool changes it, but for what others count in it. */
export class Endpoint {
  readonly address: HostPort;
  /** `host:port`: how logs name it, and what makes two endpoints the same. */
  readonly label: string;
  spec: EndpointSpec;
  isUp = true;
  /** Always `healthy` without health checks. */
  health: HealthState = "healthy";
  /** Whether the latest health check passed; false before the first. */
  hasPassedCheck = false;
  /** When it last came up, on the clock; a failure that began before is old news. */
  upSince = Number.NEGATIVE_INFINITY;
  /** Relays and dials to it. Whoever dials it counts. */
  connections = 0;
  /** Dials in a row that were overtaken by another endpoint's. */
  consecutiveOvertaken = 0;
  /** Dials so far, for whoever dials: a name's addresses take turns. */
  addressCursor = 0;
  /** Its weight, made comparable within its priority. At least 1. */
  effectiveWeight = 1;
  /** When it came up or went down, or its health turned, on the clock. */
  stateChangedAt = 0;
  /** Why it is not up, or not healthy; undefined if it is. */
  downReason: string | undefined;
  readonly dialStatistics = new DialStatistics();
  /** Of relays that are over. */
  bytesToServer = 0;
  bytesToClients = 0;
  /** What weighted round robin owes it. */
  currentWeight = 0;

  constructor(spec: EndpointSpec) {
    this.spec = spec;
    this.address = spec.address;
    this.label = labelOf(spec);
  }
}
