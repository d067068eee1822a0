// Parses resolv.conf(5) as Go does. Reads no file.
import { isIP } from "node:net";
import type { HostPort } from "../core/address.ts";
import { absolute } from "./domain-name.ts";

/** The DNS servers, how to query them, and the search list. */
export interface ResolverConfig {
  /** IP literals with ports; at least one. */
  readonly servers: readonly HostPort[];
  /** Absolute suffixes, in order. */
  readonly search: readonly string[];
  /** A name with at least this number of dots is queried as it is before the search list is applied. */
  readonly ndots: number;
  /** The timeout of one exchange with one server. */
  readonly timeoutMs: number;
  /** How often the list of servers is tried. */
  readonly attempts: number;
  /** Whether each question starts with the next server. */
  readonly rotate: boolean;
  /** Whether A and AAAA are queried one after the other. */
  readonly singleRequest: boolean;
  readonly useTcp: boolean;
  readonly trustAd: boolean;
  /** Whether changes of the file are ignored. */
  readonly noReload: boolean;
  /** Whether the file has an option or keyword that only the C library may implement. */
  readonly hasUnknownOption: boolean;
}

const PORT = 53;
const MAX_SERVERS = 3;
const MAX_NDOTS = 15;

const MAX_NUMBER = 0xffffff; // Go's limit (net/parse.go)
const MAX_TIMEOUT_MS = 2 ** 31 - 1; // the longest delay of a timer

const DEFAULT_SERVERS: readonly HostPort[] = [
  { host: "127.0.0.1", port: PORT },
  { host: "::1", port: PORT },
];

/** The configuration without a resolv.conf. */
export const DEFAULTS: ResolverConfig = {
  servers: DEFAULT_SERVERS,
  search: [],
  ndots: 1,
  timeoutMs: 5000,
  attempts: 2,
  rotate: false,
  singleRequest: false,
  useTcp: false,
  trustAd: false,
  noReload: false,
  hasUnknownOption: false,
};

type Draft = { -readonly [Key in keyof ResolverConfig]: ResolverConfig[Key] };

/**
 * Parses a resolv.conf. `text` is undefined if the file cannot be read. Without a search
 * list, the domain of `hostname` is the search list.
 *
 * @see Go net/dnsconfig_unix.go, dnsReadConfig
 */
export function parseResolvConf(text: string | undefined, hostname: string): ResolverConfig {
  const config: Draft = { ...DEFAULTS, servers: [] };
  for (const line of (text ?? "").split("\n")) {
    if (line.startsWith(";") || line.startsWith("#")) continue;
    const [keyword, ...values] = line.split(/[ \r\t]+/).filter((field) => field !== "");
    if (keyword !== undefined) readLine(config, keyword, values);
  }

  if (config.servers.length === 0) config.servers = DEFAULT_SERVERS;
  if (config.search.length === 0) config.search = domainOf(hostname);
  return config;
}

function readLine(config: Draft, keyword: string, values: readonly string[]): void {
  const [first] = values;
  switch (keyword) {
    case "nameserver":
      if (first !== undefined && config.servers.length < MAX_SERVERS && isIP(first) !== 0)
        config.servers = [...config.servers, { host: first, port: PORT }];
      return;
    case "domain":
      if (first !== undefined) config.search = [absolute(first)];
      return;
    case "search":
      config.search = values.map(absolute).filter((suffix) => suffix !== ".");
      return;
    case "options":
      for (const option of values) readOption(config, option);
      return;
    case "lookup": // an OpenBSD keyword, ignored as in Go
      return;
    default:
      config.hasUnknownOption = true;
  }
}

function readOption(config: Draft, option: string): void {
  const [, name, value] = /^(ndots|timeout|attempts):(.*)$/.exec(option) ?? [];
  if (name === "ndots") config.ndots = Math.min(leadingNumber(value!), MAX_NDOTS);
  else if (name === "timeout")
    config.timeoutMs = Math.min(Math.max(leadingNumber(value!), 1) * 1000, MAX_TIMEOUT_MS);
  else if (name === "attempts") config.attempts = Math.max(leadingNumber(value!), 1);
  else if (option === "rotate") config.rotate = true;
  else if (/^single-request(-reopen)?$/.test(option)) config.singleRequest = true;
  else if (/^(use-vc|usevc|tcp)$/.test(option)) config.useTcp = true;
  else if (option === "trust-ad") config.trustAd = true;
  else if (option === "no-reload") config.noReload = true;
  else if (option !== "edns0") config.hasUnknownOption = true; // EDNS0 is always on
}

/** Parses the digits at the start; 0 if there are none. */
function leadingNumber(text: string): number {
  return Math.min(Number(/^\d+/.exec(text)?.[0] ?? 0), MAX_NUMBER);
}

/** Returns the part after the first dot as a search list; empty if there is none. */
function domainOf(hostname: string): string[] {
  const dot = hostname.indexOf(".");
  return dot < 0 || dot === hostname.length - 1 ? [] : [absolute(hostname.slice(dot + 1))];
}
