// One of Bun's sockets as a stream, which node:http reads and writes. Each side is paused
// while the other does not take bytes. It does not know HTTP.
import { Duplex } from "node:stream";
import type { Clock } from "../core/clock.ts";
import type { SocketOwner, TcpSocket } from "../net/tcp-socket.ts";

// How long a peer may go on sending after it was answered and shut down. An immediate close
// would reset the connection, and the peer could lose the answer (RFC 9112, section 9.6).
const LINGER_MS = 1000;

const HIGH_WATER_BYTES = 64 * 1024;

type Callback = (error?: Error | null) => void;

/** Why a stream is not read. */
export const HoldReason = { body: 1, queue: 2 } as const;
export type HoldReason = (typeof HoldReason)[keyof typeof HoldReason];

export interface SocketStreamListener {
  /** Bytes have arrived; they are read after this. */
  received(): void;
  /** The socket has closed. Called once. */
  closed(): void;
}

export class SocketStream extends Duplex {
  readonly #clock: Clock;
  readonly #socket: TcpSocket;
  readonly #listener: SocketStreamListener;
  /** What the kernel has not taken yet, and what to call when it has. */
  #unwritten: Uint8Array | undefined;
  #written: Callback | undefined;
  /** Whether reading stops because the reader takes no more, or for reasons of `hold`, as bits. */
  #isFull = false;
  #holds = 0;
  #isShutDown = false;
  #isClosed = false;
  #cancelLinger = () => {};

  /** Takes over the socket. `listener` may be called from now on. */
  constructor(clock: Clock, socket: TcpSocket, listener: SocketStreamListener) {
    super({ allowHalfOpen: false, highWaterMark: HIGH_WATER_BYTES });
    this.#clock = clock;
    this.#socket = socket;
    this.#listener = listener;
    // node:http notices errors by the end of the stream; without a listener they would be thrown.
    this.on("error", () => {});
    socket.data = this.#owner();
  }

  /** Undefined once the socket has closed. */
  get descriptor(): number | undefined {
    return this.#isClosed ? undefined : this.#socket.fd;
  }

  /** The peer's IP literal; undefined if the connection was lost. node:http reads it too. */
  get remoteAddress(): string | undefined {
    return this.#isClosed ? undefined : this.#socket.remoteAddress;
  }

  /** Bytes held for a side that does not take them. */
  get heldBytes(): number {
    return this.readableLength + this.writableLength;
  }

  /**
   * Stops reading until `release` is called for the same reason. node:http stops only sockets
   * of its own when the reader of a body pauses, and would hold the rest in memory. A FIN of
   * the peer is not seen meanwhile.
   */
  hold(reason: HoldReason): void {
    this.#holds |= reason;
    this.#updateReading();
  }

  release(reason: HoldReason): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    this.#updateReading();
  }

  /** Resets the connection at once. */
  abort(): void {
    if (!this.#isClosed) this.#socket.terminate();
    this.destroy();
  }

  /** Closes once everything written has been sent. node:http calls it, as of a net.Socket. */
  destroySoon(): void {
    if (this.writableFinished) this.destroy();
    else this.end(() => this.destroy());
  }

  // What node:http calls on a net.Socket. The listener and the dialer have set the options.
  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  // The stream's own methods.

  override _read(): void {
    this.#isFull = false;
    this.#updateReading();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: Callback): void {
    this.#unwritten = chunk;
    this.#written = done;
    this.#flush();
  }

  override _final(done: Callback): void {
    this.#isShutDown = true;
    if (!this.#isClosed) this.#socket.shutdown();
    done();
  }

  override _destroy(error: Error | null, done: Callback): void {
    if (!this.#isClosed) {
      if (error === null && this.#isShutDown) this.#linger();
      else this.#socket.terminate();
    }
    done(error);
  }

  /** Waits for the peer's FIN, and drops what comes before it. */
  #linger(): void {
    this.#socket.resume();
    this.#cancelLinger = this.#clock.after(LINGER_MS, () => this.#socket.terminate());
  }

  #updateReading(): void {
    if (this.#isClosed || this.destroyed) return;
    if (this.#isFull || this.#holds !== 0) this.#socket.pause();
    else this.#socket.resume();
  }

  #flush(): void {
    const chunk = this.#unwritten;
    if (chunk === undefined) return;
    const taken = this.#isClosed ? -1 : this.#socket.write(chunk, 0, chunk.length);
    if (taken >= 0 && taken < chunk.length) {
      this.#unwritten = chunk.subarray(taken);
      return;
    }
    this.#settle(taken < 0 ? new Error("connection closed") : null);
  }

  #settle(error: Error | null): void {
    const written = this.#written;
    this.#unwritten = undefined;
    this.#written = undefined;
    written?.(error);
  }

  #received(chunk: Uint8Array): void {
    if (this.destroyed) return;
    this.#listener.received();
    if (this.push(chunk)) return;
    this.#isFull = true;
    this.#updateReading();
  }

  #ended(): void {
    if (!this.destroyed) this.push(null);
    else if (!this.#isClosed) this.#socket.end();
  }

  #closed(error: Error | undefined): void {
    this.#isClosed = true;
    this.#cancelLinger();
    this.#settle(error ?? new Error("connection closed"));
    // An end that was not announced: what was read so far is not all.
    this.destroy(error);
    this.#listener.closed();
  }

  /** A stream has properties of its own with the names of these events. */
  #owner(): SocketOwner {
    return {
      opened: () => {},
      received: (chunk) => this.#received(chunk),
      writable: () => this.#flush(),
      ended: () => this.#ended(),
      closed: (error) => this.#closed(error),
    };
  }
}
