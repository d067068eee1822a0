// The configuration of the HTTP proxy, as read from flags, environment and config file.
// Every value is valid: its form was checked when the text was parsed.
import type { EndpointSpec } from "./endpoint-spec.ts";
import type { ClusterConfig, ConnectionConfig, ServiceConfig } from "./gateway-config.ts";
import type { EtcdTls, ListenTls } from "./tls-config.ts";

/** `on`: reads and writes. `readonly`: what only reads, and nothing else. */
export type HttpProxyMode = "on" | "readonly";

/** Limits of one request. */
export interface RequestLimits {
  /** Milliseconds that a member may take for the head of its answer to a read. 0: no limit. */
  readonly responseTimeoutMs: number;
  /** Bytes of a request's body, except of those that wait for events. 0: no limit. */
  readonly maxRequestBytes: number;
}

/** Limits and timeouts of clients' connections. `keepAliveMs` and `userTimeoutMs` are TCP's. */
export type HttpClientConfig = Omit<ConnectionConfig, "idleTimeoutMs" | "maxBufferBytes">;

/** The configuration of the HTTP proxy. */
export interface HttpProxyConfig
  extends ClusterConfig, HttpClientConfig, RequestLimits, ServiceConfig {
  readonly mode: HttpProxyMode;
  /** Host names, in lower case, that requests may be for. Empty: all. */
  readonly hostWhitelist: readonly string[];
  readonly peers: readonly EndpointSpec[];
  readonly tls: EtcdTls;
  readonly listenTls: ListenTls;
}
