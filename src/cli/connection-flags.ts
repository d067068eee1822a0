// Rows of the flag table: whom the gateway serves, by whom, and for how long.
import { parseListenAddress } from "../core/address.ts";
import type { Policy } from "../core/gateway-config.ts";
import type { Flag } from "./flag.ts";
import {
  oneOf,
  parseBoolean,
  parseCount,
  parseEndpoints,
  parseKeepAlive,
  parseMemory,
  parseNetworks,
  parseTimer,
} from "./flag-values.ts";

export const connectionFlags = {
  endpoints: {
    value: "HOST:PORT,...",
    default: "127.0.0.1:2379",
    repeatable: true,
    summary:
      "etcd endpoints, comma-separated or repeated. A scheme and a path are stripped. Names are looked up at every dial. With --discovery-srv: used if that finds nothing at start.",
    example: "10.0.1.10:2379,10.0.1.11:2379,[fd00::12]:2379",
    parse: parseEndpoints,
  },
  "listen-addr": {
    value: "HOST:PORT",
    default: "127.0.0.1:23790",
    summary: "Where applications connect. Without a host: every address of this machine.",
    example: "127.0.0.1:23790",
    parse: parseListenAddress,
  },
  "reuse-port": {
    value: "",
    default: "false",
    summary:
      "Let another gateway with this flag listen on the same address (SO_REUSEPORT): start the new one, then stop the old one, and nobody is refused.",
    example: "true",
    parse: parseBoolean,
  },
  policy: {
    value: "POLICY",
    default: "round-robin",
    summary:
      "Which endpoint of the best priority takes the next client: round-robin, or least-connections, which evens out long-lived connections after a member returns.",
    example: "least-connections",
    parse: oneOf<Policy>("round-robin", "least-connections"),
  },
  "retry-delay": {
    value: "DURATION",
    default: "1m0s",
    summary:
      "How long an endpoint that failed stays down before it is dialled again. At least 1ms.",
    example: "30s",
    parse: (text: string) => parseTimer(text, 1),
  },
  "dial-timeout": {
    value: "DURATION",
    default: "3s",
    summary: "How long one endpoint may take to be looked up and connected to. At least 1ms.",
    example: "500ms",
    parse: (text: string) => parseTimer(text, 1),
  },
  "connection-attempt-delay": {
    value: "DURATION",
    default: "250ms",
    summary:
      "How long a dial may be without an answer before the next endpoint is dialled as well; the first to connect serves (RFC 8305). 0: wait for --dial-timeout.",
    example: "100ms",
    parse: (text: string) => parseTimer(text, 1, "or 0"),
  },
  "keepalive-time": {
    value: "DURATION",
    default: "15s",
    summary:
      "How long a connection may be silent before the kernel probes its peer; unanswered for as long again, it is ended. 0: never. Otherwise at least 1s and at most 9h6m7s.",
    example: "1m",
    parse: parseKeepAlive,
  },
  "tcp-user-timeout": {
    value: "DURATION",
    default: "30s",
    summary:
      "How long an endpoint may not acknowledge or read what it was sent, and a client not acknowledge it, before the connection is ended. A client that is there and does not read is not cut. 0: the system's default, some 15 minutes. Otherwise at least 1s.",
    example: "10s",
    parse: (text: string) => parseTimer(text, 1000, "or 0"),
  },
  "idle-timeout": {
    value: "DURATION",
    default: "0s",
    summary:
      "How long a connection may be without a byte in either direction before it is reset. 0: for ever, since watches are idle by nature. Otherwise at least 1s.",
    example: "1h",
    parse: (text: string) => parseTimer(text, 1000, "or 0"),
  },
  "drain-timeout": {
    value: "DURATION",
    default: "10s",
    summary:
      "How long relays may go on after SIGTERM or SIGINT, or after their endpoint left the cluster, before they are reset. 0: not at all.",
    example: "1m30s",
    parse: (text: string) => parseTimer(text, 0),
  },
  "max-connections": {
    value: "COUNT",
    default: "0",
    summary:
      "Clients served at the same time; more are reset. 0: as many as the descriptor limit allows.",
    example: "2000",
    parse: parseCount,
  },
  "max-connections-per-client": {
    value: "COUNT",
    default: "0",
    summary: "Connections that one address may have at the same time; more are reset. 0: no limit.",
    example: "500",
    parse: parseCount,
  },
  "max-buffer-memory": {
    value: "SIZE",
    default: "64MiB",
    summary:
      "Memory held for all peers together that do not read what they are sent, beyond what the kernel holds. Above it connections that have stood still for fifteen seconds are reset, those that hold most first; one that reads 5 KiB a second is not. 0: no limit. Otherwise at least 1MiB.",
    example: "256MiB",
    parse: parseMemory,
  },
  "allow-cidr": {
    value: "NETWORK,...",
    repeatable: true,
    summary:
      "Networks whose clients are served, comma-separated or repeated; others are reset before anything is dialled. Not set: everyone who reaches --listen-addr.",
    example: "127.0.0.0/8,10.0.0.0/8,fd00::/8",
    parse: parseNetworks,
  },
} satisfies Record<string, Flag<unknown>>;
