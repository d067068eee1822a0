// One stream of a connection (RFC 9113, section 5): its state, its two windows, and the
// bytes that wait to be sent. Its connection drives it; its owner uses the public methods.
import type { ByteQueue } from "../core/byte-queue.ts";
import type { HeaderList } from "./header-list.ts";
import { ErrorCode, INITIAL_WINDOW_BYTES } from "./protocol.ts";

/** RFC 9113, section 5.1. A stream object exists from its HEADERS frame on. */
export type StreamState = "open" | "half-closed (local)" | "half-closed (remote)" | "closed";

/**
 * Why a stream ended early. `reset`: the peer sent RST_STREAM. `refused`: the peer did not
 * process it (REFUSED_STREAM, or above the last stream of a GOAWAY). `lost`: the connection
 * ended. `malformed`: the peer broke the protocol on this stream, and we reset it. `faulted`:
 * a method of the listener threw, and we reset it.
 */
export type EndCause = "reset" | "refused" | "lost" | "malformed" | "faulted";

/** Receives the events of one stream. An exception resets the stream, and `closed` is called. */
export interface StreamListener {
  /** A header list: the response's, or trailers if a list came before. */
  headers(list: HeaderList, isEnd: boolean): void;
  /**
   * Bytes of the body. `isEnd`: the last ones; they may be empty. The receiver owns the
   * chunk, and calls `stream.consumed` when it no longer holds the bytes.
   */
  data(chunk: Uint8Array, isEnd: boolean): void;
  /** `bytes` more of the written bytes were handed to the connection. */
  sent(bytes: number): void;
  /**
   * The stream ended early; nothing follows. Not called after the end of a response. Bytes that were received and not consumed stay
   * counted until `stream.release`. `code` is a value of `ErrorCode`; `reason` is for a log.
   */
  closed(cause: EndCause, code: number, reason: string): void;
}

/** What a stream asks of its connection. */
export interface StreamConnection {
  sendHeaders(stream: Stream, list: HeaderList, isEnd: boolean): void;
  sendData(stream: Stream, chunk: Uint8Array, isEnd: boolean): void;
  sendReset(stream: Stream, code: number): void;
  returnWindow(stream: Stream, bytes: number): void;
  addBuffered(bytes: number, extendedBytes: number): void;
}

/** What ends the sending side: an empty DATA frame, or trailers. */
type Finish = "end" | HeaderList;

export class Stream {
  readonly id: number;
  /** Must be set before the connection's next event. */
  listener!: StreamListener;
  readonly #connection: StreamConnection;

  // The fields below are the connection's.
  state: StreamState = "open";
  /** Bytes that the peer may still send. */
  receiveWindow = INITIAL_WINDOW_BYTES;
  /** The size of the whole receive window. */
  windowBytes = INITIAL_WINDOW_BYTES;
  /** Bytes consumed and not yet returned to the peer by WINDOW_UPDATE. */
  unreturnedBytes = 0;
  /** Bytes received and not consumed. */
  bufferedBytes = 0;
  /** Those of them for which the window was returned, although they are held. */
  extendedBytes = 0;
  /** Bytes that we may still send; negative after the peer has shrunk its initial window. */
  sendWindow: number;
  /** Whether a header list was received. */
  hasHeaders = false;
  /** Bytes of the body that content-length still promises; undefined: not given. */
  promisedBytes: number | undefined;
  /** What waits for a window or for the socket; undefined: nothing did so far. */
  pending: ByteQueue | undefined;
  finish: Finish | undefined;
  /** On the connection's clock, if the peer opened it; otherwise 0. */
  readonly openedAt: number;

  constructor(id: number, connection: StreamConnection, sendWindow: number, openedAt: number) {
    this.id = id;
    this.#connection = connection;
    this.sendWindow = sendWindow;
    this.openedAt = openedAt;
  }

  /** Bytes that wait for a window or for the socket. */
  get pendingBytes(): number {
    return this.pending?.bytes ?? 0;
  }

  /** Whether we may still send. */
  get isWritable(): boolean {
    return (
      this.finish === undefined && (this.state === "open" || this.state === "half-closed (remote)")
    );
  }

  /** Whether the peer may still send. */
  get isReadable(): boolean {
    return this.state === "open" || this.state === "half-closed (local)";
  }

  /** Sends a header list: a response's. Does nothing if the stream is not writable. */
  headers(list: HeaderList): void {
    if (this.isWritable) this.#connection.sendHeaders(this, list, false);
  }

  /**
   * Sends bytes of the body, or keeps them until the windows and the socket have room;
   * `listener.sent` follows. The chunk must not change afterwards.
   */
  write(chunk: Uint8Array, isEnd = false): void {
    if (!this.isWritable) return;
    if (isEnd) this.finish = "end";
    this.#connection.sendData(this, chunk, isEnd);
  }

  /** Ends the sending side after the bytes that wait, with trailers if there are any. */
  end(trailers?: HeaderList): void {
    if (!this.isWritable) return;
    this.finish = trailers ?? "end";
    if (this.pendingBytes > 0) return; // the queue does it
    if (trailers === undefined) this.#connection.sendData(this, EMPTY, true);
    else this.#connection.sendHeaders(this, trailers, true);
  }

  /**
   * Ends both sides at once. The listener is not called any more. Received bytes stay counted
   * until they are consumed or released. May be called twice.
   */
  reset(code: number = ErrorCode.CANCEL): void {
    this.#connection.sendReset(this, code);
  }

  /** Reports that `bytes` received bytes are no longer held, so that the peer may send more. */
  consumed(bytes: number): void {
    const held = Math.min(bytes, this.bufferedBytes);
    if (held === 0) return;
    this.bufferedBytes -= held;
    const returned = Math.max(0, this.extendedBytes - this.bufferedBytes);
    this.extendedBytes -= returned;
    this.#connection.addBuffered(-held, -returned);
    if (this.isReadable && held > returned) this.#connection.returnWindow(this, held - returned);
  }

  /** Lets the peer send as much as if nothing were held: a message that is larger than the window. */
  extendWindow(): void {
    const bytes = this.bufferedBytes - this.extendedBytes;
    if (bytes === 0 || !this.isReadable) return;
    this.extendedBytes += bytes;
    this.#connection.addBuffered(0, bytes);
    this.#connection.returnWindow(this, bytes);
  }

  /** Reports that no received bytes are held. May be called twice. */
  release(): void {
    this.consumed(this.bufferedBytes);
  }
}

const EMPTY = new Uint8Array(0);
