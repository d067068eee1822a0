// Flags of every proxy that serves a cluster: which endpoints exist, which of them is
// next, and how the proxy itself asks etcd.
import type { HostPort } from "../core/address.ts";
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import type { Policy } from "../core/gateway-config.ts";
import { parseHealthUrl } from "../core/health-url.ts";
import type { FlagTable } from "../cli/flag.ts";
import {
  oneOf,
  parseBoolean,
  parseDnsServers,
  parseDomain,
  parseEndpoints,
  parseServiceName,
  parseText,
  parseTimer,
  parseTimes,
} from "../cli/flag-values.ts";

/** The endpoints that are given by name. */
export const endpointFlags = {
  endpoints: {
    value: "HOST:PORT,...",
    default: "127.0.0.1:2379",
    repeatable: true,
    key: "endpoints",
    noDefaultWith: "discovery-srv",
    unset: [] as EndpointSpec[],
    summary:
      "etcd endpoints, comma-separated or repeated. A scheme and a path are stripped. Names are looked up at every dial. With --discovery-srv: used if that finds nothing at start.",
    example: "10.0.1.10:2379,10.0.1.11:2379,[fd00::12]:2379",
    parse: parseEndpoints,
  },
} as const satisfies FlagTable;

/** Which endpoint is dialled, and when the next one. */
export const dialFlags = {
  policy: {
    value: "POLICY",
    default: "round-robin",
    key: "policy",
    summary:
      "Which endpoint of the best priority takes the next client: round-robin, or least-connections, which evens out long-lived connections after a member returns.",
    example: "least-connections",
    parse: oneOf<Policy>("round-robin", "least-connections"),
  },
  "retry-delay": {
    value: "DURATION",
    default: "1m0s",
    key: "retryDelayMs",
    summary:
      "How long an endpoint that failed stays down before it is dialled again. At least 1ms.",
    example: "30s",
    parse: (text: string) => parseTimer(text, 1),
  },
  "dial-timeout": {
    value: "DURATION",
    default: "3s",
    key: "dialTimeoutMs",
    summary: "How long one endpoint may take to be looked up and connected to. At least 1ms.",
    example: "500ms",
    parse: (text: string) => parseTimer(text, 1),
  },
  "connection-attempt-delay": {
    value: "DURATION",
    default: "250ms",
    key: "attemptDelayMs",
    summary:
      "How long a dial may be without an answer before the next endpoint is dialled as well; the first to connect serves (RFC 8305). 0: wait for --dial-timeout.",
    example: "100ms",
    parse: (text: string) => parseTimer(text, 1, "or 0"),
  },
} as const satisfies FlagTable;

/** How endpoints are found, and how the proxy authenticates itself and them. */
export const discoveryFlags = {
  "discovery-srv": {
    value: "DOMAIN",
    section: "srv",
    key: "domain",
    opensSection: true,
    summary:
      "DNS domain whose SRV records _etcd-client-ssl._tcp and _etcd-client._tcp name the endpoints, with priority and weight (RFC 2782).",
    example: "example.com",
    parse: parseDomain,
  },
  "discovery-srv-name": {
    value: "NAME",
    section: "srv",
    key: "name",
    requires: ["discovery-srv"],
    summary:
      "Suffix of the service names: with staging, _etcd-client-ssl-staging._tcp is asked for.",
    example: "staging",
    parse: parseServiceName,
  },
  "insecure-discovery": {
    value: "",
    default: "false",
    section: "srv",
    key: "isInsecure",
    requires: ["discovery-srv"],
    summary:
      "Accept SRV records that are not authenticated. Without it only _etcd-client-ssl endpoints are used, each verified by a TLS handshake.",
    example: "true",
    parse: parseBoolean,
  },
  "discovery-refresh-interval": {
    value: "DURATION",
    default: "30s",
    key: "discoveryRefreshMs",
    requires: ["discovery-srv"],
    summary:
      "How often the SRV records are looked up again; sooner if their TTL is shorter. 0: at start, and when every endpoint is down. Otherwise at least 100ms.",
    example: "1m",
    parse: (text: string) => parseTimer(text, 100, "or 0"),
  },
  "discovery-servers": {
    value: "HOST:PORT,...",
    repeatable: true,
    key: "discoveryServers",
    unset: [] as HostPort[],
    summary:
      "DNS servers, by IP address, to ask in order instead of the system's, for SRV records and for the names of endpoints. The hosts file and the search list are not used then.",
    example: "10.0.0.53:53",
    parse: parseDnsServers,
  },
  "endpoints-auto-sync-interval": {
    value: "DURATION",
    default: "0s",
    key: "memberSyncMs",
    summary:
      "How often the cluster is asked for its member list, whose client URLs are then the endpoints. 0: never. Otherwise at least 100ms.",
    example: "1m",
    parse: (text: string) => parseTimer(text, 100, "or 0"),
  },
  "trusted-ca-file": {
    value: "FILE",
    section: "tls",
    key: "trustedCaFile",
    requires: ["discovery-srv", "endpoints-auto-sync-interval", "health-url"],
    summary:
      "CA certificates that verify the endpoints found by --discovery-srv, and those asked for the member list or their health; never used for the traffic. Each is trusted by itself: a root, an intermediate or an endpoint's own. Not set: the system's.",
    example: "/etc/etcd/ca.pem",
    parse: parseText,
  },
  "cert-file": {
    value: "FILE",
    section: "tls",
    key: "certFile",
    together: "key-file",
    requires: ["discovery-srv", "endpoints-auto-sync-interval", "health-url"],
    summary: "Client certificate for asking the member list; never used for the traffic.",
    example: "/etc/etcd/client.pem",
    parse: parseText,
  },
  "key-file": {
    value: "FILE",
    section: "tls",
    key: "keyFile",
    together: "cert-file",
    summary: "Key of --cert-file.",
    example: "/etc/etcd/client.key",
    parse: parseText,
  },
  user: {
    value: "NAME",
    section: "credentials",
    key: "user",
    opensSection: true,
    together: "password",
    requires: ["endpoints-auto-sync-interval"],
    summary: "User who asks for the member list of a cluster with authentication.",
    example: "gateway",
    parse: parseText,
  },
  password: {
    value: "PASSWORD",
    isSecret: true,
    section: "credentials",
    key: "password",
    together: "user",
    summary:
      "Password of --user. On the command line every user of the machine can read it; the variable and the config file are safer.",
    example: "secret",
    parse: parseText,
  },
} as const satisfies FlagTable;

/** Health checks. */
export const healthFlags = {
  "health-url": {
    value: "URL",
    key: "healthUrl",
    summary:
      "Where each endpoint is asked for its health, with {host} and {port} for its own: etcd's /health, or /readyz from 3.5 on. New clients go to healthy endpoints; if there is none, to those that answer, then to the others. For https see --trusted-ca-file, --cert-file and --key-file. Not set: no endpoint is checked.",
    example: "http://{host}:2381/health",
    parse: parseHealthUrl,
  },
  "health-interval": {
    value: "DURATION",
    default: "2s",
    key: "healthIntervalMs",
    requires: ["health-url"],
    summary:
      "How often each endpoint is checked, plus or minus a fifth; twice as often while its checks contradict its state. At least 100ms.",
    example: "5s",
    parse: (text: string) => parseTimer(text, 100),
  },
  "health-timeout": {
    value: "DURATION",
    default: "1s",
    key: "healthTimeoutMs",
    requires: ["health-url"],
    summary: "How long an endpoint may take to answer a check. At least 1ms.",
    example: "500ms",
    parse: (text: string) => parseTimer(text, 1),
  },
  "health-rise": {
    value: "COUNT",
    default: "2",
    key: "healthRise",
    requires: ["health-url"],
    summary:
      "Checks in a row that must pass before an unhealthy endpoint is healthy again. At least 1.",
    example: "3",
    parse: parseTimes,
  },
  "health-fall": {
    value: "COUNT",
    default: "3",
    key: "healthFall",
    requires: ["health-url"],
    summary:
      "Checks in a row that must fail before an endpoint is unhealthy (it answers, but cannot serve) or unresponsive (it does not answer). At least 1.",
    example: "2",
    parse: parseTimes,
  },
  "health-close": {
    value: "",
    default: "true",
    key: "isClosedWhenUnhealthy",
    summary:
      "Reset the connections to an endpoint that is not healthy when it fails a check and another endpoint passes, so that clients move there. false: they stay.",
    example: "false",
    parse: parseBoolean,
  },
} as const satisfies FlagTable;
