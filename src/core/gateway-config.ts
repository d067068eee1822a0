// The configuration of a gateway, as read from flags, environment and config file.
// Every value is valid: its form was checked when the text was parsed.
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
  /** Whether endpoints are used without verification by a TLS handshake. */
  readonly isInsecure: boolean;
}

/** PEM files for the gateway's own TLS connections (verification, member list, health), never for client traffic. */
export interface TlsFiles {
  /** Undefined: the system's store. */
  readonly trustedCaFile: string | undefined;
  /** Set if and only if `keyFile` is. */
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  /** Whether any certificate of a server is accepted. Undefined: no. */
  readonly insecureSkipVerify?: boolean;
}

/** A file of `TlsFiles`. */
export type TlsFile = "trustedCaFile" | "certFile" | "keyFile";

/** For a cluster that has authentication enabled. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** What the resolver needs: which endpoints there are, and how they are dialled and checked. */
export interface ClusterConfig {
  /** The values of --endpoints. Empty only if `srv` or `peers` is set and --endpoints was not given. */
  readonly endpoints: readonly EndpointSpec[];
  /** Peer URLs that are asked for the members, instead of endpoints. Undefined or empty: none. */
  readonly peers?: readonly EndpointSpec[];
  readonly srv: SrvConfig | undefined;
  /** DNS servers, as IP literals with ports. Empty: the system's. */
  readonly discoveryServers: readonly HostPort[];
  /** Milliseconds between two SRV lookups. 0: at start only. */
  readonly discoveryRefreshMs: number;
  /** Milliseconds between two requests for the cluster's member list. 0: none. */
  readonly memberSyncMs: number;
  readonly tls: TlsFiles;
  readonly credentials: Credentials | undefined;
  readonly policy: Policy;
  /** Milliseconds between two dials of an endpoint that is down. At least 1. */
  readonly retryDelayMs: number;
  /** Milliseconds for one endpoint's name lookup and connect together. At least 1. */
  readonly dialTimeoutMs: number;
  /** Milliseconds of silence after which the next endpoint is dialled as well. 0: never. */
  readonly attemptDelayMs: number;
  /** URL of the health checks. Undefined: no health checks. */
  readonly healthUrl: HealthUrl | undefined;
  /** Milliseconds between two checks of an endpoint, and the timeout of one check. At least 1. */
  readonly healthIntervalMs: number;
  readonly healthTimeoutMs: number;
  /** Checks in a row that make the state better, or worse. At least 1. */
  readonly healthRise: number;
  readonly healthFall: number;
  /** Whether relays to an endpoint that fails its health checks are reset. */
  readonly isClosedWhenUnhealthy: boolean;
}

/** What a long-running proxy needs, whichever it is. */
export interface ServiceConfig {
  /** Port 0: the system chooses. */
  readonly listen: HostPort;
  /** Whether another process may listen on the same address (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** Address of the admin server. Undefined: it is not started. */
  readonly metrics: HostPort | undefined;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Whether the access log is written. */
  readonly hasAccessLog: boolean;
}

/** Limits and timeouts of the connections that are carried. */
export interface ConnectionConfig {
  /** Milliseconds of silence before a peer is probed. 0: never. */
  readonly keepAliveMs: number;
  /** Milliseconds for which a peer may leave bytes unacknowledged. 0: the system's default. */
  readonly userTimeoutMs: number;
  /** Milliseconds without a byte in either direction after which a relay is reset. 0: never. */
  readonly idleTimeoutMs: number;
  /** Milliseconds that relays may go on after a stop, or after their endpoint left. 0: they are reset at once. */
  readonly drainTimeoutMs: number;
  /** Relays at the same time. 0: as many as the descriptor limit allows. */
  readonly maxConnections: number;
  /** Relays of one client address at the same time. 0: no limit. */
  readonly maxConnectionsPerClient: number;
  /** Bytes buffered for peers that do not read, over all relays. 0: no limit. */
  readonly maxBufferBytes: number;
  /** Networks whose clients are served, such as `10.0.0.0/8`. Empty: all. */
  readonly allowedNetworks: readonly string[];
}

/** The configuration of the L4 gateway. */
export interface GatewayConfig extends ClusterConfig, ConnectionConfig, ServiceConfig {}
