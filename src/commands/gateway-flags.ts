// Flags of the L4 gateway: the rows that only it has, and its whole table.
import type { FlagTable } from "../cli/flag.ts";
import {
  parseCount,
  parseKeepAlive,
  parseMemory,
  parseNetworks,
  parseTimer,
} from "../cli/flag-values.ts";
import { dialFlags, discoveryFlags, endpointFlags, healthFlags } from "./cluster-flags.ts";
import { listenFlags, operationFlags } from "./service-flags.ts";

/** Limits and timeouts of the connections that are carried. */
export const connectionFlags = {
  "keepalive-time": {
    value: "DURATION",
    default: "15s",
    key: "keepAliveMs",
    summary:
      "How long a connection may be silent before the kernel probes its peer; unanswered for as long again, it is ended. 0: never. Otherwise at least 1s and at most 9h6m7s.",
    example: "1m",
    parse: parseKeepAlive,
  },
  "tcp-user-timeout": {
    value: "DURATION",
    default: "30s",
    key: "userTimeoutMs",
    summary:
      "How long an endpoint may not acknowledge or read what it was sent, and a client not acknowledge it, before the connection is ended. A client that is there and does not read is not cut. 0: the system's default, some 15 minutes. Otherwise at least 1s.",
    example: "10s",
    parse: (text: string) => parseTimer(text, 1000, "or 0"),
  },
  "idle-timeout": {
    value: "DURATION",
    default: "0s",
    key: "idleTimeoutMs",
    summary:
      "How long a connection may be without a byte in either direction before it is reset. 0: never, since watches are idle by nature. Otherwise at least 1s.",
    example: "1h",
    parse: (text: string) => parseTimer(text, 1000, "or 0"),
  },
  "drain-timeout": {
    value: "DURATION",
    default: "10s",
    key: "drainTimeoutMs",
    summary:
      "How long relays may go on after SIGTERM or SIGINT, or after their endpoint left the cluster, before they are reset. 0: not at all.",
    example: "1m30s",
    parse: (text: string) => parseTimer(text, 0),
  },
  "max-connections": {
    value: "COUNT",
    default: "0",
    key: "maxConnections",
    summary:
      "Clients served at the same time; more are reset. 0: as many as the descriptor limit allows.",
    example: "2000",
    parse: parseCount,
  },
  "max-connections-per-client": {
    value: "COUNT",
    default: "0",
    key: "maxConnectionsPerClient",
    summary: "Connections that one address may have at the same time; more are reset. 0: no limit.",
    example: "500",
    parse: parseCount,
  },
  "max-buffer-memory": {
    value: "SIZE",
    default: "64MiB",
    key: "maxBufferBytes",
    summary:
      "Memory held for all peers together that do not read what they are sent, beyond what the kernel holds. Above it connections that have stood still for fifteen seconds are reset, those that hold most first; one that reads 5 KiB a second is not. 0: no limit. Otherwise at least 1MiB.",
    example: "256MiB",
    parse: parseMemory,
  },
  "allow-cidr": {
    value: "NETWORK,...",
    repeatable: true,
    key: "allowedNetworks",
    unset: [] as string[],
    summary:
      "Networks whose clients are served, comma-separated or repeated; others are reset before anything is dialled. Not set: everyone who reaches --listen-addr.",
    example: "127.0.0.0/8,10.0.0.0/8,fd00::/8",
    parse: parseNetworks,
  },
} as const satisfies FlagTable;

/** All flags of the gateway, in the order of help. */
export const gatewayFlags = {
  ...endpointFlags,
  ...listenFlags,
  ...dialFlags,
  ...connectionFlags,
  ...discoveryFlags,
  ...healthFlags,
  ...operationFlags,
} as const satisfies FlagTable;
