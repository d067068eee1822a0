// Encodes and decodes struct sockaddr_in and sockaddr_in6 (RFC 3493, section 3.3), and
// encodes struct sockaddr_un.
import { type HostPort, UNIX_ADDRESS } from "../core/address.ts";
import { abi } from "./abi.ts";
import { cString, libc, SystemCallError } from "./libc.ts";

export const AF_UNIX = 1;
export const AF_INET = 2;

// Of sun_path, with the byte that ends it: 108 bytes on Linux, 104 on macOS.
const MAX_PATH_BYTES = 104;

/**
 * Encodes an IP literal and a port, or `unix:` and a path.
 *
 * @throws {SystemCallError} if `address` is not an IP literal, its zone is not an interface, or the path is too long.
 */
export function socketAddress(address: string, port: number): Uint8Array {
  if (address.startsWith(UNIX_ADDRESS)) return unixAddress(address.slice(UNIX_ADDRESS.length));
  const [literal, zone] = address.split("%");
  const isIPv6 = literal!.includes(":");
  const bytes = new Uint8Array(isIPv6 ? 28 : 16);
  const family = isIPv6 ? abi.AF_INET6 : AF_INET;
  if (abi.HAS_ADDRESS_LENGTH) bytes.set([bytes.length, family]);
  else bytes[0] = family;
  bytes[2] = port >> 8;
  bytes[3] = port & 0xff;
  if (libc.inet_pton(family, cString(literal!), addressBytes(bytes)) !== 1)
    throw new SystemCallError("inet_pton", "EINVAL");
  if (zone !== undefined) new DataView(bytes.buffer).setUint32(24, scopeId(zone), true);
  return bytes;
}

// Encoded IP literals, with the port of the last call.
const recent = new Map<string, Uint8Array>();
const MAX_RECENT = 1024;

/**
 * Encodes as `socketAddress` does, for a call that copies the address: the next call may
 * overwrite it. An IP literal is parsed only once.
 *
 * @throws {SystemCallError} as `socketAddress` does.
 */
export function sharedSocketAddress(address: string, port: number): Uint8Array {
  const known = recent.get(address);
  if (known !== undefined) {
    known[2] = port >> 8;
    known[3] = port & 0xff;
    return known;
  }
  const bytes = socketAddress(address, port);
  // The index of a zone's interface may change.
  if (familyOf(bytes) === AF_UNIX || address.includes("%")) return bytes;
  if (recent.size >= MAX_RECENT) recent.clear();
  recent.set(address, bytes);
  return bytes;
}

function unixAddress(path: string): Uint8Array {
  const encoded = new TextEncoder().encode(path);
  if (encoded.length >= MAX_PATH_BYTES) throw new SystemCallError("connect", "ENAMETOOLONG");
  const bytes = new Uint8Array(2 + encoded.length + 1);
  if (abi.HAS_ADDRESS_LENGTH) bytes.set([bytes.length, AF_UNIX]);
  else bytes[0] = AF_UNIX;
  bytes.set(encoded, 2);
  return bytes;
}

/** Returns the address family, such as `AF_INET`. */
export function familyOf(name: Uint8Array): number {
  return name[abi.HAS_ADDRESS_LENGTH ? 1 : 0]!;
}

/** Returns a view of the bytes of the IP address. */
export function addressBytes(name: Uint8Array): Uint8Array {
  return familyOf(name) === AF_INET ? name.subarray(4, 8) : name.subarray(8, 24);
}

/** Decodes the address and port; undefined unless the family is IPv4 or IPv6. */
export function hostPortOf(name: Uint8Array): HostPort | undefined {
  const port = name[2]! * 256 + name[3]!;
  const bytes = addressBytes(name);
  if (familyOf(name) === AF_INET) return { host: bytes.join("."), port };
  if (familyOf(name) !== abi.AF_INET6) return undefined;
  const groups = Array.from({ length: 8 }, (_, i) =>
    (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16),
  );
  return { host: new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1), port };
}

/** Returns the interface index of a zone, which is an interface's name or index (RFC 4007, section 11.2). */
function scopeId(zone: string): number {
  const id = /^\d+$/.test(zone) ? Number(zone) : libc.if_nametoindex(cString(zone));
  if (id === 0) throw new SystemCallError("if_nametoindex", "ENODEV");
  return id;
}
