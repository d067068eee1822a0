// The configuration of the gRPC proxy, as read from flags, environment and config file.
// Every value is valid: its form was checked when the text was parsed.
import type { ClusterConfig, ConnectionConfig, ServiceConfig } from "./gateway-config.ts";
import type { EtcdTls, ListenTls } from "./tls-config.ts";

/** HTTP/2 pings between the proxy and its clients. */
export interface ClientPings {
  /** Milliseconds that a client must leave between two pings, or it is ended with GOAWAY too_many_pings. Over 0. */
  readonly minTimeMs: number;
  /** Milliseconds of silence after which a client is pinged: 0 (never), or at least 1000. */
  readonly intervalMs: number;
  /** Milliseconds that a client has to answer a ping. Over 0. */
  readonly timeoutMs: number;
}

/** HTTP/2 pings to etcd. */
export interface DialPings {
  /** Milliseconds of silence after which a member is pinged: 0 (never), or at least 10,000. */
  readonly timeMs: number;
  /** Milliseconds that a member has to answer a ping. Over 0. */
  readonly timeoutMs: number;
  /** Whether connections without a call are pinged too. */
  readonly permitWithoutStream: boolean;
}

/** Limits of one gRPC message, in bytes. `maxRecvBytes` is not below `maxSendBytes`. */
export interface MessageLimits {
  /** Of a request to etcd. The listener takes at least 4 MiB, so that etcd itself refuses what it does not take. */
  readonly maxSendBytes: number;
  /** Of an answer from etcd. */
  readonly maxRecvBytes: number;
}

/** The registration of this proxy in etcd, next to those of other proxies. Restart only. */
export interface Registration {
  readonly prefix: string;
  /** Seconds that the registration outlives the proxy. At least 1. */
  readonly ttlSeconds: number;
}

/** The part of the keys that clients see. Restart only. */
export interface Namespace {
  /** Not empty. Its UTF-8 bytes stand before each key; no separator is added. */
  readonly prefix: string;
  /** Whether RPCs that would reach outside of the namespace are refused or mapped. */
  readonly isStrict: boolean;
}

/** Limits and timeouts of clients' connections. `keepAliveMs` and `userTimeoutMs` are TCP's, on both sides. */
export type ClientConnectionConfig = Omit<ConnectionConfig, "idleTimeoutMs">;

/** The configuration of the gRPC proxy. */
export interface GrpcProxyConfig extends ClusterConfig, ClientConnectionConfig, ServiceConfig {
  readonly tls: EtcdTls;
  readonly listenTls: ListenTls;
  /** Calls of one client connection at the same time: 1 to 4294967295 (no limit). */
  readonly maxConcurrentStreams: number;
  readonly clientPings: ClientPings;
  readonly dialPings: DialPings;
  readonly messages: MessageLimits;
  /**
   * What the member list names, and what is registered. Undefined: the address that the
   * proxy listens on. Empty: the member list is etcd's own. Restart only.
   */
  readonly advertiseClientUrl: string | undefined;
  /** Undefined: the proxy does not register itself. */
  readonly registration: Registration | undefined;
  /** Undefined: keys pass as they are. */
  readonly namespace: Namespace | undefined;
  /** Whether the revisions that a client reads never go back, on whichever member. Restart only. */
  readonly hasSerializableOrdering: boolean;
  /** Whether each message is logged: method, size and peer, never its content. */
  readonly hasMessageLog: boolean;
}
