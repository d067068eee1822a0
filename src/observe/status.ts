// What a gateway tells of itself when it is asked: for /status, /metrics and the
// page. Counters only ever grow; times are milliseconds unless a name says else.

/** Connections at the same time of those who ask; more are closed. */
export const MAX_STATUS_CONNECTIONS = 32;

/** Counts by name. */
export type Counts = Readonly<Record<string, number>>;

/** How long the dials took that connected. */
export interface DialTimes {
  /** Upper bounds. */
  readonly boundsSeconds: readonly number[];
  /** Within each bound and not within the one before, and one more: above all. */
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

export interface EndpointStatus {
  /** `host:port`. */
  readonly address: string;
  /** Where it is known from: `--endpoints`, SRV, the member list. */
  readonly origin: string;
  readonly priority: number;
  readonly weight: number;
  readonly up: boolean;
  readonly healthy: boolean;
  /** `unhealthy`: it answers its health checks, but cannot serve; `unresponsive`: it does not answer. */
  readonly health: "healthy" | "unhealthy" | "unresponsive";
  /** Why it is not up or not healthy; null if it is. */
  readonly why: string | null;
  /** How long it has been so. */
  readonly sinceMs: number;
  /** Relays and dials under way. */
  readonly connections: number;
  readonly bytesToServer: number;
  readonly bytesToClients: number;
  /** Of clients, by outcome. */
  readonly dials: Counts;
  readonly dialTimes: DialTimes;
}

/** How a place that endpoints are looked up at does. */
export interface DiscoveryStatus {
  readonly source: string;
  readonly refreshes: number;
  readonly failures: number;
  /** How long ago it last gave something that can be used; null: never yet. */
  readonly ageMs: number | null;
}

export interface GatewayStatus {
  /** Where clients connect. */
  readonly listen: string;
  readonly uptimeMs: number;
  readonly draining: boolean;
  readonly maxConnections: number;
  /** Clients at this moment, those whose endpoint is being dialled included. */
  readonly active: number;
  /** accepted = relayed + the sum of refused + those that are being dialled. */
  readonly accepted: number;
  readonly relayed: number;
  readonly refused: Counts;
  /** Relays that are over, by how they ended. */
  readonly ended: Counts;
  readonly bytesToServers: number;
  readonly bytesToClients: number;
  /** Memory held for peers that do not read. */
  readonly heldBytes: number;
  readonly endpoints: readonly EndpointStatus[];
  readonly discovery: readonly DiscoveryStatus[];
}

/** The process that the gateway is. */
export interface ProcessStatus {
  readonly version: string;
  /** Of Bun, which the binary holds. */
  readonly runtime: string;
  /** Seconds since 1970. */
  readonly startTimeSeconds: number;
  /** User and system together. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly openDescriptors: number;
  readonly maxDescriptors: number;
  /** The longest that an event had to wait for its turn within the last ten seconds. */
  readonly eventLoopDelaySeconds: number;
}
