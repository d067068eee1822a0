// A listening TCP socket: accepts clients until it is closed, and passes them on. It
// refuses none; the receiver decides what to do with a client.
import type { HostPort } from "../core/address.ts";
import {
  listenTcp,
  type SocketOwner,
  type TcpListener,
  type TcpSocket,
  type TcpSystem,
} from "./tcp-socket.ts";

// The largest accept queue that can be requested; net.core.somaxconn limits it.
const BACKLOG = 65_535;

export interface ListenOptions {
  /** Milliseconds of silence before the kernel probes a client. 0: off. */
  readonly keepAliveMs: number;
  /** Whether other processes may listen on the same address (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** The descriptor of a socket that listens already, instead of the address. The caller keeps it. */
  readonly inherited: number | undefined;
  /** Whether `onClient` starts a TLS handshake on each socket before it returns. Default: false. */
  readonly isForTls?: boolean;
}

export class Listener implements SocketOwner {
  readonly #system: TcpSystem;
  readonly #onClient: (client: TcpSocket) => void;
  #socket: TcpListener | undefined;

  /** `onClient` must terminate each socket or give it an owner before it returns. */
  constructor(system: TcpSystem, onClient: (client: TcpSocket) => void) {
    this.#system = system;
    this.#onClient = onClient;
  }

  get isOpen(): boolean {
    return this.#socket !== undefined;
  }

  /**
   * Listens on an IP literal. Returns the address, with the real port instead of 0.
   *
   * @throws {Error} with a `code` such as EADDRINUSE.
   */
  start({ host, port }: HostPort, options: ListenOptions): HostPort {
    const { keepAliveMs, reusePort, inherited, isForTls = false } = options;
    const isOwn = inherited === undefined;
    // A duplicate, so that it can be closed and opened again.
    const target = isOwn
      ? { hostname: host, port, reusePort }
      : { fd: this.#system.duplicate(inherited) };

    this.#socket = listenTcp(target, this, isForTls);
    this.#system.setBacklog(this.#socket.fd, BACKLOG);
    this.setKeepAlive(keepAliveMs);
    return { host, port: isOwn ? this.#socket.port : port };
  }

  /** Sets keepalive for clients that are accepted from now on, in milliseconds. 0: off. */
  setKeepAlive(ms: number): void {
    // Accepted sockets inherit the option, so it need not be set on each.
    if (this.#socket !== undefined) this.#system.setKeepAlive(this.#socket.fd, ms);
  }

  /** Directs new clients to one of the processes that share the address; 0: the oldest. */
  directClients(index: 0 | 1): void {
    if (this.#socket !== undefined) this.#system.passOn(this.#socket.fd, index);
  }

  /** Stops accepting and frees the port. Accepted clients stay connected. May be called twice. */
  close(): void {
    this.#socket?.stop(false);
    this.#socket = undefined;
  }

  opened(client: TcpSocket): void {
    this.#onClient(client);
  }

  // Only called for sockets that `onClient` terminated.
  received(): void {}
  writable(): void {}
  ended(): void {}
  closed(): void {}
}
