// Flags of the HTTP proxy: rows that only it has, those of every proxy in its own words,
// and its whole table.
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import {
  parseHostWhitelist,
  parseInitialCluster,
  parseListenClientUrl,
  parseMilliseconds,
} from "../core/initial-cluster.ts";
import type { HttpProxyMode } from "../core/http-proxy-config.ts";
import type { FlagTable } from "../cli/flag.ts";
import { oneOf, parseBytes, parseEndpoints, parseText, parseTimer } from "../cli/flag-values.ts";
import { dialFlags, discoveryFlags } from "./cluster-flags.ts";
import { connectionFlags } from "./gateway-flags.ts";
import { listenFlags, operationFlags } from "./service-flags.ts";

/** What is served, and from which members. */
export const httpMemberFlags = {
  proxy: {
    value: "MODE",
    default: "on",
    key: "mode",
    isFixed: true,
    summary:
      "on: forward reads and writes; readonly: forward what only reads, judged by method, decoded path and, for transactions, body, and answer the rest with 501.",
    example: "readonly",
    parse: oneOf<HttpProxyMode>("on", "readonly"),
  },
  endpoints: {
    value: "URL,...",
    default: "127.0.0.1:2379",
    repeatable: true,
    key: "endpoints",
    noDefaultWith: "initial-cluster",
    unset: [] as EndpointSpec[],
    summary:
      "etcd endpoints, comma-separated or repeated: HOST:PORT, with or without http:// before it. Names are looked up at every dial. TLS to etcd (https://) is refused: this version does not have it.",
    example: "http://10.0.1.10:2379,http://10.0.1.11:2379",
    parse: parsePlainEndpoints,
  },
  policy: {
    ...dialFlags.policy,
    summary:
      "Which endpoint serves a client's first request: round-robin, or least-connections. The client's connection then stays with it while it is up, so that reads see earlier writes.",
  },
  "retry-delay": { ...dialFlags["retry-delay"], default: "1s" },
  "dial-timeout": dialFlags["dial-timeout"],
  "connection-attempt-delay": dialFlags["connection-attempt-delay"],
  "response-timeout": {
    value: "DURATION",
    default: "10s",
    key: "responseTimeoutMs",
    summary:
      "How long the last member that is asked may take for the head of its answer to a read, before the client gets 504. Reads that wait for events and writes have no limit. A read that is not answered within half a second is first moved to another member. 0: no limit. Otherwise at least 100ms.",
    example: "30s",
    parse: (text: string) => parseTimer(text, 100, "or 0"),
  },
  "max-request-bytes": {
    value: "BYTES",
    default: "2162688",
    key: "maxRequestBytes",
    summary:
      "The longest body of a request; a longer one gets 413. The default holds etcd's largest request, 1.5 MiB, in base64. 0: no limit.",
    example: "10485760",
    parse: parseBytes,
  },
} as const satisfies FlagTable;

/** The words of "etcd --proxy" where they differ. Times are milliseconds without a unit there. */
export const etcdProxyFlags = {
  "initial-cluster": {
    value: "NAME=URL,...",
    key: "peers",
    unset: [] as EndpointSpec[],
    summary:
      "Peer URLs of members, as in etcd; the names do not matter. The members are asked there for the client URLs of all, which are then the endpoints, instead of --endpoints.",
    example: "m1=http://10.0.1.10:2380",
    parse: parseInitialCluster,
  },
  "listen-client-urls": {
    value: "URL",
    section: "etcd",
    key: "listen",
    isFixed: true,
    summary: "Where applications connect, in etcd's words; one URL. It replaces --listen-addr.",
    example: "http://127.0.0.1:23790",
    parse: parseListenClientUrl,
  },
  "proxy-refresh-interval": {
    value: "MS",
    default: "30000",
    section: "etcd",
    key: "refreshMs",
    summary:
      "How often the members of --initial-cluster are asked, in milliseconds without a unit; also at once when no endpoint is up. Less than 1000 counts as 1000.",
    example: "10000",
    parse: parseMilliseconds,
  },
  "proxy-failure-wait": {
    value: "MS",
    section: "etcd",
    key: "failureWaitMs",
    summary:
      "How long an endpoint that failed stays down before it is probed again, in milliseconds without a unit. It replaces --retry-delay.",
    example: "5000",
    parse: parseMilliseconds,
  },
  "proxy-dial-timeout": {
    value: "MS",
    section: "etcd",
    key: "dialTimeoutMs",
    summary:
      "How long one endpoint may take to be connected to, in milliseconds without a unit. It replaces --dial-timeout. 0 counts as 3000.",
    example: "1000",
    parse: parseMilliseconds,
  },
  "data-dir": {
    value: "DIR",
    isFixed: true,
    summary:
      "Accepted for etcd's unit files, without an effect: this version keeps no cluster file, and the mode comes from --proxy alone.",
    example: "/var/lib/etcd",
    parse: parseText,
    warning: (folder: string) =>
      `--data-dir "${folder}" has no effect: the HTTP proxy keeps no cluster file`,
  },
} as const satisfies FlagTable;

/** How the members are followed. */
export const httpFollowFlags = {
  "discovery-servers": {
    ...discoveryFlags["discovery-servers"],
    summary:
      "DNS servers, by IP address, to ask in order instead of the system's for the names of endpoints. The hosts file and the search list are not used then.",
  },
  "endpoints-auto-sync-interval": discoveryFlags["endpoints-auto-sync-interval"],
  user: discoveryFlags.user,
  password: discoveryFlags.password,
} as const satisfies FlagTable;

/** Clients' connections. */
export const httpClientFlags = {
  "listen-addr": listenFlags["listen-addr"],
  "reuse-port": {
    ...listenFlags["reuse-port"],
    summary: listenFlags["reuse-port"].summary.replace("gateway", "proxy"),
  },
  "host-whitelist": {
    value: "HOST,...",
    default: "*",
    repeatable: true,
    key: "hostWhitelist",
    summary:
      "Host names without ports, comma-separated or repeated, that requests may have in their Host header; others get 421. It keeps pages in a browser away from a loopback address (DNS rebinding, CVE-2018-5702). *: all.",
    example: "localhost,127.0.0.1,etcd.example.com",
    parse: parseHostWhitelist,
  },
  "keepalive-time": connectionFlags["keepalive-time"],
  "tcp-user-timeout": {
    ...connectionFlags["tcp-user-timeout"],
    summary:
      "How long an endpoint may not acknowledge or read what it was sent, before the connection is ended. 0: the system's default, some 15 minutes. Otherwise at least 1s.",
  },
  "drain-timeout": {
    ...connectionFlags["drain-timeout"],
    summary:
      "How long requests may go on after SIGTERM or SIGINT, or after their endpoint left the cluster, before they are reset. 0: not at all.",
  },
  "max-connections": {
    ...connectionFlags["max-connections"],
    summary:
      "Client connections at the same time; more are reset. 0: as many as the descriptor limit allows.",
  },
  "max-connections-per-client": connectionFlags["max-connections-per-client"],
  "allow-cidr": connectionFlags["allow-cidr"],
} as const satisfies FlagTable;

/** Configuration, logs and the admin server. */
export const httpOperationFlags = {
  ...operationFlags,
  "access-log": {
    ...operationFlags["access-log"],
    summary:
      "Log a line for each request when it is over: client, method, path, status, member, times, bytes, and how it ended; never a query, a header or a body. At level info.",
  },
} as const satisfies FlagTable;

/** All flags of the HTTP proxy, in the order of help. */
export const httpProxyFlags = {
  ...httpMemberFlags,
  ...etcdProxyFlags,
  ...httpFollowFlags,
  ...httpClientFlags,
  ...httpOperationFlags,
} as const satisfies FlagTable;

function parsePlainEndpoints(text: string): EndpointSpec[] {
  const specs = parseEndpoints(text);
  if (specs.some(({ scheme }) => scheme === "https"))
    throw new RangeError("TLS to etcd is not supported by the HTTP proxy");
  return specs;
}
