// What a gateway is told to do: the result of reading flags, environment and
// config file. Its values are valid; the form of each is checked where the text
// is read.
import type { HostPort } from "./address.ts";
import type { HealthUrl } from "./health-url.ts";
import type { EndpointSpec } from "./endpoint-spec.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFormat = "auto" | "json" | "console";
export type Policy = "round-robin" | "least-connections";

/** SRV discovery, RFC 2782. */
export interface SrvConfig {
  readonly domain: string;
  /** Suffix of the service names; undefined: none. */
  readonly name: string | undefined;
  /** Whether endpoints are used that were not verified by a TLS handshake. */
  readonly isInsecure: boolean;
}

/** PEM files for the gateway's own TLS: verification and the member list, never the traffic. */
export interface TlsFiles {
  /** Undefined: the system's store. */
  readonly trustedCaFile: string | undefined;
  /** Set if and only if `keyFile` is. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

/** For a cluster with authentication. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface GatewayConfig {
  /** What --endpoints names; empty only if `srv` is set and --endpoints was not given. */
  readonly endpoints: readonly EndpointSpec[];
  readonly srv: SrvConfig | undefined;
  /** DNS servers instead of the system's, an IP literal and a port each; empty: the system's. */
  readonly discoveryServers: readonly HostPort[];
  /** Milliseconds between two SRV lookups. 0: at start only. */
  readonly discoveryRefreshMs: number;
  /** Milliseconds between two reads of the cluster's member list. 0: it is never asked for. */
  readonly memberSyncMs: number;
  readonly tls: TlsFiles;
  readonly credentials: Credentials | undefined;
  readonly policy: Policy;
  /** Where an endpoint's health is asked for; undefined: nowhere. */
  readonly healthUrl: HealthUrl | undefined;
  /** Milliseconds between two checks of an endpoint, and for one check. At least 1. */
  readonly healthIntervalMs: number;
  readonly healthTimeoutMs: number;
  /** Checks in a row that make an endpoint healthy, or unhealthy. At least 1. */
  readonly healthRise: number;
  readonly healthFall: number;
  /** Whether relays to an endpoint that has become unhealthy are reset. */
  readonly isClosedWhenUnhealthy: boolean;
  /** Port 0: the system chooses. */
  readonly listen: HostPort;
  /** Whether another process may listen on the same address, to take over. */
  readonly reusePort: boolean;
  /** Milliseconds between two dials of an endpoint that is down. At least 1. */
  readonly retryDelayMs: number;
  /** Milliseconds for one endpoint's name lookup and connect together. At least 1. */
  readonly dialTimeoutMs: number;
  /** Milliseconds before the next endpoint is dialled beside one that is silent. 0: never. */
  readonly attemptDelayMs: number;
  /** Milliseconds of silence before a peer is probed. 0: never. */
  readonly keepAliveMs: number;
  /** Milliseconds that a peer that is owed bytes may show no sign of life. 0: the system's default. */
  readonly userTimeoutMs: number;
  /** Milliseconds that a relay may be without a byte in either direction. 0: for ever. */
  readonly idleTimeoutMs: number;
  /** Milliseconds that relays may go on after a stop, or after their endpoint left. 0: none. */
  readonly drainTimeoutMs: number;
  /** Relays at the same time. 0: as many as the descriptor limit allows. */
  readonly maxConnections: number;
  /** Relays of one client address at the same time. 0: no limit. */
  readonly maxConnectionsPerClient: number;
  /** Bytes held for all peers together that do not read. 0: no limit. */
  readonly maxBufferBytes: number;
  /** Networks whose clients are served, as `10.0.0.0/8`; empty: all. */
  readonly allowedNetworks: readonly string[];
  /** Where it tells how it is; undefined: nowhere. */
  readonly metrics: HostPort | undefined;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Whether each client is a line of the log when it is over. */
  readonly hasAccessLog: boolean;
}
