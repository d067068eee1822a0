// Opens Bun's sockets: one set of handlers for accepted and dialled sockets, and
// the casts that Bun's incomplete types require (oven-sh/bun#41899). It passes
// each event to the socket's owner and gives it no meaning.
import type { HostPort } from "../core/address.ts";

/** Receives a socket's events. It is stored in `socket.data` and may be replaced. */
export interface SocketOwner {
  /** The socket exists: a client was accepted, or a dial has started. */
  opened(socket: TcpSocket): void;
  /** Bytes arrived. The chunk is a private copy of at most 512 KiB; the owner may keep it. */
  received(chunk: Uint8Array): void;
  /** The kernel may take bytes again. Also fires after each pause and resume (oven-sh/bun#37099). */
  writable(): void;
  /** The peer sent its FIN. Not called if we have already shut down: then only `closed` is. */
  ended(): void;
  /** The socket is closed. Without an error both sides had shut down, or we met or sent a reset. */
  closed(error: Error | undefined): void;
}

export type TcpSocket = Bun.Socket<SocketOwner> & { readonly fd: number };

/** A socket option that the kernel refused, and the errno's name. */
export interface OptionFailure {
  readonly option: string;
  readonly code: string;
}

/** The system calls that Bun's sockets do not offer. */
export interface TcpSystem {
  /** Starts a connect to an IP literal. The caller owns the descriptor. Throws an error with a `code`. */
  startConnect(address: string, port: number): number;
  /** Reports whether the kernel may take `port` as the source port of a connection. */
  mayBeSourcePort(port: number): boolean;
  /** Reports whether this kernel has IPv6 sockets. */
  hasIpv6(): boolean;
  /** Reports whether `count` more sockets could be opened now. */
  hasDescriptors(count: number): boolean;
  /** Steers new clients to one of the sockets that share the address of `fd`; 0 is the oldest. */
  passOn(fd: number, index: 0 | 1): void;
  /** Returns the address of an inherited listening socket. Throws an error with a `code`. */
  listenAddress(fd: number): HostPort;
  /** Returns another descriptor of the same socket; the caller owns it. */
  duplicate(fd: number): number;
  /** Sets the listen backlog, which the system may limit (net.core.somaxconn). */
  setBacklog(fd: number, clients: number): void;
  /** Probes a peer that is silent for `ms`; 0: never. Accepted sockets inherit it. */
  setKeepAlive(fd: number, ms: number): OptionFailure | undefined;
  /** Drops a peer that acknowledges or reads nothing for `ms`; 0: the system's default. */
  setUserTimeout(fd: number, ms: number): OptionFailure | undefined;
  /** Reports whether a peer that is owed bytes has shown no sign of life for `silentMs`. */
  hasVanished(fd: number, silentMs: number): boolean;
  /** Reports whether the peer has reset the connection and all bytes that it sent have been read. */
  isReset(fd: number): boolean;
  /** Copies arrived bytes without removing them. 0: nothing, or an end that Bun will read. */
  peek(fd: number, buffer: Uint8Array): number;
  /** Removes `bytes` arrived bytes; may overwrite the buffer. */
  skip(fd: number, buffer: Uint8Array, bytes: number): void;
  /** Returns how many bytes the kernel has taken and the peer has not acknowledged. */
  unsentBytes(fd: number): number;
}

const handlers: Bun.SocketHandler<SocketOwner, "uint8array"> = {
  // A Buffer's slice() makes no copy.
  binaryType: "uint8array",
  open: (socket) => socket.data.opened(socket as TcpSocket),
  data: (socket, chunk) => socket.data.received(chunk),
  drain: (socket) => socket.data.writable(),
  end: (socket) => socket.data.ended(),
  close: (socket, error) => socket.data.closed(error as Error | undefined),
  error: (_, error) => {
    // Only a handler that throws gets here. Rethrow, so that the bug is seen.
    throw error;
  },
};

// Without allowHalfOpen, Bun closes a socket at its peer's FIN and drops the bytes still owed to it.
const shared = { allowHalfOpen: true, socket: handlers } as const;

/**
 * Handlers of sockets that will become TLS connections (net/tls-handshake.ts). They have
 * no `data`: Bun would copy all ciphertext for it, besides the plaintext for the owner.
 */
export const handlersBeforeTls: Bun.SocketHandler<SocketOwner> = {
  open: handlers.open!,
  drain: handlers.drain!,
  end: handlers.end!,
  close: handlers.close!,
  error: handlers.error!,
};

export type TcpListener = Bun.TCPSocketListener<SocketOwner> & { readonly fd: number };

/** Where to listen: an IP literal and a port, or an inherited descriptor. */
export type ListenTarget =
  | { readonly hostname: string; readonly port: number; readonly reusePort: boolean }
  | { readonly fd: number };

/**
 * Listens on `target`. Calls `owner.opened` with each accepted socket; `owner`
 * must give that socket an owner of its own. With `isForTls`, it must start a TLS
 * handshake at once instead; the socket itself receives nothing.
 *
 * @throws {Error} with a `code` such as EADDRINUSE.
 */
export function listenTcp(
  target: ListenTarget,
  owner: SocketOwner,
  isForTls: boolean,
): TcpListener {
  const socket = isForTls ? handlersBeforeTls : handlers;
  const options = { ...shared, ...target, socket, data: owner };
  return Bun.listen(options as Bun.TCPSocketListenOptions<SocketOwner>) as TcpListener;
}

/**
 * Hands a connecting descriptor to Bun, which then owns and closes it. Calls
 * `opened` before it returns. The first `writable` means connected; `closed`
 * with an error means that the connect failed.
 */
export function adoptConnecting(fd: number, owner: SocketOwner): void {
  const options = { ...shared, fd, data: owner };
  const socket = Bun.connect(options as unknown as Bun.TCPSocketConnectOptions<SocketOwner>);
  // Fulfilled by now, unless Bun could not adopt the descriptor.
  if (Bun.peek.status(socket) !== "fulfilled") socket.catch((error: Error) => owner.closed(error));
}
