// Flags of the gRPC proxy about its clients: their connections, and which keys, members
// and revisions they see.
import type { FlagTable } from "../cli/flag.ts";
import { parseBoolean, parseText } from "../cli/flag-values.ts";
import { connectionFlags } from "./gateway-flags.ts";
import {
  parseClientPings,
  parsePingMinTime,
  parsePingTimeout,
  parseStreams,
  parseTtl,
} from "./grpc-proxy-values.ts";
import { listenFlags } from "./service-flags.ts";

type Values = Readonly<Record<string, unknown>>;

/** Clients' connections. */
export const clientFlags = {
  "listen-addr": listenFlags["listen-addr"],
  "reuse-port": {
    ...listenFlags["reuse-port"],
    summary: listenFlags["reuse-port"].summary.replace("gateway", "proxy"),
  },
  "max-concurrent-streams": {
    value: "COUNT",
    default: "4294967295",
    key: "maxConcurrentStreams",
    summary: "Calls that one client connection may have open at the same time. 0: no limit.",
    example: "1000",
    parse: parseStreams,
  },
  "grpc-keepalive-min-time": {
    value: "DURATION",
    default: "5s",
    section: "clientPings",
    key: "minTimeMs",
    summary:
      "How long a client must wait between two HTTP/2 pings; one that does not is disconnected (too_many_pings). 0 counts as 5m.",
    example: "10s",
    parse: parsePingMinTime,
  },
  "grpc-keepalive-interval": {
    value: "DURATION",
    default: "2h",
    section: "clientPings",
    key: "intervalMs",
    summary:
      "How long a client may be silent before it is tested by an HTTP/2 ping. 0: never. Less than 1s counts as 1s.",
    example: "1m",
    parse: parseClientPings,
  },
  "grpc-keepalive-timeout": {
    value: "DURATION",
    default: "20s",
    section: "clientPings",
    key: "timeoutMs",
    summary: "How long a client may take to answer such a ping. 0 counts as 20s.",
    example: "10s",
    parse: parsePingTimeout,
  },
  "keepalive-time": connectionFlags["keepalive-time"],
  "tcp-user-timeout": connectionFlags["tcp-user-timeout"],
  "drain-timeout": {
    ...connectionFlags["drain-timeout"],
    summary:
      "How long calls may go on after SIGTERM or SIGINT before they are ended with UNAVAILABLE. 0: not at all.",
  },
  "max-connections": {
    ...connectionFlags["max-connections"],
    summary:
      "Client connections at the same time; more are reset. 0: as many as the descriptor limit allows.",
  },
  "max-connections-per-client": connectionFlags["max-connections-per-client"],
  "max-buffer-memory": {
    ...connectionFlags["max-buffer-memory"],
    summary:
      "Memory held for all peers together that do not read what they are sent, beyond what the kernel holds. Above it calls whose reader stands still are ended, those that hold most first; at twice as much, the clients for which most is held are closed. 0: no limit. Otherwise at least 1MiB.",
  },
  "allow-cidr": connectionFlags["allow-cidr"],
} as const satisfies FlagTable;

/** What clients are shown: keys, members and revisions. */
export const viewFlags = {
  "advertise-client-url": {
    value: "HOST:PORT",
    takesEmpty: true,
    key: "advertiseClientUrl",
    isFixed: true,
    conflict: nothingToRegister,
    summary:
      "Address of this proxy in the member list that clients get, and in its registration. Not set: the address that it listens on. Empty: clients get etcd's own members.",
    example: "10.0.2.10:23790",
    parse: (text: string) => text,
  },
  "resolver-prefix": {
    value: "KEY",
    section: "registration",
    key: "prefix",
    opensSection: true,
    isFixed: true,
    conflict: noTtl,
    summary:
      "Key prefix in etcd under which proxies register themselves. The member list has all proxies with the same prefix.",
    example: "___grpc_proxy_endpoint",
    parse: parseText,
  },
  "resolver-ttl": {
    value: "SECONDS",
    default: "0",
    section: "registration",
    key: "ttlSeconds",
    isFixed: true,
    conflict: noPrefix,
    summary: "How long the registration outlives a proxy that vanishes, in seconds. At least 1.",
    example: "60",
    parse: parseTtl,
  },
  namespace: {
    value: "KEY",
    section: "namespace",
    key: "prefix",
    opensSection: true,
    isFixed: true,
    summary:
      "Prefix that every key gets on its way to etcd and loses on its way back, so that clients see only keys below it. By default this does not confine them: locks, elections, leases, roles, compaction and snapshots are those of the whole cluster.",
    example: "team-a/",
    parse: parseText,
  },
  "namespace-strict": {
    value: "",
    default: "false",
    section: "namespace",
    key: "isStrict",
    isFixed: true,
    requires: ["namespace"],
    summary: "Refuse, or map into the --namespace, what would reach outside of it.",
    example: "true",
    parse: parseBoolean,
  },
  "experimental-serializable-ordering": {
    value: "",
    default: "false",
    key: "hasSerializableOrdering",
    isFixed: true,
    summary:
      "Never answer a serializable read with an older revision than the client has already seen, whichever member answers.",
    example: "true",
    parse: parseBoolean,
  },
  "experimental-leasing-prefix": {
    value: "KEY",
    conflict: () =>
      "leasing is not supported, since etcd's own has open correctness faults; remove the flag",
    summary: "Refused: leasing, by which etcd's proxy answers linearizable reads from memory.",
    example: "leasing/",
    parse: parseText,
  },
} as const satisfies FlagTable;

function noTtl(_: string, values: Values): string | undefined {
  const ttl = values["resolver-ttl"] as number;
  return ttl < 1 ? `invalid resolver-ttl ${ttl}` : undefined;
}

function noPrefix(ttl: number, values: Values): string | undefined {
  return ttl > 0 && values["resolver-prefix"] === undefined
    ? 'invalid resolver-prefix ""'
    : undefined;
}

function nothingToRegister(url: string, values: Values): string | undefined {
  const isRegistered = values["resolver-prefix"] !== undefined && values["resolver-ttl"] !== 0;
  return url === "" && isRegistered ? 'invalid advertise-client-url ""' : undefined;
}
