// The streams of one connection (RFC 9113, section 5): opens and ends them, and sends what
// they send. What arrives for them is checked by stream-receiver.ts.
import type { Clock } from "../core/clock.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { HeaderList } from "./header-list.ts";
import type { HpackEncoder } from "./hpack-encoder.ts";
import { ConnectionError, ErrorCode, errorName, FrameType, MAX_31_BITS } from "./protocol.ts";
import type { ReceiveWindows } from "./receive-windows.ts";
import { SendQueue, type SendQueueListener } from "./send-queue.ts";
import type { PeerSettings } from "./settings.ts";
import { type EndCause, Stream, type StreamConnection, type StreamListener } from "./stream.ts";

/** `client`: we open the streams. `server`: the peer does. */
export type Role = "client" | "server";

/** The parts of its connection that a table uses. */
export interface StreamTableParts {
  readonly role: Role;
  readonly clock: Pick<Clock, "now">;
  readonly writer: FrameWriter;
  readonly encoder: HpackEncoder;
  readonly peer: PeerSettings;
  readonly windows: ReceiveWindows;
  /** Of our own streams. */
  readonly firstStreamId: number;
}

export interface StreamTableListener {
  /** The last stream has ended. */
  emptied(): void;
  /** A stream's listener threw `error`. */
  faulted(error: unknown): void;
}

/** A value of `ErrorCode`, and words for a log. */
interface EndDetails {
  readonly code: number;
  readonly reason: string;
}

const FAULTED: EndDetails = { code: ErrorCode.INTERNAL_ERROR, reason: "internal error" };
const GONE_AWAY: EndDetails = { code: ErrorCode.REFUSED_STREAM, reason: "GOAWAY" };

// A client's streams that we have reset, and whose frames may still arrive. DATA of an older
// one is answered by another RST_STREAM.
const MAX_RESET_IDS = 1000;

export class StreamTable implements StreamConnection, SendQueueListener {
  readonly #parts: StreamTableParts;
  readonly #listener: StreamTableListener;
  readonly queue: SendQueue;
  readonly #streams = new Map<number, Stream>();
  readonly #resetIds = new Set<number>();
  #nextId: number;

  constructor(parts: StreamTableParts, listener: StreamTableListener) {
    this.#parts = parts;
    this.#listener = listener;
    this.#nextId = parts.firstStreamId;
    this.queue = new SendQueue(parts.writer, parts.encoder, this);
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Whether ids for streams of our own are left (RFC 9113, section 5.1.1). */
  get hasIds(): boolean {
    return this.#nextId <= MAX_31_BITS;
  }

  get(id: number): Stream | undefined {
    return this.#streams.get(id);
  }

  /** Whether we opened a stream with this id, and it may have ended since. */
  hasOpened(id: number): boolean {
    return id % 2 === 1 && id < this.#nextId;
  }

  /** Whether we have reset the stream; frames that were on their way are ignored. */
  wasReset(id: number): boolean {
    return this.#resetIds.has(id);
  }

  /** Opens a stream of our own and sends its header list. */
  open(list: HeaderList, isEnd: boolean, listener: StreamListener): Stream {
    const stream = this.add(this.#nextId);
    this.#nextId += 2;
    stream.listener = listener;
    this.sendHeaders(stream, list, isEnd);
    return stream;
  }

  /** Adds a stream. */
  add(id: number): Stream {
    const { role, peer, clock } = this.#parts;
    const openedAt = role === "server" ? clock.now() : 0;
    const stream = new Stream(id, this, peer.initialWindowBytes, openedAt);
    this.#streams.set(id, stream);
    return stream;
  }

  sendHeaders({ id }: Stream, list: HeaderList, isEnd: boolean): void {
    this.queue.headers(id, list, isEnd);
    const stream = isEnd ? this.#streams.get(id) : undefined;
    if (stream !== undefined) this.localEnded(stream);
  }

  sendData(stream: Stream, chunk: Uint8Array, isEnd: boolean): void {
    this.queue.data(stream, chunk, isEnd);
  }

  sendReset(stream: Stream, code: number): void {
    if (stream.state === "closed") return;
    this.writeReset(stream.id, code);
    this.#remove(stream);
  }

  /** Writes RST_STREAM. Frames of the stream that still arrive are ignored. */
  writeReset(id: number, code: number): void {
    this.#parts.writer.uint32Frame(FrameType.RST_STREAM, id, code);
    if (this.#parts.role === "client") return;
    if (this.#resetIds.size >= MAX_RESET_IDS) {
      const [oldest] = this.#resetIds;
      this.#resetIds.delete(oldest!);
    }
    this.#resetIds.add(id);
  }

  returnWindow(stream: Stream, bytes: number): void {
    this.#parts.windows.returnStream(stream, bytes);
  }

  addBuffered(bytes: number, extendedBytes: number): void {
    this.#parts.windows.addBuffered(bytes, extendedBytes);
  }

  bodySent(stream: Stream, bytes: number): void {
    try {
      stream.listener.sent(bytes);
    } catch (error) {
      this.listenerFailed(stream, error);
    }
  }

  localEnded(stream: Stream): void {
    if (stream.state === "half-closed (remote)") this.#remove(stream);
    else if (stream.state === "open" && this.#parts.role === "client")
      stream.state = "half-closed (local)";
    // The response is complete, so the rest of the request is not wanted (RFC 9113, section 8.1).
    else if (stream.state === "open") this.sendReset(stream, ErrorCode.NO_ERROR);
  }

  /** The peer's END_STREAM has arrived. */
  remoteEnded(stream: Stream): void {
    if (stream.state === "half-closed (local)") this.#remove(stream);
    else if (stream.state === "open") stream.state = "half-closed (remote)";
  }

  /** Resets a stream of which the peer broke the protocol (RFC 9113, section 5.4.2). */
  fail(stream: Stream, code: number): void {
    this.writeReset(stream.id, code);
    this.end(stream, "malformed", { code, reason: `${errorName(code)} of the peer` });
  }

  /** Ends a stream early, and reports it to the stream's listener. */
  end(stream: Stream, cause: EndCause, { code, reason }: EndDetails): void {
    if (stream.state === "closed") return;
    // A client that has the whole response does not care what becomes of the rest of its request.
    const isReported = this.#parts.role === "server" || stream.state !== "half-closed (remote)";
    this.#remove(stream);
    if (isReported) this.#report(stream, cause, { code, reason });
  }

  /** A method of the stream's listener threw `error`. The listener gets `closed`, so that it can clean up. */
  listenerFailed(stream: Stream, error: unknown): void {
    this.#listener.faulted(error);
    this.sendReset(stream, ErrorCode.INTERNAL_ERROR);
    this.#report(stream, "faulted", FAULTED);
    stream.release();
  }

  #report({ listener }: Stream, cause: EndCause, { code, reason }: EndDetails): void {
    try {
      listener.closed(cause, code, reason);
    } catch (error) {
      this.#listener.faulted(error);
    }
  }

  /** The peer processes none of our streams above `lastId` (RFC 9113, section 6.8). */
  goneAway(lastId: number): void {
    for (const stream of [...this.#streams.values()])
      if (stream.id > lastId) this.end(stream, "refused", GONE_AWAY);
  }

  /** The connection is over: ends all streams. */
  lose(reason: string): void {
    const details = { code: ErrorCode.CANCEL, reason };
    for (const stream of [...this.#streams.values()]) this.end(stream, "lost", details);
  }

  /** The peer has changed its initial window by `delta` (RFC 9113, section 6.9.2). */
  initialWindowChanged(delta: number): void {
    if (delta === 0) return;
    for (const stream of this.#streams.values()) {
      stream.sendWindow += delta;
      if (stream.sendWindow > MAX_31_BITS)
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "a window is too large");
      this.queue.queue(stream);
    }
    this.queue.pump();
  }

  #remove(stream: Stream): void {
    stream.state = "closed";
    this.queue.remove(stream);
    this.#streams.delete(stream.id);
    if (this.#streams.size === 0) this.#listener.emptied();
  }
}
