// Sends the frames of streams: encodes header lists, and sends DATA as far as the windows
// and the socket have room. Streams that must wait take turns, one frame each.
import { ByteQueue } from "../core/byte-queue.ts";
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
  /** Streams that wait for the connection's window or for the socket, in the order of their turns. */
  readonly #ready = new Set<Stream>();
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
    if (stream.pendingBytes === 0 && this.#hasRoom(stream, chunk.length)) {
      this.#write(stream, chunk, isEnd);
      if (chunk.length > 0) this.#listener.bodySent(stream, chunk.length);
      if (isEnd) this.#listener.localEnded(stream);
      return;
    }

    if (chunk.length > 0) (stream.pending ??= new ByteQueue()).push(chunk);
    this.queue(stream);
    this.pump();
  }

  /** Whether `bytes` can be sent now without being split, and no other stream waits. An end needs no window. */
  #hasRoom(stream: Stream, bytes: number): boolean {
    if (bytes === 0) return true;
    return (
      this.#ready.size === 0 &&
      bytes <= MAX_FRAME_BYTES &&
      bytes <= stream.sendWindow &&
      bytes <= this.window &&
      !this.#writer.isBlocked
    );
  }

  /** Adds a stream that has bytes to send, if its window is open. */
  queue(stream: Stream): void {
    if (stream.pendingBytes > 0 && stream.sendWindow > 0) this.#ready.add(stream);
  }

  /** A stream has ended: drops what it has pending. */
  remove(stream: Stream): void {
    stream.pending = undefined;
    this.#ready.delete(stream);
  }

  /** Sends what the windows and the socket have room for. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      // One frame each; a stream with more to send goes to the end of the queue.
      for (const stream of this.#ready) {
        if (this.#writer.isBlocked || this.window <= 0) break;
        this.#ready.delete(stream);
        this.#sendFrame(stream);
        this.queue(stream);
      }
    } finally {
      this.#isPumping = false;
    }
  }

  /** Sends one frame of what the stream has pending, if its window is open, and its end if that is due. */
  #sendFrame(stream: Stream): void {
    const chunk =
      stream.sendWindow > 0
        ? stream.pending?.take(Math.min(MAX_FRAME_BYTES, stream.sendWindow, this.window))
        : undefined;
    if (chunk === undefined) return;

    const { finish } = stream;
    const isLast = stream.pendingBytes === 0 && finish !== undefined;
    this.#write(stream, chunk, isLast && finish === "end");
    if (isLast && finish !== "end") this.headers(stream.id, finish, true);
    this.#listener.bodySent(stream, chunk.length);
    if (isLast) this.#listener.localEnded(stream);
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
