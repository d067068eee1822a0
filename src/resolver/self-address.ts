// Whether a dial would end at the gateway's own door: a loop that eats every
// descriptor within a second.
import { type HostPort, isLoopback } from "../core/address.ts";

/** Whether an IP literal is this machine's own; asked only when it matters. */
export type IsLocalAddress = (address: string) => boolean;

/**
 * True if a connection to `address`:`port` would be accepted by a listener on
 * `listen` (an IP literal and its real port).
 */
export function isSelf(
  listen: HostPort,
  address: string,
  port: number,
  isLocal: IsLocalAddress,
): boolean {
  if (port !== listen.port) return false;
  const own = plainAddress(listen.host);
  const target = plainAddress(address);
  // Linux connects 0.0.0.0 to 127.0.0.1, and :: to ::1.
  if (target === "0.0.0.0") return own === "127.0.0.1" || isWildcard(own);
  if (target === "::") return own === "::1" || own === "::";
  if (own === target) return true;
  // Of the two wildcards only :: takes IPv6, and it takes IPv4 as well.
  if (!isWildcard(own) || (own === "0.0.0.0" && target.includes(":"))) return false;
  return isLoopback(target) || isLocal(address.includes("%") ? address : target);
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

/** One spelling an address: no zone, IPv6 compressed, IPv4 out of its IPv6 mapping. */
function plainAddress(address: string): string {
  const bare = address.split("%")[0]!;
  if (!bare.includes(":")) return bare;
  const compressed = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(compressed);
  if (mapped === null) return compressed;
  const bits = Number.parseInt(mapped[1]!, 16) * 65536 + Number.parseInt(mapped[2]!, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join(".");
}
