// What /status and the page expose of any proxy, and of its process. The property
// names are the JSON keys of /status. Counters never decrease; times are in
// milliseconds unless the name has another unit. Each proxy adds its own part.

/** Maximum number of concurrent connections to the admin server; further ones are closed. */
export const MAX_ADMIN_CONNECTIONS = 32;

/** Counts by name. */
export type Counts = Readonly<Record<string, number>>;

/** Histogram of the duration of successful dials. */
export interface DialTimes {
  /** Upper bounds of the buckets. */
  readonly boundsSeconds: readonly number[];
  /** Dials per bucket, not cumulative; the additional last one counts those above all bounds. */
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

export interface EndpointStatus {
  /** `host:port`. */
  readonly address: string;
  /** Where the endpoint came from: `--endpoints`, SRV, the member list. */
  readonly origin: string;
  readonly priority: number;
  readonly weight: number;
  readonly up: boolean;
  readonly healthy: boolean;
  /** `unhealthy`: answers its health checks but cannot serve; `unresponsive`: does not answer them. */
  readonly health: "healthy" | "unhealthy" | "unresponsive";
  /** Why the endpoint is down or not healthy; null if it is up and healthy. */
  readonly why: string | null;
  /** Time since the endpoint's state last changed. */
  readonly sinceMs: number;
  /** Connections to the endpoint, plus dials in progress. */
  readonly connections: number;
  readonly bytesToServer: number;
  readonly bytesToClients: number;
  /** Dials made for clients, by outcome. */
  readonly dials: Counts;
  readonly dialTimes: DialTimes;
}

/** The results of one source of endpoints. */
export interface DiscoveryStatus {
  readonly source: string;
  readonly refreshes: number;
  readonly failures: number;
  /** Time since the last refresh that returned usable endpoints; null if none has. */
  readonly ageMs: number | null;
}

/** The part of the status that every proxy has: `gateway` in /status. */
export interface ProxyStatus {
  /** The address that clients connect to. */
  readonly listen: string;
  readonly uptimeMs: number;
  readonly draining: boolean;
  readonly maxConnections: number;
  /** Open client connections, including those still waiting for an endpoint. */
  readonly active: number;
  /** Client connections since the start, including those that were then refused. */
  readonly accepted: number;
  /** Clients that were not served, by reason. */
  readonly refused: Counts;
  readonly bytesToServers: number;
  readonly bytesToClients: number;
  /** Bytes buffered for peers that read slowly or not at all. */
  readonly heldBytes: number;
  readonly endpoints: readonly EndpointStatus[];
  readonly discovery: readonly DiscoveryStatus[];
}

/** The operating system process of the proxy. */
export interface ProcessStatus {
  readonly version: string;
  /** Version of the Bun in the binary, and its platform. */
  readonly runtime: string;
  /** Seconds since 1970. */
  readonly startTimeSeconds: number;
  /** User plus system time. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly openDescriptors: number;
  readonly maxDescriptors: number;
  /** The longest event loop delay in the last ten seconds. */
  readonly eventLoopDelaySeconds: number;
}
