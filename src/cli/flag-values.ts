// Parses the texts of flags. Each parser throws a RangeError whose message is the fact
// alone; the caller adds the flag and the text.
import { isIP } from "node:net";
import { type HostPort, isDnsName, parseEndpoint } from "../core/address.ts";
import { formatDuration, parseDuration } from "../core/duration.ts";
import {
  type EndpointSpec,
  parseDialableEndpoint,
  parseStaticEndpoint,
} from "../core/endpoint-spec.ts";
import type { FlagParser } from "./flag.ts";

// Timers hold a signed 32-bit count of milliseconds; beyond it they fire at once.
const MAX_TIMER_MS = 2 ** 31 - 1;

export function parseEndpoints(text: string): EndpointSpec[] {
  return parseList(text, "endpoint", parseStaticEndpoint);
}

/** Unix sockets as well. */
export function parseDialableEndpoints(text: string): EndpointSpec[] {
  return parseList(text, "endpoint", parseDialableEndpoint);
}

/** IP literals: a name would have to be looked up by the very servers that it names. */
export function parseDnsServers(text: string): HostPort[] {
  return parseList(text, "server", (part) => {
    const server = isIP(part) === 0 ? parseEndpoint(part) : { host: part, port: 53 };
    if (isIP(server.host) === 0) throw new RangeError(`"${server.host}" is not an IP address`);
    return server;
  });
}

/** Networks in CIDR notation (RFC 4632); a bare address is a network of one. */
export function parseNetworks(text: string): string[] {
  return parseList(text, "network", (part) => {
    const [address = "", bits, ...rest] = part.split("/");
    const family = isIP(address);
    if (family === 0 || rest.length > 0) throw new RangeError("not a network");
    const most = family === 4 ? 32 : 128;
    if (bits === undefined) return `${address}/${most}`;
    if (!/^\d{1,3}$/.test(bits) || Number(bits) > most)
      throw new RangeError(`"/${bits}" is not a prefix length from 0 to ${most}`);
    return `${address}/${Number(bits)}`;
  });
}

/** Items between commas. `what` names one of them; `parse` throws a RangeError with the fact. */
export function parseList<T>(text: string, what: string, parse: (part: string) => T): T[] {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  if (parts.length === 0) throw new RangeError(`no ${what} in it`);
  return parts.map((part) => {
    try {
      return parse(part.trim());
    } catch (error) {
      const fact = (error as RangeError).message;
      // In a list, say which one: the flag's whole value may be long.
      throw new RangeError(parts.length === 1 ? fact : `"${part.trim()}": ${fact}`);
    }
  });
}

/** Milliseconds of at least `leastMs`; with `orZero`, 0 is one more choice. */
export function parseTimer(text: string, leastMs: number, orZero?: "or 0"): number {
  const ms = parseDuration(text);
  if (ms === 0 && orZero !== undefined) return 0;
  if (ms < leastMs) throw new RangeError(tooShort(leastMs, orZero));
  if (ms > MAX_TIMER_MS) throw new RangeError("longer than 596h (24 days)");
  return ms;
}

// MAX_TCP_KEEPIDLE of Linux (include/net/tcp.h): setsockopt fails with EINVAL above it.
const MAX_KEEPALIVE_MS = 32_767_000;

/** Milliseconds before the first keepalive probe: 0, or what the kernel takes. */
export function parseKeepAlive(text: string): number {
  if (parseDuration(text) > MAX_KEEPALIVE_MS)
    throw new RangeError(`longer than ${formatDuration(MAX_KEEPALIVE_MS)} (the kernel's limit)`);
  return parseTimer(text, 1000, "or 0");
}

function tooShort(leastMs: number, orZero: "or 0" | undefined): string {
  if (leastMs === 0) return "below 0";
  return orZero === undefined
    ? `shorter than ${leastMs}ms`
    : `shorter than ${leastMs}ms, and not 0`;
}

/** A whole number of at least 1. */
export function parseTimes(text: string): number {
  const count = parseCount(text);
  if (count === 0) throw new RangeError("below 1");
  return count;
}

/** Bytes: a whole number of at most 2 GiB. */
export function parseBytes(text: string): number {
  return parseWhole(text, 2 ** 31);
}

export function parseCount(text: string): number {
  return parseWhole(text, 999_999_999);
}

/** A whole number of at most `most`. */
export function parseWhole(text: string, most: number): number {
  if (!/^\d+$/.test(text) || Number(text) > most)
    throw new RangeError(`not a whole number from 0 to ${most}`);
  return Number(text);
}

const UNITS: Record<string, number> = { "": 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };
const LEAST_MEMORY = 1024 ** 2;
const MOST_MEMORY = 1024 ** 4;

/** Bytes: 0, or a whole number from 1 MiB to 1 TiB with a unit of IEC 80000-13 or none. */
export function parseMemory(text: string): number {
  const [, digits, unit] = /^(\d{1,13})(|KiB|MiB|GiB)$/.exec(text) ?? [];
  if (digits === undefined)
    throw new RangeError("not a number of bytes, such as 64MiB; units are KiB, MiB and GiB");
  const bytes = Number(digits) * UNITS[unit!]!;
  if (bytes > 0 && bytes < LEAST_MEMORY) throw new RangeError("less than 1MiB, and not 0");
  if (bytes > MOST_MEMORY) throw new RangeError("more than 1024GiB");
  return bytes;
}

/** The words of Go's strconv.ParseBool. */
export function parseBoolean(text: string): boolean {
  if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
  if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
  throw new RangeError("neither true nor false");
}

export function parseDomain(text: string): string {
  if (!isDnsName(text)) throw new RangeError("not a DNS domain");
  return text;
}

export function parseServiceName(text: string): string {
  // One label together with "_etcd-client-ssl-", of at most 63 octets (RFC 1035).
  if (!/^[a-z0-9-]{1,46}$/i.test(text))
    throw new RangeError("not a name of 1 to 46 letters, digits and hyphens");
  return text;
}

export function oneOf<T extends string>(...words: T[]): FlagParser<T> {
  const parse = (text: string) => {
    if (!(words as string[]).includes(text)) throw new RangeError(`not one of ${words.join(", ")}`);
    return text as T;
  };
  return Object.assign(parse, { choices: words });
}

/** Any text that is not empty. */
export function parseText(text: string): string {
  if (text === "") throw new RangeError("empty");
  return text;
}
