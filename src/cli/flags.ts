// The one table of flags. Parsing, help and the names of environment variables
// are all read off it; a flag that is not here does not exist.
import { parseListenAddress } from "../config/address.ts";
import type { LogFormat, LogLevel, Policy } from "../config/gateway-config.ts";
import {
  oneOf,
  parseBoolean,
  parseCount,
  parseDnsServers,
  parseDomain,
  parseEndpoints,
  parseServiceName,
  parseTimer,
  parseText,
} from "./flag-values.ts";

/** One flag of `start`. `parse` throws a RangeError whose message is the fact alone. */
export interface Flag<T> {
  /** What stands behind the flag in help: `DURATION`. Empty: a switch. */
  readonly value: string;
  /** Text that is parsed when nothing was given; undefined: not set. */
  readonly default?: string;
  /** May be given several times; the values are joined by commas. */
  readonly repeatable?: true;
  /** The one command that takes it; undefined: all that run or try the gateway. */
  readonly onlyFor?: "check";
  /** Must not be shown to anybody. */
  readonly isSecret?: true;
  readonly summary: string;
  /** The wanted form, shown in help and behind every error. */
  readonly example: string;
  parse(text: string): T;
}

export const flags = {
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
  policy: {
    value: "POLICY",
    default: "round-robin",
    summary:
      "Which endpoint of the best priority takes the next client: round-robin, or least-connections, which evens out long-lived connections after a member returns.",
    example: "least-connections",
    parse: oneOf<Policy>("round-robin", "least-connections"),
  },
  "discovery-srv": {
    value: "DOMAIN",
    summary:
      "DNS domain whose SRV records _etcd-client-ssl._tcp and _etcd-client._tcp name the endpoints, with priority and weight (RFC 2782).",
    example: "example.com",
    parse: parseDomain,
  },
  "discovery-srv-name": {
    value: "NAME",
    summary:
      "Suffix of the service names: with staging, _etcd-client-ssl-staging._tcp is asked for.",
    example: "staging",
    parse: parseServiceName,
  },
  "insecure-discovery": {
    value: "",
    default: "false",
    summary:
      "Accept SRV records that are not authenticated. Without it only _etcd-client-ssl endpoints are used, each verified by a TLS handshake.",
    example: "true",
    parse: parseBoolean,
  },
  "discovery-refresh-interval": {
    value: "DURATION",
    default: "30s",
    summary:
      "How often the SRV records are looked up again. 0: at start, and when every endpoint is down. Otherwise at least 100ms.",
    example: "1m",
    parse: (text: string) => parseTimer(text, 100, "or 0"),
  },
  "discovery-servers": {
    value: "HOST:PORT,...",
    repeatable: true,
    summary:
      "DNS servers, by IP address, to ask instead of the system's for SRV records and for the names of endpoints. The hosts file is not read then.",
    example: "10.0.0.53:53",
    parse: parseDnsServers,
  },
  "endpoints-auto-sync-interval": {
    value: "DURATION",
    default: "0s",
    summary:
      "How often the cluster is asked for its member list, whose client URLs are then the endpoints. 0: never. Otherwise at least 100ms.",
    example: "1m",
    parse: (text: string) => parseTimer(text, 100, "or 0"),
  },
  "trusted-ca-file": {
    value: "FILE",
    summary:
      "CA certificates that verify the endpoints found by --discovery-srv, and whoever is asked for the member list; never used for the traffic. Not set: the system's.",
    example: "/etc/etcd/ca.pem",
    parse: parseText,
  },
  "cert-file": {
    value: "FILE",
    summary: "Client certificate for asking the member list; never used for the traffic.",
    example: "/etc/etcd/client.pem",
    parse: parseText,
  },
  "key-file": {
    value: "FILE",
    summary: "Key of --cert-file.",
    example: "/etc/etcd/client.key",
    parse: parseText,
  },
  user: {
    value: "NAME",
    summary: "User who asks for the member list of a cluster with authentication.",
    example: "gateway",
    parse: parseText,
  },
  password: {
    value: "PASSWORD",
    isSecret: true,
    summary:
      "Password of --user. On the command line every user of the machine can read it; the variable and the config file are safer.",
    example: "secret",
    parse: parseText,
  },
  "config-file": {
    value: "FILE",
    summary:
      "YAML file whose keys are these flags' names without dashes. A flag or variable wins over it. SIGHUP reads it again.",
    example: "/etc/etcd-gateway.yaml",
    parse: parseText,
  },
  "log-level": {
    value: "LEVEL",
    default: "info",
    summary: "The least severe messages to log: debug, info, warn or error.",
    example: "warn",
    parse: oneOf<LogLevel>("debug", "info", "warn", "error"),
  },
  "log-format": {
    value: "FORMAT",
    default: "auto",
    summary:
      "json: one object a line; console: lines for people; auto: console if standard error is a terminal, else json.",
    example: "json",
    parse: oneOf<LogFormat>("auto", "json", "console"),
  },
  output: {
    value: "FORMAT",
    default: "table",
    onlyFor: "check",
    summary: "What to print: a table for people, or json for scripts.",
    example: "json",
    parse: oneOf<"table" | "json">("table", "json"),
  },
} satisfies Record<string, Flag<unknown>>;

export type FlagName = keyof typeof flags;
export type FlagValues = {
  -readonly [Name in FlagName]:
    | ReturnType<(typeof flags)[Name]["parse"]>
    | ((typeof flags)[Name] extends { default: string } ? never : undefined);
};

export const flagNames = Object.keys(flags) as FlagName[];

/** The table's row, with the optional fields that only some rows have. */
export function flagNamed(name: FlagName): Flag<unknown> {
  return flags[name];
}

/** `--listen-addr` is ETCD_GATEWAY_LISTEN_ADDR. */
export function variableOf(name: FlagName): string {
  return ENVIRONMENT_PREFIX + name.toUpperCase().replaceAll("-", "_");
}

export const ENVIRONMENT_PREFIX = "ETCD_GATEWAY_";
