// Bun's sockets as this room uses them: one set of handlers for accepted and
// dialled sockets, and the casts where Bun's types lag behind its runtime
// (oven-sh/bun#41899). What a socket's events mean is its owner's business.
import type { HostPort } from "../core/address.ts";

/** Whoever a socket's events go to. It is `socket.data`, and may change in a socket's life. */
export interface SocketOwner {
  /** The socket exists: a client was accepted, or a dial has begun. */
  opened(socket: TcpSocket): void;
  /** Bytes came. The chunk is a private copy of at most 512 KiB and may be kept. */
  received(chunk: Uint8Array): void;
  /** The kernel may take bytes again. Fires without cause after pause and resume (oven-sh/bun#37099). */
  writable(): void;
  /** The peer's FIN. Not called if we shut down before it: then `closed` is all that comes. */
  ended(): void;
  /** The socket is gone; without an error both sides had shut down. */
  closed(error: Error | undefined): void;
}

export type TcpSocket = Bun.Socket<SocketOwner> & { readonly fd: number };

/** A socket option that the kernel refused, and the errno's name. */
export interface OptionFailure {
  readonly option: string;
  readonly code: string;
}

/** The system calls that this room needs beside Bun's sockets. */
export interface TcpSystem {
  /** Begins a connect to an IP literal; the descriptor is the caller's. Throws an error with a `code`. */
  startConnect(address: string, port: number): number;
  /** Whether this kernel has IPv6 sockets. */
  hasIpv6(): boolean;
  /** Whether so many sockets could be opened now. */
  hasDescriptors(count: number): boolean;
  /** Gives the new clients of a shared address to one of those who listen there; 0: the oldest. */
  passOn(fd: number, index: 0 | 1): void;
  /** Where an inherited socket listens. Throws an error with a `code`. */
  listenAddress(fd: number): HostPort;
  /** Another descriptor of the same socket; the caller owns it. */
  duplicate(fd: number): number;
  /** Has a listening socket queue so many clients, as far as the system lets it. */
  setBacklog(fd: number, clients: number): void;
  /** Probes a silent peer after `ms`; 0: never. Accepted sockets inherit it of their listener. */
  setKeepAlive(fd: number, ms: number): OptionFailure | undefined;
  /** Ends a connection whose peer acknowledges or reads nothing for `ms`; 0: the system's default. */
  setUserTimeout(fd: number, ms: number): OptionFailure | undefined;
  /** Whether a peer that is owed bytes has shown no sign of life for `silentMs`. */
  hasVanished(fd: number, silentMs: number): boolean;
  /** Whether the peer has reset the connection and all that it sent before has been read. */
  isReset(fd: number): boolean;
  /** Copies what has arrived and leaves it where it is; 0: nothing, or an end that Bun will meet. */
  peek(fd: number, buffer: Uint8Array): number;
  /** Takes so many of the bytes that have arrived away; the buffer's contents are lost. */
  skip(fd: number, buffer: Uint8Array, bytes: number): void;
  /** Bytes that the kernel took and the peer has not acknowledged. */
  unsentBytes(fd: number): number;
}

const handlers: Bun.SocketHandler<SocketOwner> = {
  open: (socket) => socket.data.opened(socket as TcpSocket),
  data: (socket, chunk) => socket.data.received(chunk),
  drain: (socket) => socket.data.writable(),
  end: (socket) => socket.data.ended(),
  close: (socket, error) => socket.data.closed(error as Error | undefined),
  error: (_, error) => {
    // Only a throwing handler gets here. Such a bug must not pass unseen.
    throw error;
  },
};

// Without allowHalfOpen Bun closes a socket at its peer's FIN and drops what was still owed to it.
const shared = { allowHalfOpen: true, socket: handlers } as const;

export type TcpListener = Bun.TCPSocketListener<SocketOwner> & { readonly fd: number };

/** What is listened on: an IP literal and a port, perhaps shared with others, or what was inherited. */
export type ListenTarget =
  | { readonly hostname: string; readonly port: number; readonly reusePort: boolean }
  | { readonly fd: number };

/**
 * Listens. Each accepted socket is handed to `owner.opened`,
 * which gives it an owner of its own.
 *
 * @throws {Error} with a `code` such as EADDRINUSE.
 */
export function listenTcp(target: ListenTarget, owner: SocketOwner): TcpListener {
  const options = { ...shared, ...target, data: owner };
  return Bun.listen(options as Bun.TCPSocketListenOptions<SocketOwner>) as TcpListener;
}

/**
 * Gives a connecting descriptor to Bun, which closes it from now on. `opened`
 * comes before this returns; the first `writable` means connected, `closed`
 * with an error that it failed.
 */
export function adoptConnecting(fd: number, owner: SocketOwner): void {
  const options = { ...shared, fd, data: owner };
  const socket = Bun.connect(options as unknown as Bun.TCPSocketConnectOptions<SocketOwner>);
  socket.catch((error: Error) => owner.closed(error));
}
