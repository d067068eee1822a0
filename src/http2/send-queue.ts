// Sends the frames of streams: encodes header lists, and sends DATA as far as the windows
// and the socket have room. Streams that must wait take turns, one frame each.
import { detach } from "../core/detach.ts";
import type { HeaderList } from "./header-list.ts";
import { type HpackEncoder, maxEncodedBytes } from "./hpack-encoder.ts";
import type { FrameWriter } from "./frame-writer.ts";
import {
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  INITIAL_WINDOW_BYTES,
  MAX_FRAME_BYTES,
} from "./protocol.ts";
import type { Stream } from "./stream.ts";

/** What the queue reports to its connection. */
export interface SendQueueListener {
  /** The stream's END_STREAM was handed to the writer. */
  localEnded(stream: Stream): void;
  /** `bytes` more of the stream's body were handed to the writer. */
  bodySent(stream: Stream, bytes: number): void;
}

export class SendQueue {
  readonly #writer: FrameWriter;
  readonly #encoder: HpackEncoder;
  readonly #listener: SendQueueListener;
  /** Bytes that we may still send on all streams together. */
  window = INITIAL_WINDOW_BYTES;
  /** HEADERS and DATA frames sent so far. */
  sentFrames = 0;
  /** Streams that wait for the connection's window or for the socket. */
  #ready: Stream[] = [];
  #isPumping = false;

  constructor(writer: FrameWriter, encoder: HpackEncoder, listener: SendQueueListener) {
    this.#writer = writer;
    this.#encoder = encoder;
    this.#listener = listener;
  }

  /** Sends a header list at once; header lists know no flow control. */
  headers(streamId: number, list: HeaderList, isEnd: boolean): void {
    const flags = (isEnd ? Flag.END_STREAM : 0) | Flag.END_HEADERS;
    const writer = this.#writer;
    const bound = maxEncodedBytes(list);
    this.sentFrames++;
    if (bound > MAX_FRAME_BYTES) {
      this.#longHeaders(streamId, list, isEnd, bound);
      return;
    }

    writer.reserve(FRAME_HEADER_BYTES + bound);
    const start = writer.end;
    const end = this.#encoder.encode(list, writer.buffer, start + FRAME_HEADER_BYTES);
    writer.header(end - start - FRAME_HEADER_BYTES, FrameType.HEADERS, flags, streamId);
    writer.end = end;
  }

  /** Splits a block into HEADERS and CONTINUATION (RFC 9113, section 6.10): a larger frame ends the connection. */
  #longHeaders(streamId: number, list: HeaderList, isEnd: boolean, bound: number): void {
    const block = new Uint8Array(bound);
    const length = this.#encoder.encode(list, block, 0);
    let type: number = FrameType.HEADERS;
    let at = 0;
    do {
      const end = Math.min(at + MAX_FRAME_BYTES, length);
      const isFirst = type === FrameType.HEADERS;
      const flags =
        (isEnd && isFirst ? Flag.END_STREAM : 0) | (end === length ? Flag.END_HEADERS : 0);
      this.#writer.frame(type, flags, streamId, block.subarray(at, end));
      type = FrameType.CONTINUATION;
      at = end;
    } while (at < length);
  }

  /** Sends a chunk, or appends it to what the stream has pending. `isEnd`: the last chunk. */
  data(stream: Stream, chunk: Uint8Array, isEnd: boolean): void {
    const isFirst = stream.pendingBytes === 0 && this.#ready.length === 0;
    if (isFirst && this.#hasRoom(stream, chunk.length)) {
      this.#write(stream, chunk, isEnd);
      if (chunk.length > 0) this.#listener.bodySent(stream, chunk.length);
      if (isEnd) this.#listener.localEnded(stream);
      return;
    }

    if (chunk.length > 0) stream.pending.push(detach(chunk));
    stream.pendingBytes += chunk.length;
    this.queue(stream);
    this.pump();
  }

  /** Whether `bytes` can be sent now without being split. */
  #hasRoom(stream: Stream, bytes: number): boolean {
    if (bytes === 0) return true;
    return (
      bytes <= MAX_FRAME_BYTES &&
      bytes <= stream.sendWindow &&
      bytes <= this.window &&
      !this.#writer.isBlocked
    );
  }

  /** Adds a stream that has bytes or an end to send, and whose window is open. */
  queue(stream: Stream): void {
    if (stream.isQueued || !isLocalOpen(stream)) return;
    if (stream.pendingBytes > 0 ? stream.sendWindow <= 0 : stream.finish === undefined) return;
    stream.isQueued = true;
    this.#ready.push(stream);
  }

  /** Sends what the windows and the socket have room for. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    // The streams of one turn; those with more to send join the next turn.
    while (this.#ready.length > 0 && !this.#writer.isBlocked && this.window > 0) {
      const turn = this.#ready;
      this.#ready = [];
      for (const [i, stream] of turn.entries()) {
        if (this.#writer.isBlocked || this.window <= 0) {
          this.#ready.unshift(...turn.slice(i));
          break;
        }
        stream.isQueued = false;
        if (isLocalOpen(stream)) this.#sendFrame(stream);
        this.queue(stream);
      }
    }
    this.#isPumping = false;
  }

  /** Sends one frame of what the stream has pending. */
  #sendFrame(stream: Stream): void {
    const chunk = stream.pending[0];
    if (chunk === undefined) {
      this.#sendEnd(stream);
      return;
    }

    const bytes = Math.min(chunk.length, MAX_FRAME_BYTES, stream.sendWindow, this.window);
    if (bytes <= 0) return;
    if (bytes === chunk.length) stream.pending.shift();
    else stream.pending[0] = chunk.subarray(bytes);
    stream.pendingBytes -= bytes;

    const isEnd = stream.pendingBytes === 0 && stream.finish === "end";
    this.#write(stream, chunk.subarray(0, bytes), isEnd);
    this.#listener.bodySent(stream, bytes);
    if (isEnd) this.#listener.localEnded(stream);
    else if (stream.pendingBytes === 0) this.#sendEnd(stream);
  }

  /** Ends the stream if that is due. */
  #sendEnd(stream: Stream): void {
    const { finish } = stream;
    if (finish === undefined || !isLocalOpen(stream)) return;
    if (finish === "end") this.#write(stream, EMPTY, true);
    else this.headers(stream.id, finish, true);
    this.#listener.localEnded(stream);
  }

  #write(stream: Stream, chunk: Uint8Array, isEnd: boolean): void {
    const writer = this.#writer;
    writer.reserve(FRAME_HEADER_BYTES + chunk.length);
    writer.header(chunk.length, FrameType.DATA, isEnd ? Flag.END_STREAM : 0, stream.id);
    writer.buffer.set(chunk, writer.end);
    writer.end += chunk.length;
    this.sentFrames++;
    stream.sendWindow -= chunk.length;
    this.window -= chunk.length;
  }
}

function isLocalOpen({ state }: Stream): boolean {
  return state === "open" || state === "half-closed (remote)";
}

const EMPTY = new Uint8Array(0);
