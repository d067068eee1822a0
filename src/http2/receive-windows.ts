// Flow control of what we receive (RFC 9113, section 5.2). The connection's window is
// returned on receipt, a stream's when its bytes are consumed: a reader that stalls holds up
// its own stream and no other.
import type { BufferedBytes } from "./buffered-bytes.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { ConnectionError, ErrorCode, FrameType, INITIAL_WINDOW_BYTES } from "./protocol.ts";
import type { Stream } from "./stream.ts";

// The window of a connection, for a round trip of 30 ms at 1 Gbit/s.
const CONNECTION_WINDOW_BYTES = 4 * 1024 * 1024;

// The window of a stream doubles up to here, while its reader keeps up.
const MAX_STREAM_WINDOW_BYTES = 1024 * 1024;

// What a client may have us hold on all streams of its connection together. A connection
// to etcd has no such ceiling: one client that does not read must not stop the others.
const MAX_CONNECTION_BUFFER_BYTES = 4 * 1024 * 1024;

export class ReceiveWindows {
  readonly #writer: FrameWriter;
  readonly #buffered: BufferedBytes;
  readonly #maxBufferBytes: number;
  /** Bytes that the peer may still send on all streams together. */
  #window = INITIAL_WINDOW_BYTES;
  /** Bytes that are held, but for messages that are larger than their window. */
  #countedBytes = 0;

  /** `isLimited`: whether the connection's buffer has a ceiling of its own. */
  constructor(writer: FrameWriter, buffered: BufferedBytes, isLimited: boolean) {
    this.#writer = writer;
    this.#buffered = buffered;
    this.#maxBufferBytes = isLimited ? MAX_CONNECTION_BUFFER_BYTES : Number.POSITIVE_INFINITY;
  }

  /** Enlarges the connection's window to its size. */
  start(): void {
    this.#returnConnection();
  }

  /** Counts the payload of a DATA frame against the connection's window. */
  received(bytes: number): void {
    this.#window -= bytes;
    if (this.#window < 0)
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "connection window exceeded");
    if (this.#window < CONNECTION_WINDOW_BYTES / 2) this.#returnConnection();
  }

  /** Counts it against the stream's window. Returns false if that is exceeded. */
  receivedBy(stream: Stream, bytes: number, padding: number): boolean {
    stream.receiveWindow -= bytes;
    if (stream.receiveWindow < 0) return false;
    if (padding > 0) this.returnStream(stream, padding);
    return true;
  }

  /** `bytes` of data are about to be handed to the stream's reader, who holds them. */
  delivered(stream: Stream, bytes: number): void {
    stream.bufferedBytes += bytes;
    this.addBuffered(bytes, 0);
  }

  /** The stream's reader has consumed `bytes`: returns them to the peer in batches. */
  returnStream(stream: Stream, bytes: number): void {
    stream.unreturnedBytes += bytes;
    const { windowBytes } = stream;
    if (stream.unreturnedBytes < windowBytes / 2) return;

    let increment = stream.unreturnedBytes;
    const keepsUp = stream.bufferedBytes < windowBytes / 4;
    if (keepsUp && windowBytes < MAX_STREAM_WINDOW_BYTES && this.#buffered.mayGrow) {
      increment += windowBytes;
      stream.windowBytes += windowBytes;
    }
    stream.unreturnedBytes = 0;
    stream.receiveWindow += increment;
    this.#writer.uint32Frame(FrameType.WINDOW_UPDATE, stream.id, increment);
  }

  /**
   * Adds `bytes` to what is held for readers, and `extendedBytes` to those of them for which
   * the window was returned. Both may be negative.
   */
  addBuffered(bytes: number, extendedBytes: number): void {
    const counted = bytes - extendedBytes;
    this.#countedBytes += counted;
    if (bytes !== 0) this.#buffered.add(bytes);
    if (counted < 0 && this.#window < CONNECTION_WINDOW_BYTES / 2) this.#returnConnection();
  }

  #returnConnection(): void {
    if (this.#countedBytes > this.#maxBufferBytes) return;
    const increment = CONNECTION_WINDOW_BYTES - this.#window;
    this.#window = CONNECTION_WINDOW_BYTES;
    this.#writer.uint32Frame(FrameType.WINDOW_UPDATE, 0, increment);
  }
}
