// One dial: a connection to one endpoint, at whichever of its addresses answers
// first. The next address is tried when the last one has failed, or has been
// silent for the connection attempt delay (RFC 8305).
import { formatHostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import { DialError } from "./dial-error.ts";
import { type HedgeBudget, Race } from "./race.ts";
import { adoptConnecting, type SocketOwner, type TcpSocket, type TcpSystem } from "./tcp-socket.ts";

const MAX_ATTEMPTS = 2;

export interface DialOptions {
  /** IP literals in the order of preference; at least one. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** For all addresses together. */
  readonly timeoutMs: number;
  /** How long an address may be silent before the next is tried as well (RFC 8305). 0: for ever. */
  readonly attemptDelayMs: number;
  readonly hedgeBudget: HedgeBudget;
  /** Of the connection, in milliseconds. 0: off. */
  readonly keepAliveMs: number;
  readonly userTimeoutMs: number;
}

/** Exactly one of the two is called, once, unless the dial is aborted; perhaps before `start` returns. */
export interface DialEvents {
  /** Connected. The receiver owns the socket and must give it an owner before it returns. */
  connected(socket: TcpSocket): void;
  /** No address answered; nothing is left open. */
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

  start(): void {
    this.#cancelDeadline = this.#clock.after(this.#options.timeoutMs, () => {
      const last = this.#options.addresses[this.#triedAddresses - 1]!;
      this.#note(last, "ETIMEDOUT");
      this.#fail();
    });
    this.#tryNext();
  }

  /** Gives up; no descriptor stays. May be called at any time, also twice. */
  abort(): void {
    this.#cancelDeadline?.();
    this.#race.abort();
  }

  /** For its attempts only: this one is connected. */
  won(attempt: Attempt, socket: TcpSocket): void {
    this.#race.remove(attempt);
    const { port } = this.#options;
    // A dial of an ephemeral port of this machine may meet itself (RFC 9293,
    // section 3.5, simultaneous open). Nobody is there.
    if (socket.localPort === port && socket.localAddress === socket.remoteAddress) {
      socket.terminate();
      this.lost(attempt, "ECONNREFUSED");
      return;
    }
    this.abort();
    this.#system.setKeepAlive(socket.fd, this.#options.keepAliveMs);
    this.#system.setUserTimeout(socket.fd, this.#options.userTimeoutMs);
    this.#events.connected(socket);
  }

  /** For its attempts only: this one has failed. */
  lost(attempt: Attempt, code: string): void {
    this.#race.remove(attempt);
    this.#note(attempt.address, code);
    this.#race.cancelTimer();
    this.#tryNext();
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
        this.#note(address, (error as { code: string }).code);
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

  /** Keeps the last error, but for a local one: then an address was never tried. */
  #note(address: string, code: string): void {
    if (this.#error?.isLocal) return;
    const target = `dial tcp ${formatHostPort({ host: address, port: this.#options.port })}`;
    // Go leaves out the call where time ran out.
    this.#error = new DialError(code === "ETIMEDOUT" ? target : `${target}: connect`, code);
  }
}

/** One address of a dial: owns its socket until it is connected. */
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
    this.#dial.won(this, this.#socket!);
  }

  // A server that speaks or ends at once may be heard before `writable` says
  // that it is connected: the new owner hears it.
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
    this.#dial.lost(this, error?.code ?? "ECONNRESET");
  }

  #newOwner(): SocketOwner | undefined {
    const owner = this.#socket!.data;
    return owner === this ? undefined : owner;
  }
}
