// System calls on TCP sockets that Bun lacks, by FFI. Among them is a non-blocking connect
// whose descriptor Bun adopts: Bun's own connect cannot be aborted and reports every
// failure as refused.
import type { HostPort } from "../core/address.ts";
import { abi, isDarwin } from "./abi.ts";
import { lastError, libc, ptr, SystemCallError } from "./libc.ts";
import {
  addressBytes,
  AF_INET,
  AF_UNIX,
  familyOf,
  hostPortOf,
  sharedSocketAddress,
  socketAddress,
} from "./socket-address.ts";

export { setKeepAlive, setUserTimeout } from "./socket-options.ts";
export { mayBeSourcePort } from "./source-ports.ts";

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const IPPROTO_TCP = 6;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const BPF_RET_K = 0x06;
const MSG_PEEK = 2;
const ANY_PORT = 9;

// Byte counters of a socket: an ioctl on Linux, a socket option on macOS.
const ARRIVED = { ioctl: 0x541b, option: 0x1020 }; // SIOCINQ, SO_NREAD
const UNSENT = { ioctl: 0x5411, option: 0x1024 }; // SIOCOUTQ, SO_NWRITE

// The calls are synchronous and copy their arguments, so all share one buffer.
const int = new Int32Array(1);
const length = new Uint32Array(1);

/**
 * Starts to connect to an IP literal and returns the descriptor at once. The caller owns
 * the descriptor, which becomes writable when connected and reports an error otherwise.
 *
 * @throws {SystemCallError} if the connect fails at once; no descriptor is left open.
 */
export function startConnect(address: string, port: number): number {
  const name = sharedSocketAddress(address, port);
  const flags = abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC;
  const family = familyOf(name);
  const protocol = family === AF_UNIX ? 0 : IPPROTO_TCP;
  const fd = libc.socket(family, SOCK_STREAM | flags, protocol);
  if (fd < 0) throw new SystemCallError("socket", lastError());
  if (isDarwin) setNonBlocking(fd);
  if (libc.connect(fd, name, name.length) < 0) {
    const code = lastError();
    if (code !== "EINPROGRESS") {
      libc.close(fd);
      throw new SystemCallError("connect", code);
    }
  }
  return fd;
}

/**
 * Sets the listen backlog to `clients`, which the system may limit (net.core.somaxconn).
 * Bun's backlog of 512 would overflow in a burst, and the clients would retry only after
 * a second.
 */
export function setBacklog(fd: number, clients: number): void {
  libc.listen(fd, clients);
}

// Offsets in struct tcp_info: retransmissions and probes since the last acknowledgement,
// and the milliseconds since it arrived.
const INFO_BYTES = 64;
const RETRANSMITS = 2;
const PROBES = 3;
const LAST_ACK_RECEIVED = 56;
const info = new Uint8Array(INFO_BYTES);
const infoView = new DataView(info.buffer);

/**
 * Reports whether a peer that is owed bytes has shown no sign of life for `silentMs`.
 * Unlike TCP_USER_TIMEOUT, it does not count a live peer that does not read, since such a
 * peer answers the probes of its closed window. Always false on macOS, whose kernel does
 * not expose these counters.
 */
export function hasVanished(fd: number, silentMs: number): boolean {
  if (isDarwin || !readInfo(fd)) return false;
  const isUnanswered = info[RETRANSMITS]! > 0 || info[PROBES]! > 1;
  return isUnanswered && infoView.getUint32(LAST_ACK_RECEIVED, true) >= silentMs;
}

/**
 * Copies up to `buffer.length` arrived bytes without removing them, and returns their
 * number. Also returns 0 at an end or an error, which stays for the next reader.
 */
export function peek(fd: number, buffer: Uint8Array): number {
  if (count(fd, ARRIVED) <= 0) return 0;
  return Math.max(0, libc.recv(fd, buffer, buffer.length, MSG_PEEK));
}

/**
 * Removes `bytes` arrived bytes. Linux does not copy them; other kernels overwrite
 * `buffer`, which must have room for them.
 *
 * @see tcp(7) on MSG_TRUNC
 */
export function skip(fd: number, buffer: Uint8Array, bytes: number): void {
  if (bytes > 0) libc.recv(fd, buffer, bytes, abi.MSG_TRUNC);
}

/** Reports whether the peer has reset the connection and all bytes that it sent have been read. */
export function isReset(fd: number): boolean {
  return readInfo(fd) && info[0] === abi.TCP_CLOSE && count(fd, ARRIVED) === 0;
}

function readInfo(fd: number): boolean {
  length[0] = INFO_BYTES;
  return libc.getsockopt(fd, IPPROTO_TCP, abi.TCP_INFO, info, length) === 0;
}

/** Returns how many bytes the kernel has taken and the peer has not acknowledged; 0 for a closed descriptor. */
export function unsentBytes(fd: number): number {
  return Math.max(0, count(fd, UNSENT));
}

/** Reads a byte counter; -1 for a closed descriptor. */
function count(fd: number, { ioctl, option }: typeof ARRIVED): number {
  length[0] = 4;
  const status = isDarwin
    ? libc.getsockopt(fd, abi.SOL_SOCKET, option, int, length)
    : libc.ioctl(fd, ioctl, int);
  return status < 0 ? -1 : int[0]!;
}

/**
 * Steers new clients to one of the sockets that share an address (SO_REUSEPORT). Index 0
 * is the socket that has listened longest. If no socket has this index, the kernel
 * distributes the clients. Closing a listener resets the clients in its queue. Does
 * nothing on macOS, which has no such option.
 *
 * @see socket(7) on SO_ATTACH_REUSEPORT_CBPF
 */
export function passOn(fd: number, index: 0 | 1): void {
  if (isDarwin) return;
  const filter = Uint8Array.of(BPF_RET_K, 0, 0, 0, index, 0, 0, 0); // struct sock_filter
  const program = new DataView(new ArrayBuffer(16)); // struct sock_fprog
  program.setUint16(0, 1, true);
  program.setBigUint64(8, BigInt(ptr(filter)), true);
  libc.setsockopt(fd, abi.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, new Uint8Array(program.buffer), 16);
}

/**
 * Returns the address of an inherited listening socket.
 *
 * @throws {SystemCallError} if it is not a listening TCP socket.
 */
export function listenAddress(fd: number): HostPort {
  const name = new Uint8Array(28);
  if (libc.getsockname(fd, name, Uint32Array.of(name.length)) < 0)
    throw new SystemCallError("getsockname", lastError());
  const address = hostPortOf(name);
  if (address === undefined) throw new SystemCallError("getsockname", "EAFNOSUPPORT");
  length[0] = 4;
  libc.getsockopt(fd, abi.SOL_SOCKET, abi.SO_ACCEPTCONN, int, length);
  if (int[0] === 0) throw new SystemCallError("accept", "EINVAL");
  return address;
}

/** Returns another descriptor of the same socket; the caller owns it. */
export function duplicate(fd: number): number {
  const copy = libc.dup(fd);
  if (copy < 0) throw new SystemCallError("dup", lastError());
  return copy;
}

/**
 * Reports whether this kernel has IPv6 sockets. False with `ipv6.disable=1`, or if a
 * sandbox forbids the family. True with net.ipv6.conf.all.disable_ipv6=1, because a
 * socket can still be bound to `::`.
 */
export function hasIpv6(): boolean {
  const fd = libc.socket(abi.AF_INET6, SOCK_STREAM | abi.SOCK_CLOEXEC, IPPROTO_TCP);
  // Other errors, such as EMFILE, are not about IPv6.
  if (fd < 0) return lastError() !== "EAFNOSUPPORT";
  libc.close(fd);
  return true;
}

/** Reports whether `count` more sockets could be opened now. Leaves none open. */
export function hasDescriptors(count: number): boolean {
  const fds: number[] = [];
  while (fds.length < count) {
    const fd = libc.socket(AF_INET, SOCK_DGRAM | abi.SOCK_CLOEXEC, 0);
    if (fd < 0) break;
    fds.push(fd);
  }
  for (const fd of fds) libc.close(fd);
  return fds.length === count;
}

/**
 * Reports whether an IP literal belongs to this machine. The kernel uses a local address
 * as its own source address, so the route reveals it; nothing is sent. False if there is
 * no route or no free descriptor; the address cannot be dialled then either.
 */
export function isLocalAddress(address: string): boolean {
  const target = socketAddress(address, ANY_PORT);
  const source = sourceName(target);
  return source !== undefined && Buffer.compare(addressBytes(source), addressBytes(target)) === 0;
}

/**
 * Returns the source address with which the machine would reach an IP literal; undefined
 * if there is no route or no free descriptor. Sends nothing.
 */
export function sourceAddress(address: string): string | undefined {
  try {
    const source = sourceName(socketAddress(address, ANY_PORT));
    return source && hostPortOf(source)?.host;
  } catch {
    return undefined; // its zone is not an interface
  }
}

/** Connects a UDP socket, which selects a route without sending; the port does not matter. */
function sourceName(target: Uint8Array): Uint8Array | undefined {
  const fd = libc.socket(familyOf(target), SOCK_DGRAM | abi.SOCK_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const source = new Uint8Array(target.length);
  const isRouted =
    libc.connect(fd, target, target.length) === 0 &&
    libc.getsockname(fd, source, Uint32Array.of(source.length)) === 0;
  libc.close(fd);
  return isRouted ? source : undefined;
}

/** Sets O_NONBLOCK, for which socket(2) has no flag on macOS. */
function setNonBlocking(fd: number): void {
  const [F_SETFL, O_NONBLOCK] = [4, 0x4];
  libc.fcntl(fd, F_SETFL, 0, 0, 0, 0, 0, 0, O_NONBLOCK);
}
