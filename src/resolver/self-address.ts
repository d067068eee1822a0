// Detects endpoints that are the gateway itself. To dial one would be a loop that
// uses up all descriptors within a second.
import { type HostPort, isLoopback, UNIX_ADDRESS } from "../core/address.ts";

/** Whether an IP literal belongs to this machine. Called only if the result depends on it. */
export type IsLocalAddress = (address: string) => boolean;

/** Whether a connection to this IP literal and port would reach the gateway itself. */
export type IsSelf = (address: string, port: number) => boolean;

/**
 * Whether a listener on `listen` (an IP literal and its real port) would accept a
 * connection to `address` and `port`.
 */
export function isSelf(
  listen: HostPort,
  address: string,
  port: number,
  isLocal: IsLocalAddress,
): boolean {
  if (port !== listen.port || address.startsWith(UNIX_ADDRESS)) return false;
  const own = plainAddress(listen.host);
  const target = plainAddress(address);

  // Linux connects 0.0.0.0 to 127.0.0.1, and :: to ::1.
  if (target === "0.0.0.0") return own === "127.0.0.1" || isWildcard(own);
  if (target === "::") return own === "::1" || own === "::";
  if (own === target) return true;

  // A listener on :: accepts IPv6 and IPv4, one on 0.0.0.0 only IPv4.
  if (!isWildcard(own) || (own === "0.0.0.0" && target.includes(":"))) return false;
  return isLoopback(target) || isLocal(address.includes("%") ? address : target);
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

/** Normalizes an IP literal: drops the zone, compresses IPv6 and unmaps IPv4-mapped IPv6. */
function plainAddress(address: string): string {
  const bare = address.split("%")[0]!;
  if (!bare.includes(":")) return bare;

  const compressed = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(compressed);
  if (mapped === null) return compressed;
  const bits = Number.parseInt(mapped[1]!, 16) * 65536 + Number.parseInt(mapped[2]!, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join(".");
}
