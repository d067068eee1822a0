// Checks the frames that arrive for streams against the streams' states (RFC 9113, sections
// 5.1, 6 and 8), and passes them to the streams' listeners.
import type { Clock } from "../core/clock.ts";
import type { FloodGuard } from "./flood-guard.ts";
import type { FrameHeader } from "./frame-reader.ts";
import { headerValue, type HeaderList } from "./header-list.ts";
import { HeaderRules } from "./header-rules.ts";
import {
  ConnectionError,
  ErrorCode,
  errorName,
  Flag,
  MAX_31_BITS,
  readUint32,
} from "./protocol.ts";
import type { ReceiveWindows } from "./receive-windows.ts";
import type { Stream, StreamListener } from "./stream.ts";
import type { Role, StreamTable } from "./stream-table.ts";

/** The parts of its connection that a receiver uses. */
export interface StreamReceiverParts {
  readonly role: Role;
  readonly clock: Pick<Clock, "now">;
  readonly windows: ReceiveWindows;
  readonly flood: FloodGuard;
  /** The maximum of streams that the peer may have open. */
  readonly maxConcurrentStreams: number;
}

export interface StreamReceiverListener {
  /** The peer has opened a stream. Returns who receives its events. */
  request(stream: Stream, list: HeaderList, isEnd: boolean): StreamListener;
}

/** A stream that the peer resets at this age is counted by the flood guard. */
const YOUNG_MS = 1000;

/** The response to a header list that is too large (RFC 6585). */
const TOO_LARGE: HeaderList = [":status", "431"];

/** For a stream that is answered without its owner. */
const IGNORED: StreamListener = { headers() {}, data() {}, sent() {}, closed() {} };

export class StreamReceiver {
  readonly #parts: StreamReceiverParts;
  readonly #streams: StreamTable;
  readonly #listener: StreamReceiverListener;
  readonly #rules = new HeaderRules();
  /** The highest id that the peer has opened. */
  lastPeerId = 0;
  /** Streams of the peer above this id are ignored: GOAWAY has named it. */
  lastAcceptedId = MAX_31_BITS;
  /** The stream of the DATA frame that is being read; undefined: its bytes are dropped. */
  #dataStream: Stream | undefined;

  constructor(parts: StreamReceiverParts, streams: StreamTable, listener: StreamReceiverListener) {
    this.#parts = parts;
    this.#streams = streams;
    this.#listener = listener;
  }

  /** A complete header block has arrived. `list` is undefined if it was too large. */
  headers(id: number, list: HeaderList | undefined, isEnd: boolean): void {
    const stream = this.#streams.get(id);
    if (stream !== undefined) this.#moreHeaders(stream, list, isEnd);
    else if (this.#parts.role === "server" && id > this.lastPeerId) this.#request(id, list, isEnd);
    else this.#closedHeaders(id);
  }

  #request(id: number, list: HeaderList | undefined, isEnd: boolean): void {
    const streams = this.#streams;
    const { flood, maxConcurrentStreams } = this.#parts;
    if (id % 2 === 0)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "a client's stream id is even");
    this.lastPeerId = id;
    if (id > this.lastAcceptedId) return;
    if (streams.size >= maxConcurrentStreams) {
      flood.count("refused streams");
      streams.writeReset(id, ErrorCode.REFUSED_STREAM);
      return;
    }

    const stream = streams.add(id);
    stream.hasHeaders = true;
    stream.listener = IGNORED;
    if (isEnd) streams.remoteEnded(stream);
    if (list === undefined) {
      streams.sendHeaders(stream, TOO_LARGE, true);
      return;
    }
    if (this.#rules.requestFault(list) !== undefined || !acceptLength(stream, list, isEnd)) {
      this.#fail(stream, ErrorCode.PROTOCOL_ERROR);
      return;
    }

    try {
      stream.listener = this.#listener.request(stream, list, isEnd);
    } catch (error) {
      streams.listenerFailed(stream, error);
    }
  }

  /** A response, or trailers. */
  #moreHeaders(stream: Stream, list: HeaderList | undefined, isEnd: boolean): void {
    const streams = this.#streams;
    if (!stream.isReadable) {
      this.#fail(stream, ErrorCode.STREAM_CLOSED);
      return;
    }

    const isFirst = !stream.hasHeaders;
    const rules = this.#rules;
    const fault = list && (isFirst ? rules.responseFault(list) : rules.trailersFault(list));
    // Trailers end the stream (RFC 9113, section 8.1).
    if (list === undefined || fault !== undefined || (!isFirst && !isEnd)) {
      this.#fail(stream, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    // An interim response; etcd sends none.
    if (isFirst && !isEnd && headerValue(list, ":status")!.startsWith("1")) return;

    stream.hasHeaders = true;
    if ((isFirst && !acceptLength(stream, list, isEnd)) || (isEnd && isShort(stream))) {
      this.#fail(stream, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    if (isEnd) streams.remoteEnded(stream);
    try {
      stream.listener.headers(list, isEnd);
    } catch (error) {
      streams.listenerFailed(stream, error);
    }
  }

  /** A DATA frame begins; its bytes follow by `data`. `padding`: bytes that are not data. */
  dataStarted({ streamId: id, length, flags }: FrameHeader, padding: number): void {
    const streams = this.#streams;
    const { windows, flood } = this.#parts;
    windows.received(length);
    this.#dataStream = undefined;
    const isEnd = (flags & Flag.END_STREAM) !== 0;
    if (length === padding && !isEnd) flood.count("empty DATA frames");

    const stream = streams.get(id);
    if (stream === undefined) {
      this.#closedData(id);
      return;
    }
    const fault = this.#dataFault(stream, length - padding, isEnd);
    if (fault !== undefined) this.#fail(stream, fault);
    else if (!windows.receivedBy(stream, length, padding))
      this.#fail(stream, ErrorCode.FLOW_CONTROL_ERROR);
    else this.#dataStream = stream;
  }

  #dataFault(stream: Stream, bytes: number, isEnd: boolean): number | undefined {
    if (!stream.isReadable) return ErrorCode.STREAM_CLOSED;
    if (!stream.hasHeaders) return ErrorCode.PROTOCOL_ERROR;
    if (stream.promisedBytes === undefined) return undefined;
    stream.promisedBytes -= bytes;
    const isWrong = stream.promisedBytes < 0 || (isEnd && isShort(stream));
    return isWrong ? ErrorCode.PROTOCOL_ERROR : undefined;
  }

  /** Bytes of the DATA frame that began. `isLast`: it is complete. */
  data({ flags }: FrameHeader, chunk: Uint8Array, isLast: boolean): void {
    const stream = this.#dataStream;
    // It may have been reset while the frame arrived.
    if (stream === undefined || !stream.isReadable) return;
    const isEnd = isLast && (flags & Flag.END_STREAM) !== 0;
    if (isEnd) this.#streams.remoteEnded(stream);
    if (chunk.length === 0 && !isEnd) return;
    this.#parts.windows.delivered(stream, chunk.length);
    try {
      stream.listener.data(chunk, isEnd);
    } catch (error) {
      this.#streams.listenerFailed(stream, error);
    }
  }

  reset(id: number, payload: Uint8Array): void {
    if (payload.length !== 4)
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM has a wrong length");
    const streams = this.#streams;
    const stream = streams.get(id);
    if (stream === undefined) {
      this.#checkNotIdle(id);
      return;
    }

    const code = readUint32(payload, 0);
    this.#countEarlyEnd(stream, "resets of new streams");
    const cause = code === ErrorCode.REFUSED_STREAM ? "refused" : "reset";
    streams.end(stream, cause, { code, reason: `RST_STREAM ${errorName(code)}` });
  }

  windowUpdate(id: number, increment: number): void {
    const streams = this.#streams;
    const stream = streams.get(id);
    if (stream === undefined) {
      this.#checkNotIdle(id);
      return;
    }
    if (increment === 0) this.#fail(stream, ErrorCode.PROTOCOL_ERROR);
    else if (stream.sendWindow + increment > MAX_31_BITS)
      this.#fail(stream, ErrorCode.FLOW_CONTROL_ERROR);
    else {
      stream.sendWindow += increment;
      streams.queue.queue(stream);
      streams.queue.pump();
    }
  }

  /** Resets a stream of which the peer broke the protocol: it costs us as much as the peer's own reset. */
  #fail(stream: Stream, code: number): void {
    this.#countEarlyEnd(stream, "malformed streams");
    this.#streams.fail(stream, code);
  }

  /** Counts a stream that its client has us end soon after it was opened. */
  #countEarlyEnd({ openedAt }: Stream, what: string): void {
    const { role, clock, flood } = this.#parts;
    if (role === "server" && clock.now() - openedAt < YOUNG_MS) flood.count(what);
  }

  /** PRIORITY is obsolete (RFC 9113, section 5.3.2); only its form is checked. */
  priority(id: number, payload: Uint8Array): void {
    const streams = this.#streams;
    const isSelf = payload.length === 5 && (readUint32(payload, 0) & MAX_31_BITS) === id;
    if (payload.length === 5 && !isSelf) return;
    const code = isSelf ? ErrorCode.PROTOCOL_ERROR : ErrorCode.FRAME_SIZE_ERROR;
    const stream = streams.get(id);
    if (stream === undefined) throw new ConnectionError(code, "PRIORITY is malformed");
    this.#fail(stream, code);
  }

  /** HEADERS of a stream that has ended (RFC 9113, section 5.1, closed). */
  #closedHeaders(id: number): void {
    this.#checkNotIdle(id);
    if (this.#mayArrive(id)) return;
    throw new ConnectionError(ErrorCode.STREAM_CLOSED, "HEADERS of a closed stream");
  }

  /** DATA of a stream that has ended. */
  #closedData(id: number): void {
    this.#checkNotIdle(id);
    if (!this.#mayArrive(id)) this.#streams.writeReset(id, ErrorCode.STREAM_CLOSED);
  }

  /**
   * Whether a frame of a stream that has ended may have been on its way: a member may answer
   * thousands of streams that we have reset, and a client may not know yet that it is ignored.
   */
  #mayArrive(id: number): boolean {
    const streams = this.#streams;
    const { role } = this.#parts;
    return role === "client" || streams.wasReset(id) || id > this.lastAcceptedId;
  }

  #checkNotIdle(id: number): void {
    const streams = this.#streams;
    const { role } = this.#parts;
    const isIdle =
      role === "server" ? id % 2 === 0 || id > this.lastPeerId : !streams.hasOpened(id);
    if (isIdle) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "the stream is idle");
  }
}

/** Stores the content-length. Returns false if it is not a length, or there are several that differ. */
function acceptLength(stream: Stream, list: HeaderList, isEnd: boolean): boolean {
  const text = headerValue(list, "content-length");
  if (text === undefined) return true;
  for (let i = 0; i < list.length; i += 2)
    if (list[i] === "content-length" && list[i + 1] !== text) return false;
  if (!/^\d{1,15}$/.test(text)) return false;
  // A response to HEAD has the length of a body that it lacks; no proxy of etcd sends HEAD.
  stream.promisedBytes = Number(text);
  return !(isEnd && isShort(stream));
}

function isShort({ promisedBytes = 0 }: Stream): boolean {
  return promisedBytes > 0;
}
