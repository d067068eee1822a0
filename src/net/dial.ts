// Dials one endpoint: connects to the first of its addresses that answers. The next
// address is tried when the last one has failed, or has been silent for the
// connection attempt delay (RFC 8305). It does not resolve names.
import { formatHostPort, UNIX_ADDRESS } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import { DialError } from "./dial-error.ts";
import { type HedgeBudget, Race } from "./race.ts";
import { adoptConnecting, type SocketOwner, type TcpSocket, type TcpSystem } from "./tcp-socket.ts";

// Concurrent attempts of one dial.
const MAX_ATTEMPTS = 2;

export interface DialOptions {
  /** IP literals in order of preference; at least one. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** Timeout for all addresses together. */
  readonly timeoutMs: number;
  /** Silence of an address after which the next is tried as well (RFC 8305). 0: never. */
  readonly attemptDelayMs: number;
  readonly hedgeBudget: HedgeBudget;
  /** Milliseconds of silence before the kernel probes the peer of the connection. 0: off. */
  readonly keepAliveMs: number;
  /** TCP_USER_TIMEOUT of the connection, in milliseconds. 0: the system's default. */
  readonly userTimeoutMs: number;
}

/** Exactly one method is called, once, unless the dial is aborted. It may be called before `start` returns. */
export interface DialEvents {
  /** The dial connected. The receiver must give the socket an owner before it returns. */
  connected(socket: TcpSocket): void;
  /** No address connected; no socket is left open. */
  failed(error: DialError): void;
}

export class Dial {
  readonly #system: TcpSystem;
  readonly #clock: Clock;
  readonly #options: DialOptions;
  readonly #events: DialEvents;
  readonly #race: Race<Attempt>;
  #triedAddresses = 0;
  #error: DialError | undefined;
  #cancelDeadline: (() => void) | undefined;

  constructor(system: TcpSystem, clock: Clock, options: DialOptions, events: DialEvents) {
    this.#system = system;
    this.#clock = clock;
    this.#options = options;
    this.#events = events;
    this.#race = new Race({ clock, budget: options.hedgeBudget, maxAttempts: MAX_ATTEMPTS });
  }

  /** Starts the first attempt and the timeout. */
  start(): void {
    this.#cancelDeadline = this.#clock.after(this.#options.timeoutMs, () => {
      const lastTried = this.#options.addresses[this.#triedAddresses - 1]!;
      this.#recordError(lastTried, "ETIMEDOUT");
      this.#fail();
    });
    this.#tryNext();
  }

  /** Aborts the dial and closes its sockets. May be called at any time, also twice. */
  abort(): void {
    this.#cancelDeadline?.();
    this.#race.abort();
  }

  /** For its attempts only: ends the dial with the socket of `attempt`, which connected. */
  attemptConnected(attempt: Attempt, socket: TcpSocket): void {
    this.#race.remove(attempt);
    if (this.#isConnectedToItself(socket)) {
      socket.terminate();
      this.attemptFailed(attempt, "ECONNREFUSED");
      return;
    }

    this.abort();
    if (!attempt.address.startsWith(UNIX_ADDRESS)) {
      this.#system.setKeepAlive(socket.fd, this.#options.keepAliveMs);
      this.#system.setUserTimeout(socket.fd, this.#options.userTimeoutMs);
    }
    this.#events.connected(socket);
  }

  /** For its attempts only: tries the next address after `attempt` failed. */
  attemptFailed(attempt: Attempt, code: string): void {
    this.#race.remove(attempt);
    this.#recordError(attempt.address, code);
    this.#race.cancelTimer();
    this.#tryNext();
  }

  /**
   * A dial to an unused ephemeral port of this machine may connect to itself (RFC 9293,
   * section 3.5, simultaneous open). No server listens there. The socket's own port costs
   * a system call, so it is read only if it can be the endpoint's.
   */
  #isConnectedToItself(socket: TcpSocket): boolean {
    const { port } = this.#options;
    if (!this.#system.mayBeSourcePort(port)) return false;
    return socket.localPort === port && socket.localAddress === socket.remoteAddress;
  }

  #tryNext(): void {
    const { addresses, port, attemptDelayMs } = this.#options;

    if (this.#triedAddresses < addresses.length) this.#race.makeRoom();
    while (this.#triedAddresses < addresses.length) {
      const address = addresses[this.#triedAddresses++]!;
      try {
        const fd = this.#system.startConnect(address, port);
        const attempt = new Attempt(this, address);
        this.#race.add(attempt);
        adoptConnecting(fd, attempt);
      } catch (error) {
        this.#recordError(address, (error as { code: string }).code);
        continue;
      }

      if (this.#triedAddresses < addresses.length && attemptDelayMs > 0)
        this.#race.after(attemptDelayMs, () => this.#tryNext());
      return;
    }

    if (this.#race.size === 0) this.#fail();
  }

  #fail(): void {
    this.abort();
    this.#events.failed(this.#error!);
  }

  /** Records the last error of the dial. A local error stays: it means that an address was not tried. */
  #recordError(address: string, code: string): void {
    if (this.#error?.isLocal) return;

    const isUnix = address.startsWith(UNIX_ADDRESS);
    const target = isUnix
      ? `dial unix ${address.slice(UNIX_ADDRESS.length)}`
      : `dial tcp ${formatHostPort({ host: address, port: this.#options.port })}`;
    // Go's message for a timeout does not name the system call.
    this.#error = new DialError(code === "ETIMEDOUT" ? target : `${target}: connect`, code);
  }
}

/** An attempt to connect to one address. It owns the socket until that is connected. */
class Attempt implements SocketOwner {
  readonly #dial: Dial;
  readonly address: string;
  #socket: TcpSocket | undefined;
  #isSettled = false;

  constructor(dial: Dial, address: string) {
    this.#dial = dial;
    this.address = address;
  }

  abort(): void {
    this.#isSettled = true;
    this.#socket?.terminate();
  }

  opened(socket: TcpSocket): void {
    this.#socket = socket;
  }

  writable(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#dial.attemptConnected(this, this.#socket!);
  }

  // Bun may report data or a FIN of the server before `writable`. Both mean that the
  // socket is connected, and are passed on to its new owner.
  received(chunk: Uint8Array): void {
    this.writable();
    this.#newOwner()?.received(chunk);
  }

  ended(): void {
    this.writable();
    this.#newOwner()?.ended();
  }

  closed(error: (Error & { code?: string }) | undefined): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#dial.attemptFailed(this, error?.code ?? "ECONNRESET");
  }

  #newOwner(): SocketOwner | undefined {
    const owner = this.#socket!.data;
    return owner === this ? undefined : owner;
  }
}
