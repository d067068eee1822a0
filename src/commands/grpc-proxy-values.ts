// Parses the texts of flags that only the gRPC proxy has. Each parser throws a RangeError
// whose message is the fact alone; where etcd has words for it, they are etcd's.
import { parseList, parseTimer, parseWhole } from "../cli/flag-values.ts";
import type { FlagParser } from "../cli/flag.ts";
import { type HostPort, parseListenAddress } from "../core/address.ts";
import type { TlsVersion } from "../core/tls-config.ts";
import { hasCipherSuite } from "../os/tls-policy.ts";

/** Where metrics are served: `http://host:port`, of which a path is ignored as etcd does, or `host:port`. */
export function parseMetricsUrl(text: string): HostPort {
  const [, scheme, host] = /^\s*([a-z][a-z0-9+.-]*):\/\/(?:[^@/?#]*@)?([^/?#]*)/i.exec(text) ?? [];
  if (scheme === undefined) return parseListenAddress(text);
  if (scheme.toLowerCase() !== "http")
    throw new RangeError(`${scheme} is not served; http://HOST:PORT and HOST:PORT are`);
  return parseListenAddress(host!);
}

// As Go's crypto/tls names them: CipherSuites, then InsecureCipherSuites.
const CIPHER_SUITES: ReadonlySet<string> = new Set([
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
  "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
  "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
  "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
  "TLS_RSA_WITH_RC4_128_SHA",
  "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
  "TLS_RSA_WITH_AES_128_CBC_SHA",
  "TLS_RSA_WITH_AES_256_CBC_SHA",
  "TLS_RSA_WITH_AES_128_CBC_SHA256",
  "TLS_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_RSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
  "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
  "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
  "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
  // Older names, which etcd takes as well (client/pkg/tlsutil/cipher_suites.go).
  "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
]);

export function parseCipherSuites(text: string): string[] {
  return parseList(text, "cipher suite", (name) => {
    if (!CIPHER_SUITES.has(name)) throw new RangeError(`unexpected TLS cipher suite "${name}"`);
    if (!hasCipherSuite(name)) throw new RangeError(`cipher suite "${name}" is not supported`);
    return name;
  });
}

const TLS_VERSIONS: readonly TlsVersion[] = ["TLS1.2", "TLS1.3"];

/** `flag` stands in the error, as etcd writes it. An empty text is TLS1.2, Go's own minimum. */
export function tlsVersion(flag: string): FlagParser<TlsVersion> {
  const parse = (text: string) => {
    const version = TLS_VERSIONS.find((name) => name === (text || "TLS1.2"));
    if (version !== undefined) return version;
    throw new RangeError(
      `${flag} is invalid: unexpected TLS version "${text}" (must be one of: ${TLS_VERSIONS.join(", ")})`,
    );
  };
  return Object.assign(parse, { choices: TLS_VERSIONS });
}

// Of grpc-go: keepalive.ClientParameters and internal.KeepaliveMinPingTime.
const LEAST_DIAL_PING_MS = 10_000;
// Of grpc-go: keepalive.ServerParameters and internal.KeepaliveMinServerPingTime.
const LEAST_CLIENT_PING_MS = 1000;
// Of grpc-go, where 0 is given.
const PING_TIMEOUT_MS = 20_000;
const PING_MIN_TIME_MS = 300_000;

/** Milliseconds: 0, or at least 10 s, as gRPC raises less. */
export function parseDialPings(text: string): number {
  const ms = parseTimer(text, 1, "or 0");
  return ms === 0 ? 0 : Math.max(ms, LEAST_DIAL_PING_MS);
}

/** Milliseconds: 0, or at least 1 s, as gRPC raises less. */
export function parseClientPings(text: string): number {
  const ms = parseTimer(text, 1, "or 0");
  return ms === 0 ? 0 : Math.max(ms, LEAST_CLIENT_PING_MS);
}

/** Milliseconds over 0: gRPC takes 0 as 20 s. */
export function parsePingTimeout(text: string): number {
  return parseTimer(text, 1, "or 0") || PING_TIMEOUT_MS;
}

/** Milliseconds over 0: gRPC takes 0 as 5 min. */
export function parsePingMinTime(text: string): number {
  return parseTimer(text, 1, "or 0") || PING_MIN_TIME_MS;
}

// The length of a gRPC message, and SETTINGS_MAX_CONCURRENT_STREAMS, have 32 bits.
const MOST_32_BITS = 4_294_967_295;

/** Bytes of a message. 0 is `zero`, and what does not fit into 32 bits is their maximum. */
export function parseMessageBytes(text: string, zero: number): number {
  if (!/^\d{1,19}$/.test(text)) throw new RangeError("not a whole number of bytes");
  return Math.min(Number(text), MOST_32_BITS) || zero;
}

/** Streams of one connection; 0: no limit. */
export function parseStreams(text: string): number {
  return parseWhole(text, MOST_32_BITS) || MOST_32_BITS;
}

// The longest that etcd grants.
const MOST_TTL_SECONDS = 9_000_000_000;

/** Seconds; a negative number is for `conflict` to refuse in etcd's words. */
export function parseTtl(text: string): number {
  return text.startsWith("-")
    ? -parseWhole(text.slice(1), MOST_TTL_SECONDS)
    : parseWhole(text, MOST_TTL_SECONDS);
}

// What fits into a Go duration.
const MOST_YEARS = 292;

export function parseYears(text: string): number {
  return parseWhole(text, MOST_YEARS);
}
