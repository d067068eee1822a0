// Handles the frames of a connection: checks their order, answers SETTINGS and PING, and
// passes those of streams to the stream receiver.
import type { FloodGuard } from "./flood-guard.ts";
import type { FrameHeader, FrameReceiver } from "./frame-reader.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { HeaderBlock } from "./header-block.ts";
import { HpackDecoder, HpackError } from "./hpack-decoder.ts";
import type { HpackEncoder } from "./hpack-encoder.ts";
import type { PingGuard } from "./ping-guard.ts";
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  MAX_31_BITS,
  readUint32,
} from "./protocol.ts";
import type { PeerSettings } from "./settings.ts";
import type { StreamReceiver } from "./stream-receiver.ts";
import type { StreamTable } from "./stream-table.ts";

/** Our SETTINGS_MAX_HEADER_LIST_SIZE. */
export const MAX_HEADER_LIST_BYTES = 64 * 1024;

/** The payload of the PING that precedes the second GOAWAY of a drain. */
export const DRAIN_PING = new TextEncoder().encode("draining");
/** The payload of the PING that asks for a sign of life. */
export const KEEPALIVE_PING = new TextEncoder().encode("are you?");

// Our decoder's dynamic table: the initial SETTINGS_HEADER_TABLE_SIZE.
const TABLE_BYTES = 4096;

const NO_PAYLOAD = new Uint8Array(0);

/** The parts of its connection that a dispatcher uses. */
export interface FrameDispatcherParts {
  readonly writer: FrameWriter;
  readonly encoder: HpackEncoder;
  readonly peer: PeerSettings;
  readonly flood: FloodGuard;
  /** Undefined: PINGs are not limited. */
  readonly pings: PingGuard | undefined;
}

export interface FrameDispatcherListener {
  /** The peer's first SETTINGS have arrived. */
  ready(): void;
  goneAway(lastId: number, code: number, debugData: string): void;
  /** The peer has answered the PING of a drain, so it has seen the GOAWAY before it. */
  drainAcknowledged(): void;
}

export class FrameDispatcher implements FrameReceiver {
  isReading = true;
  hasSettings = false;
  readonly #parts: FrameDispatcherParts;
  readonly #streams: StreamTable;
  readonly #receiver: StreamReceiver;
  readonly #listener: FrameDispatcherListener;
  readonly #block = new HeaderBlock();
  readonly #decoder = new HpackDecoder({
    maxTableBytes: TABLE_BYTES,
    maxListBytes: MAX_HEADER_LIST_BYTES,
  });

  constructor(
    parts: FrameDispatcherParts,
    streams: StreamTable,
    receiver: StreamReceiver,
    listener: FrameDispatcherListener,
  ) {
    this.#parts = parts;
    this.#streams = streams;
    this.#receiver = receiver;
    this.#listener = listener;
  }

  /** Bytes of a header block that is not complete. */
  get heldBytes(): number {
    return this.#block.heldBytes;
  }

  dataStarted(header: FrameHeader, padding: number): void {
    this.#checkOrder(header);
    checkStream(header, true);
    this.#receiver.dataStarted(header, padding);
  }

  data(header: FrameHeader, chunk: Uint8Array, isLast: boolean): void {
    this.#receiver.data(header, chunk, isLast);
  }

  frame(header: FrameHeader, payload: Uint8Array): void {
    this.#checkOrder(header);
    const { type, streamId: id } = header;
    const receiver = this.#receiver;
    if (type === FrameType.WINDOW_UPDATE) this.#windowUpdate(id, payload);
    else if (type <= FrameType.RST_STREAM || type === FrameType.CONTINUATION) {
      checkStream(header, true);
      if (type === FrameType.RST_STREAM) receiver.reset(id, payload);
      else if (type === FrameType.PRIORITY) receiver.priority(id, payload);
      else this.#headers(header, payload);
    } else if (type <= FrameType.GOAWAY) {
      checkStream(header, false);
      this.#connectionFrame(header, payload);
    }
    // Frames of unknown types are ignored (RFC 9113, section 4.1).
  }

  /** The first frame is SETTINGS, and nothing interrupts a header block. */
  #checkOrder({ type, flags, streamId }: FrameHeader): void {
    if (!this.hasSettings && (type !== FrameType.SETTINGS || (flags & Flag.ACK) !== 0))
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    const expected = this.#block.streamId;
    const isExpected =
      type === FrameType.CONTINUATION ? expected !== 0 && streamId === expected : expected === 0;
    if (!isExpected)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted");
  }

  #headers(header: FrameHeader, payload: Uint8Array): void {
    if (header.type === FrameType.CONTINUATION) this.#parts.flood.count("CONTINUATION frames");
    const encoded = this.#block.add(header, payload);
    if (encoded === undefined) return;

    const { streamId, isEnd } = this.#block;
    this.#block.end();
    try {
      this.#receiver.headers(streamId, this.#decoder.decode(encoded), isEnd);
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      throw new ConnectionError(ErrorCode.COMPRESSION_ERROR, error.message);
    }
  }

  /** SETTINGS, PUSH_PROMISE, PING or GOAWAY. */
  #connectionFrame({ type, flags }: FrameHeader, payload: Uint8Array): void {
    const isAck = (flags & Flag.ACK) !== 0;
    if (type === FrameType.SETTINGS) this.#settings(isAck, payload);
    else if (type === FrameType.PING) this.#ping(isAck, payload);
    else if (type === FrameType.GOAWAY) this.#goAway(payload);
    else throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE is not allowed");
  }

  #settings(isAck: boolean, payload: Uint8Array): void {
    if (isAck) {
      if (payload.length > 0)
        throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS ACK has a payload");
      return;
    }

    const { flood, peer, encoder, writer } = this.#parts;
    flood.count("SETTINGS frames");
    const before = peer.initialWindowBytes;
    peer.apply(payload);
    // A table that was smaller in between is emptied (RFC 7541, section 4.2).
    if (peer.smallestTableBytes < peer.headerTableBytes)
      encoder.setPeerTableBytes(peer.smallestTableBytes);
    encoder.setPeerTableBytes(peer.headerTableBytes);
    // Before what the settings allow: until then the peer may hold us to its old ones.
    writer.frame(FrameType.SETTINGS, Flag.ACK, 0, NO_PAYLOAD);
    this.#streams.initialWindowChanged(peer.initialWindowBytes - before);
    if (this.hasSettings) return;
    this.hasSettings = true;
    this.#listener.ready();
  }

  #ping(isAck: boolean, payload: Uint8Array): void {
    if (payload.length !== 8)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "PING has a wrong length");
    if (isAck) {
      if (payload[0] === DRAIN_PING[0]) this.#listener.drainAcknowledged();
      return;
    }

    const { pings, writer } = this.#parts;
    pings?.received(this.#streams.queue.sentFrames);
    writer.frame(FrameType.PING, Flag.ACK, 0, payload);
  }

  #goAway(payload: Uint8Array): void {
    if (payload.length < 8)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is too short");
    const debugData = new TextDecoder().decode(payload.subarray(8, 8 + MAX_DEBUG_BYTES));
    this.#listener.goneAway(
      readUint32(payload, 0) & MAX_31_BITS,
      readUint32(payload, 4),
      debugData,
    );
  }

  #windowUpdate(id: number, payload: Uint8Array): void {
    if (payload.length !== 4)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE has a wrong length");
    const increment = readUint32(payload, 0) & MAX_31_BITS;
    const streams = this.#streams;
    if (id !== 0) {
      this.#receiver.windowUpdate(id, increment);
      return;
    }

    if (increment === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    if (streams.queue.window + increment > MAX_31_BITS)
      throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, "the window is too large");
    streams.queue.window += increment;
    streams.queue.pump();
  }
}

// Of a GOAWAY's debug data, which is for a log.
const MAX_DEBUG_BYTES = 256;

/** A frame type is for streams, or for the connection. */
function checkStream({ type, streamId }: FrameHeader, hasStream: boolean): void {
  if ((streamId !== 0) === hasStream) return;
  const rule = hasStream ? "needs a stream" : "is not for a stream";
  throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `frame type ${type} ${rule}`);
}
