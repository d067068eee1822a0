// The door: accepts clients until it is closed. What becomes of a client is
// its receiver's business.
import type { HostPort } from "../core/address.ts";
import {
  listenTcp,
  type SocketOwner,
  type TcpListener,
  type TcpSocket,
  type TcpSystem,
} from "./tcp-socket.ts";

// As many as can be asked for; the system has a limit of its own.
const BACKLOG = 65_535;

export interface ListenOptions {
  /** In milliseconds, for the clients. 0: off. */
  readonly keepAliveMs: number;
  /** Whether other processes may listen on the same address (SO_REUSEPORT). */
  readonly reusePort: boolean;
  /** A socket that listens already, which stays its owner's; then the address is its own. */
  readonly inherited: number | undefined;
}

export class Listener implements SocketOwner {
  readonly #system: TcpSystem;
  readonly #onClient: (client: TcpSocket) => void;
  #socket: TcpListener | undefined;

  /** `onClient` must terminate each socket that it is handed, or give it an owner, before it returns. */
  constructor(system: TcpSystem, onClient: (client: TcpSocket) => void) {
    this.#system = system;
    this.#onClient = onClient;
  }

  get isOpen(): boolean {
    return this.#socket !== undefined;
  }

  /**
   * Listens on an IP literal and returns where, with the port that the system chose for 0.
   *
   * @throws {Error} with a `code` such as EADDRINUSE.
   */
  start({ host, port }: HostPort, { keepAliveMs, reusePort, inherited }: ListenOptions): HostPort {
    const isOwn = inherited === undefined;
    // A copy, so that it can be closed and opened again.
    const target = isOwn
      ? { hostname: host, port, reusePort }
      : { fd: this.#system.duplicate(inherited) };
    this.#socket = listenTcp(target, this);
    this.#system.setBacklog(this.#socket.fd, BACKLOG);
    this.setKeepAlive(keepAliveMs);
    return { host, port: isOwn ? this.#socket.port : port };
  }

  /** For the clients that come from now on, in milliseconds. 0: off. */
  setKeepAlive(ms: number): void {
    // Accepted sockets inherit the options of the listening one: no calls for each.
    if (this.#socket !== undefined) this.#system.setKeepAlive(this.#socket.fd, ms);
  }

  /** Has new clients go to one of the processes that share the address; 0: the oldest. */
  passOn(index: 0 | 1): void {
    if (this.#socket !== undefined) this.#system.passOn(this.#socket.fd, index);
  }

  /** Accepts no more and frees the port; clients that were accepted stay. May be called twice. */
  close(): void {
    this.#socket?.stop(false);
    this.#socket = undefined;
  }

  opened(client: TcpSocket): void {
    this.#onClient(client);
  }

  // Only a socket that was terminated at once still has this owner.
  received(): void {}
  writable(): void {}
  ended(): void {}
  closed(): void {}
}
