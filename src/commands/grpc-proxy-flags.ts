// Flags of the gRPC proxy: rows that only it has, those of every proxy in its own
// words, and its whole table.
import type { FlagTable } from "../cli/flag.ts";
import { parseBoolean, parseDialableEndpoints, parseText } from "../cli/flag-values.ts";
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import { dialFlags, discoveryFlags, healthFlags } from "./cluster-flags.ts";
import { clientFlags, viewFlags } from "./grpc-proxy-client-flags.ts";
import { etcdTlsFlags, listenTlsFlags } from "./grpc-proxy-tls-flags.ts";
import {
  parseDialPings,
  parseMessageBytes,
  parseMetricsUrl,
  parsePingTimeout,
} from "./grpc-proxy-values.ts";
import { operationFlags } from "./service-flags.ts";

type Values = Readonly<Record<string, unknown>>;

/** The endpoints, and how calls are spread over them. */
export const memberFlags = {
  endpoints: {
    value: "URL,...",
    default: "127.0.0.1:2379",
    repeatable: true,
    key: "endpoints",
    noDefaultWith: "discovery-srv",
    unset: [] as EndpointSpec[],
    summary:
      "etcd endpoints, comma-separated or repeated: HOST:PORT, http:// or https:// before it, or a socket file as unix://PATH or unixs://PATH (TLS). Each has its own scheme; without one, TLS is used if --cacert, --cert or --insecure-skip-tls-verify is set. With --discovery-srv: used if that finds nothing at start.",
    example: "https://10.0.1.10:2379,unix:///run/etcd/m0",
    parse: parseDialableEndpoints,
  },
  policy: {
    ...dialFlags.policy,
    summary:
      "Which endpoint of the best priority takes the next call: round-robin, or least-connections, the one with the fewest open calls.",
  },
  // The proxy connects to members before calls need them, so it can ask them often.
  "retry-delay": { ...dialFlags["retry-delay"], default: "1s" },
  "dial-timeout": dialFlags["dial-timeout"],
  "connection-attempt-delay": dialFlags["connection-attempt-delay"],
  "dial-keepalive-time": {
    value: "DURATION",
    // etcd's proxy pings only if this is set, and a member that hangs then holds its calls.
    default: "10s",
    section: "dialPings",
    key: "timeMs",
    summary:
      "How long a connection to etcd that carries calls may be silent before it is tested by an HTTP/2 ping. 0: never; --tcp-user-timeout still finds a dead machine, but no member that hangs. Less than 10s counts as 10s.",
    example: "30s",
    parse: parseDialPings,
  },
  "dial-keepalive-timeout": {
    value: "DURATION",
    default: "5s",
    section: "dialPings",
    key: "timeoutMs",
    summary:
      "How long etcd may take to answer such a ping, before the connection and its calls end. 0 counts as 20s.",
    example: "10s",
    parse: parsePingTimeout,
  },
  "permit-without-stream": {
    value: "",
    default: "false",
    section: "dialPings",
    key: "permitWithoutStream",
    summary:
      "Test connections to etcd that carry no call as well. etcd may end a connection that pings it too often.",
    example: "true",
    parse: parseBoolean,
  },
  "max-send-bytes": {
    value: "BYTES",
    default: "1572864",
    section: "messages",
    key: "maxSendBytes",
    conflict: overReceiveLimit,
    summary: "The longest request to etcd. 0: 2 MiB.",
    example: "10485760",
    parse: (text: string) => parseMessageBytes(text, 2 * 1024 * 1024),
  },
  "max-recv-bytes": {
    value: "BYTES",
    default: "2147483647",
    section: "messages",
    key: "maxRecvBytes",
    summary: "The longest answer from etcd. 0: 2147483647.",
    example: "104857600",
    parse: (text: string) => parseMessageBytes(text, 2 ** 31 - 1),
  },
} as const satisfies FlagTable;

/** The user that the proxy itself is, for a cluster with authentication. */
export const identityFlags = {
  user: {
    value: "NAME",
    section: "credentials",
    key: "user",
    opensSection: true,
    conflict: noPassword,
    summary:
      "User of etcd for the proxy's own requests, such as the member list and its registration. Clients keep their own users.",
    example: "proxy",
    parse: parseText,
  },
  "password-file": {
    value: "FILE",
    section: "credentials",
    key: "passwordFile",
    conflict: noUser,
    summary: "File with the password of --user. A line break at its end is left out.",
    example: "/etc/etcd-gateway/password",
    parse: parseText,
  },
  password: {
    value: "PASSWORD",
    isSecret: true,
    section: "credentials",
    key: "password",
    conflict: noUserOrTwoPasswords,
    summary:
      "Password of --user. On the command line every user of the machine can read it; --password-file, the variable and the config file are safer.",
    example: "secret",
    parse: parseText,
  },
} as const satisfies FlagTable;

/** Discovery and health checks. */
export const followFlags = {
  "discovery-srv": discoveryFlags["discovery-srv"],
  "discovery-srv-name": discoveryFlags["discovery-srv-name"],
  "insecure-discovery": discoveryFlags["insecure-discovery"],
  "discovery-refresh-interval": discoveryFlags["discovery-refresh-interval"],
  "discovery-servers": discoveryFlags["discovery-servers"],
  "endpoints-auto-sync-interval": discoveryFlags["endpoints-auto-sync-interval"],
  ...healthFlags,
  "health-url": {
    ...healthFlags["health-url"],
    summary:
      "Where each endpoint is asked for its health, with {host} and {port} for its own: etcd's /health, or /readyz from 3.5 on. New calls go to healthy endpoints; if there is none, to those that answer, then to the others. For https see --cacert, --cert and --key. Not set: no endpoint is checked.",
  },
  "health-close": {
    ...healthFlags["health-close"],
    summary:
      "End watches and other streams of an endpoint that is not healthy when it fails a check and another endpoint passes, so that clients resume them there. false: they stay.",
  },
} as const satisfies FlagTable;

/** Configuration, logs and the admin server. */
export const proxyOperationFlags = {
  "config-file": operationFlags["config-file"],
  "metrics-addr": {
    ...operationFlags["metrics-addr"],
    value: "URL",
    summary:
      "Where to serve metrics and status, as http://HOST:PORT or HOST:PORT: /proxy/metrics for Prometheus, /metrics of a member, /health of the cluster, /livez, /readyz, /status, and a page. Every client that reaches it may read it. Not set: nothing is opened.",
    example: "http://127.0.0.1:9379",
    parse: parseMetricsUrl,
  },
  "log-level": operationFlags["log-level"],
  debug: {
    value: "",
    default: "false",
    key: "isDebug",
    summary: "Log at level debug, whatever --log-level is.",
    example: "true",
    parse: parseBoolean,
  },
  "log-format": operationFlags["log-format"],
  "access-log": {
    ...operationFlags["access-log"],
    summary:
      "Log a line for each call when it is over: client, method, code, member, duration and bytes; never a key, a value, a password or a token. At level info.",
  },
  "experimental-enable-grpc-logging": {
    value: "",
    default: "false",
    key: "hasMessageLog",
    summary:
      "Log a line for each message: method, size and peer. Its content is never logged, unlike in etcd's proxy. At level info.",
    example: "true",
    parse: parseBoolean,
  },
  "enable-pprof": {
    value: "",
    default: "false",
    summary: "Accepted for etcd's unit files, without an effect: this is not a Go program.",
    example: "true",
    parse: parseBoolean,
    warning: (isOn: boolean) =>
      isOn ? "--enable-pprof has no effect: this program has no Go profiles" : undefined,
  },
} as const satisfies FlagTable;

/** All flags of the gRPC proxy, in the order of help. */
export const grpcProxyFlags = {
  ...memberFlags,
  ...etcdTlsFlags,
  ...identityFlags,
  ...followFlags,
  ...clientFlags,
  ...listenTlsFlags,
  ...viewFlags,
  ...proxyOperationFlags,
} as const satisfies FlagTable;

function overReceiveLimit(send: number, values: Values): string | undefined {
  const receive = values["max-recv-bytes"] as number;
  return send > receive
    ? `gRPC message recv limit (${receive} bytes) must be greater than send limit (${send} bytes)`
    : undefined;
}

function noPassword(_: string, values: Values): string | undefined {
  return values["password"] === undefined && values["password-file"] === undefined
    ? "--password-file or --password is missing"
    : undefined;
}

function noUser(_: string, values: Values): string | undefined {
  return values["user"] === undefined ? "--user is missing" : undefined;
}

function noUserOrTwoPasswords(password: string, values: Values): string | undefined {
  return values["password-file"] === undefined
    ? noUser(password, values)
    : "--password-file is set too; set one of them";
}
