// The flags of etcd's proxy whose values have a form of their own: --initial-cluster,
// --listen-client-urls, --host-whitelist, and milliseconds without a unit.
import { isIP } from "node:net";
import { type HostPort, isDnsName, parseListenAddress } from "./address.ts";
import { type EndpointSpec, parseStaticEndpoint } from "./endpoint-spec.ts";

/**
 * Parses `NAME=URL,...`, in which the names do not matter. Returns the peer URLs.
 *
 * @throws {RangeError} whose message is the fact alone.
 */
export function parseInitialCluster(text: string): EndpointSpec[] {
  const parts = text.split(",").filter((part) => part.trim() !== "");
  if (parts.length === 0) throw new RangeError("no peer URL in it");
  return parts.map((part) => {
    const equals = part.indexOf("=");
    const [name, url] = [part.slice(0, Math.max(equals, 0)).trim(), part.slice(equals + 1).trim()];
    if (name === "") throw new RangeError(`"${part.trim()}": not NAME=URL`);
    if (/^https:\/\//i.test(url)) throw new RangeError(`"${url}": ${NO_TLS}`);
    if (!/^http:\/\/[^/?#]+\/?$/i.test(url))
      throw new RangeError(`"${url}": not a URL such as http://10.0.1.10:2380`);
    return parseStaticEndpoint(url);
  });
}

/**
 * Parses `--listen-client-urls`: one URL, where etcd takes several.
 *
 * @throws {RangeError} whose message is the fact alone.
 */
export function parseListenClientUrl(text: string): HostPort {
  if (text.includes(",")) throw new RangeError("more than one URL");
  const [, scheme, address] = /^\s*([a-z]+):\/\/([^/?#]*)\/?\s*$/i.exec(text) ?? [];
  if (scheme?.toLowerCase() === "https") throw new RangeError(NO_TLS);
  if (scheme?.toLowerCase() !== "http" || !address)
    throw new RangeError("not a URL such as http://127.0.0.1:2379");
  return parseListenAddress(address);
}

/**
 * Parses `--host-whitelist`: names or IP literals without ports. Returns none for `*`.
 *
 * @throws {RangeError} whose message is the fact alone.
 */
export function parseHostWhitelist(text: string): string[] {
  const hosts = text.split(",").map((part) => part.trim().toLowerCase());
  if (hosts.includes("*")) return [];
  const isHost = (host: string) => isIP(host) !== 0 || isDnsName(host);
  const bad = hosts.find((host) => !isHost(host));
  if (bad !== undefined) throw new RangeError(`"${bad}" is not a host name without a port`);
  return hosts;
}

const NO_TLS = "TLS is not supported by the HTTP proxy";

// Timers hold a signed 32-bit count of milliseconds.
const MAX_MS = 2 ** 31 - 1;

/** Parses milliseconds, as etcd's proxy takes them: a number without a unit. */
export function parseMilliseconds(text: string): number {
  if (!/^\d+$/.test(text) || Number(text) > MAX_MS)
    throw new RangeError(`not a number of milliseconds from 0 to ${MAX_MS}, without a unit`);
  return Number(text);
}
