// The one table of flags. Parsing, help and the names of environment variables
// are all read off it; a flag that is not here does not exist.
import { type HostPort, isDnsName, parseEndpoint, parseListenAddress } from "../config/address.ts";
import { parseDuration } from "../config/duration.ts";
import type { LogFormat, LogLevel } from "../config/gateway-config.ts";

/** One flag of `start`. `parse` throws a RangeError whose message is the fact alone. */
export interface Flag<T> {
  /** What stands behind the flag in help: `DURATION`. Empty: a switch. */
  readonly value: string;
  /** Text that is parsed when nothing was given; undefined: not set. */
  readonly default?: string;
  /** May be given several times; the values are joined by commas. */
  readonly repeatable?: true;
  readonly summary: string;
  /** The wanted form, shown in help and behind every error. */
  readonly example: string;
  parse(text: string): T;
}

// Timers hold a signed 32-bit count of milliseconds; beyond it they fire at once.
const MAX_TIMER_MS = 2 ** 31 - 1;

export const flags = {
  endpoints: {
    value: "HOST:PORT,...",
    default: "127.0.0.1:2379",
    repeatable: true,
    summary:
      "etcd endpoints, comma-separated or repeated. A scheme and a path are stripped. Names are looked up at every dial.",
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
  "drain-timeout": {
    value: "DURATION",
    default: "10s",
    summary:
      "How long relays may go on after SIGTERM or SIGINT before they are reset. 0: not at all.",
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
  "discovery-srv": {
    value: "DOMAIN",
    summary: "DNS domain whose SRV records name the endpoints. Not yet supported.",
    example: "example.com",
    parse: parseDomain,
  },
  "discovery-srv-name": {
    value: "NAME",
    summary: "Suffix of the service name that is looked up with --discovery-srv.",
    example: "staging",
    parse: parseServiceName,
  },
  "insecure-discovery": {
    value: "",
    default: "false",
    summary: "Accept SRV records that are not authenticated.",
    example: "true",
    parse: parseBoolean,
  },
  "trusted-ca-file": {
    value: "FILE",
    summary:
      "CA certificates that verify the endpoints found by --discovery-srv; never used for the traffic.",
    example: "/etc/etcd/ca.pem",
    parse: (text: string) => text,
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

function parseEndpoints(text: string): HostPort[] {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  if (parts.length === 0) throw new RangeError("no endpoint in it");
  return parts.map((part) => {
    try {
      return parseEndpoint(part);
    } catch (error) {
      const fact = (error as RangeError).message;
      // In a list, say which one: the flag's whole value may be long.
      throw new RangeError(parts.length === 1 ? fact : `"${part.trim()}": ${fact}`);
    }
  });
}

function parseTimer(text: string, leastMs: number): number {
  const ms = parseDuration(text);
  if (ms < leastMs) throw new RangeError(leastMs === 0 ? "below 0" : `shorter than ${leastMs}ms`);
  if (ms > MAX_TIMER_MS) throw new RangeError("longer than 596h (24 days)");
  return ms;
}

function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new RangeError("not a whole number from 0 to 999999999");
  return Number(text);
}

/** The words of Go's strconv.ParseBool. */
function parseBoolean(text: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw new RangeError("neither true nor false");
}

function parseDomain(text: string): string {
  if (!isDnsName(text)) throw new RangeError("not a DNS domain");
  return text;
}

function parseServiceName(text: string): string {
  // One label together with "_etcd-client-ssl-", of at most 63 octets (RFC 1035).
  if (!/^[a-z0-9-]{1,46}$/i.test(text))
    throw new RangeError("not a name of 1 to 46 letters, digits and hyphens");
  return text;
}

function oneOf<T extends string>(...words: T[]): (text: string) => T {
  return (text) => {
    if (!(words as string[]).includes(text)) throw new RangeError(`not one of ${words.join(", ")}`);
    return text as T;
  };
}
