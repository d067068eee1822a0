// host:port as etcd's flags write it. Names are checked for their form only; the
// resolver finds out whether they exist.
import { isIP } from "node:net";

/** A host (name or IP literal, IPv6 without brackets) and a port of 0 to 65535. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Formats `host:port`, with IPv6 in brackets (Go's net.JoinHostPort). */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What the address of a Unix socket begins with, before its path, where other endpoints have an IP literal. */
export const UNIX_ADDRESS = "unix:";

/** Whether an IP literal is a loopback address. */
export function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}

/** Removes credentials and queries from the URLs in a text, so that it may be shown. */
export function withoutSecrets(text: string): string {
  return text.replace(/\/\/[^/@,\s]*@/g, "//").replace(/(:\/\/[^\s,?]*)\?[^\s,]*/g, "$1?...");
}

/**
 * Parses an endpoint. A scheme, user, path, query and fragment are stripped, as
 * etcd's gateway does: `http://h:2379/path` is `h:2379`.
 *
 * @throws {RangeError} whose message is the fact alone ("missing port").
 * @see etcd server/etcdmain/gateway.go, stripSchema
 */
export function parseEndpoint(text: string): HostPort {
  const endpoint = splitHostPort(stripScheme(text.trim()));
  if (endpoint.host === "") throw new RangeError("missing host");
  if (endpoint.port === 0) throw new RangeError("port 0 is not a port to dial");
  return endpoint;
}

/**
 * Parses a listen address. An empty host (`:23790`) stays empty and means every
 * address of the machine; port 0 lets the system choose.
 *
 * @throws {RangeError} whose message is the fact alone.
 */
export function parseListenAddress(text: string): HostPort {
  return splitHostPort(text.trim());
}

/** A DNS name of RFC 1123 plus the underscore that SRV and containers use. */
export function isDnsName(text: string): boolean {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  const isLabel = (label: string) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(label);
  return name.length > 0 && name.length <= 253 && name.split(".").every(isLabel);
}

function stripScheme(text: string): string {
  const match = /^([a-z][a-z0-9+.-]*):\/\/(?:[^@/?#]*@)?([^/?#]*)/i.exec(text);
  if (match === null) return text;
  // unix:///path has no host; and a TCP gateway cannot reach a socket file.
  if (/^unixs?$/i.test(match[1]!)) throw new RangeError("a Unix socket is not a TCP address");
  return match[2]!.replace("%25", "%"); // RFC 6874: a zone in a URL is escaped
}

/** Go's net.SplitHostPort, with its port checked to be a number. */
function splitHostPort(text: string): HostPort {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(text);
  if (match === null) throw new RangeError(whyNotHostPort(text));
  const [, bracketed, plain, portText] = match;
  if (portText === "") throw new RangeError("missing port");
  const port = Number(portText);
  if (!/^\d+$/.test(portText!) || port > 65535)
    throw new RangeError(`port "${portText}" is not a number from 0 to 65535`);
  if (bracketed !== undefined) {
    if (isIP(bracketed) !== 6) throw new RangeError(`"${bracketed}" is not an IPv6 address`);
    return { host: bracketed, port };
  }
  checkHost(plain!);
  return { host: plain!, port };
}

function whyNotHostPort(text: string): string {
  if (isIP(text) === 6) return "an IPv6 address needs brackets and a port";
  if (!text.includes(":") || /^\[[^\]]*\]$/.test(text)) return "missing port";
  if (/[[\]]/.test(text)) return "brackets do not enclose an IPv6 address";
  return "too many colons; an IPv6 address needs brackets";
}

function checkHost(host: string): void {
  if (host === "" || isIP(host) === 4) return;
  // 256.1.1.1 and 1.2.3 are slips of the hand, never names: no top-level
  // domain is all digits (RFC 3696, section 2).
  if (/^[\d.]+$/.test(host)) throw new RangeError(`"${host}" is not an IPv4 address`);
  if (!isDnsName(host)) throw new RangeError(`"${host}" is not a host name`);
}
