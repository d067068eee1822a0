// Splits the bytes of a connection into frames (RFC 9113, section 4). DATA is passed on as
// it arrives; other frames are passed on whole. It knows no stream.
import { part } from "../core/detach.ts";
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_FRAME_BYTES,
  readUint32,
} from "./protocol.ts";

/** A frame header (RFC 9113, section 4.1). The reader uses one object for all frames. */
export interface FrameHeader {
  /** Bytes of the payload. */
  length: number;
  type: number;
  flags: number;
  streamId: number;
}

/** Receives the frames. Each method may throw a ConnectionError, which ends the reading. */
export interface FrameReceiver {
  /** Whether frames are still wanted; once false, the rest of the bytes is dropped. */
  readonly isReading: boolean;
  /** A DATA frame begins. `padding`: the bytes of its payload that are not data. */
  dataStarted(header: FrameHeader, padding: number): void;
  /** Bytes of the DATA frame that began, without its padding. `isLast`: the frame is complete. */
  data(header: FrameHeader, chunk: Uint8Array, isLast: boolean): void;
  /** A complete frame of another type. `payload` is valid only during the call. */
  frame(header: FrameHeader, payload: Uint8Array): void;
}

const EMPTY = new Uint8Array(0);

export class FrameReader {
  readonly #receiver: FrameReceiver;
  readonly #header: FrameHeader = { length: 0, type: 0, flags: 0, streamId: 0 };
  /** The incomplete header or payload that the last chunk ended with. */
  #partial: Uint8Array | undefined;
  #partialBytes = 0;
  /** In a DATA frame: bytes of data and of padding to come. */
  #dataBytes = 0;
  #paddingBytes = 0;
  #isInData = false;

  constructor(receiver: FrameReceiver) {
    this.#receiver = receiver;
  }

  /** Bytes of a frame that is not complete, and is not DATA. */
  get heldBytes(): number {
    return this.#partialBytes;
  }

  /** Whether a frame has begun that is not complete yet. */
  get isInFrame(): boolean {
    return this.#isInData || this.#partialBytes > 0;
  }

  /**
   * Reads the next bytes of the connection.
   *
   * @throws {ConnectionError} for a frame that is too large, or whatever the receiver throws.
   */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && this.#receiver.isReading) {
      at = this.#isInData ? this.#readData(chunk, at) : this.#readFrame(chunk, at);
    }
  }

  /** Reads a frame, or the beginning of a DATA frame. Returns the offset after it. */
  #readFrame(chunk: Uint8Array, at: number): number {
    if (this.#partialBytes > 0) return this.#continueFrame(chunk, at);
    if (chunk.length - at < FRAME_HEADER_BYTES) return this.#keep(chunk, at);

    this.#parseHeader(chunk, at);
    const { type, flags, length } = this.#header;
    const start = at + FRAME_HEADER_BYTES;
    if (type === FrameType.DATA && ((flags & Flag.PADDED) === 0 || length === 0))
      return this.#startData(start, 0);

    const isPadded = type === FrameType.DATA;
    const needed = isPadded ? 1 : length;
    if (chunk.length - start < needed) return this.#keep(chunk, at);
    if (isPadded) return this.#startData(start + 1, 1 + chunk[start]!);
    this.#receiver.frame(this.#header, length === 0 ? EMPTY : part(chunk, start, start + length));
    return start + length;
  }

  /** Stores the beginning of a frame until the rest arrives. */
  #keep(chunk: Uint8Array, at: number): number {
    this.#partial ??= new Uint8Array(64);
    this.#append(chunk, at, chunk.length - at);
    return chunk.length;
  }

  /** Completes a frame that began in an earlier chunk. */
  #continueFrame(chunk: Uint8Array, from: number): number {
    let at = from;
    if (this.#partialBytes < FRAME_HEADER_BYTES) {
      at += this.#fill(chunk, at, FRAME_HEADER_BYTES);
      if (this.#partialBytes < FRAME_HEADER_BYTES) return at;
      this.#parseHeader(this.#partial!, 0);
    }

    const { type, flags, length } = this.#header;
    const isPadded = type === FrameType.DATA && (flags & Flag.PADDED) !== 0 && length > 0;
    const payloadBytes = type === FrameType.DATA ? Number(isPadded) : length;
    at += this.#fill(chunk, at, FRAME_HEADER_BYTES + payloadBytes);
    if (this.#partialBytes < FRAME_HEADER_BYTES + payloadBytes) return at;

    const partial = this.#partial!;
    this.#partial = undefined;
    this.#partialBytes = 0;
    if (type === FrameType.DATA)
      return this.#startData(at, isPadded ? 1 + partial[FRAME_HEADER_BYTES]! : 0);
    const payload = partial.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length);
    this.#receiver.frame(this.#header, payload);
    return at;
  }

  /** Appends bytes until `wanted` are stored, if the chunk has them. Returns how many it took. */
  #fill(chunk: Uint8Array, at: number, wanted: number): number {
    const bytes = Math.min(wanted - this.#partialBytes, chunk.length - at);
    if (bytes > 0) this.#append(chunk, at, bytes);
    return bytes;
  }

  #append(chunk: Uint8Array, at: number, bytes: number): void {
    const end = this.#partialBytes + bytes;
    let partial = this.#partial!;
    if (end > partial.length) {
      // The header was checked, so a frame has at most MAX_FRAME_BYTES.
      partial = new Uint8Array(Math.min(2 * end, FRAME_HEADER_BYTES + MAX_FRAME_BYTES));
      partial.set(this.#partial!.subarray(0, this.#partialBytes));
      this.#partial = partial;
    }
    partial.set(chunk.subarray(at, at + bytes), this.#partialBytes);
    this.#partialBytes = end;
  }

  #parseHeader(bytes: Uint8Array, at: number): void {
    const header = this.#header;
    header.length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    header.type = bytes[at + 3]!;
    header.flags = bytes[at + 4]!;
    header.streamId = readUint32(bytes, at + 5) & 0x7fff_ffff;
    // RFC 9113, section 4.2. We never raise SETTINGS_MAX_FRAME_SIZE.
    if (header.length > MAX_FRAME_BYTES)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "frame is too large");
  }

  /** `padding`: the bytes of the payload that are not data. Returns `at`. */
  #startData(at: number, padding: number): number {
    const header = this.#header;
    const dataBytes = header.length - padding;
    // RFC 9113, section 6.1.
    if (dataBytes < 0)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "padding is longer than its frame");

    this.#receiver.dataStarted(header, padding);
    this.#paddingBytes = padding === 0 ? 0 : padding - 1;
    this.#dataBytes = dataBytes;
    if (dataBytes === 0) this.#receiver.data(header, EMPTY, true);
    this.#isInData = this.#dataBytes + this.#paddingBytes > 0;
    return at;
  }

  #readData(chunk: Uint8Array, from: number): number {
    let at = from;
    if (this.#dataBytes > 0) {
      const bytes = Math.min(this.#dataBytes, chunk.length - at);
      this.#dataBytes -= bytes;
      at += bytes;
      this.#receiver.data(this.#header, part(chunk, at - bytes, at), this.#dataBytes === 0);
    }

    const skipped = Math.min(this.#paddingBytes, chunk.length - at);
    this.#paddingBytes -= skipped;
    this.#isInData = this.#dataBytes + this.#paddingBytes > 0;
    return at + skipped;
  }
}
