// Calls that the proxy itself makes: for its registration, the member list and health. They
// use the same sessions as the calls of clients.
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import { ErrorCode } from "../http2/protocol.ts";
import type { Stream, StreamListener } from "../http2/stream.ts";
import type { Clock } from "../core/clock.ts";
import { codeOf, codeOfReset, GrpcCode, type GrpcStatus } from "./grpc-status.ts";
import type { Session } from "./session.ts";
import type { WaitingCall } from "./waiting-calls.ts";

/** A call of the proxy's own failed. */
export class GrpcError extends Error {
  override name = "GrpcError";
  /** A value of `GrpcCode`. */
  readonly code: number;

  constructor({ code, message }: GrpcStatus) {
    super(message);
    this.code = code;
  }
}

export interface OwnCallsParts {
  readonly clock: Clock;
  pick(): Session | undefined;
  wait(call: WaitingCall, timeoutMs: number): () => void;
}

export interface OwnCallOptions {
  /** Milliseconds for a unary call; a stream may wait so long for a session. */
  readonly timeoutMs: number;
  /** The etcd auth token; undefined: none is sent. */
  readonly token: string | undefined;
}

/** The events of one call. */
export interface OwnCallListener {
  /** One complete message. */
  message(message: Uint8Array): void;
  /** The call has ended, with code 0 or not. Called once, unless the call was cancelled. */
  ended(status: GrpcStatus): void;
}

/** A call in progress. */
export interface OwnCall {
  /** Sends a message. `isLast`: the request is complete. */
  send(message: Uint8Array, isLast?: boolean): void;
  /** Ends the call; the listener is not called any more. */
  cancel(): void;
}

// Of one message that the proxy reads itself: a member list, a registration.
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const PREFIX_BYTES = 5;

export class OwnCalls {
  readonly #parts: OwnCallsParts;

  constructor(parts: OwnCallsParts) {
    this.#parts = parts;
  }

  /**
   * Sends one message and resolves with the answer.
   *
   * @throws {GrpcError} with etcd's code and message, or UNAVAILABLE, or DEADLINE_EXCEEDED.
   */
  unary(path: string, request: Uint8Array, options: OwnCallOptions): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    let answer: Uint8Array | undefined;
    const call = this.open(path, options, {
      message: (message) => {
        answer = message;
      },
      ended: (status) => {
        cancelTimer();
        if (status.code === GrpcCode.OK && answer !== undefined) resolve(answer);
        else reject(new GrpcError(status));
      },
    });
    const cancelTimer = this.#parts.clock.after(options.timeoutMs, () => {
      call.cancel();
      reject(
        new GrpcError({ code: GrpcCode.DEADLINE_EXCEEDED, message: "context deadline exceeded" }),
      );
    });
    call.send(request, true);
    return promise;
  }

  /** Opens a call. */
  open(path: string, options: OwnCallOptions, listener: OwnCallListener): OwnCall {
    return new Call(path, this.#parts, { ...options, listener });
  }
}

class Call implements OwnCall, StreamListener {
  readonly #listener: OwnCallListener;
  readonly #list: HeaderList;
  #session: Session | undefined;
  #stream: Stream | undefined;
  /** Messages that wait for a session. */
  #waiting: { readonly framed: Uint8Array; readonly isLast: boolean }[] = [];
  #cancelWait = () => {};
  #isOver = false;
  #received = new Uint8Array(0);

  constructor(
    path: string,
    parts: OwnCallsParts,
    { timeoutMs, token, listener }: OwnCallOptions & { readonly listener: OwnCallListener },
  ) {
    this.#listener = listener;
    this.#list = [
      ...[":method", "POST", ":scheme", "http", ":path", path, ":authority", "etcd"],
      ...["content-type", "application/grpc", "te", "trailers", "user-agent", "etcd-gateway"],
      ...(token === undefined ? [] : ["token", token]),
    ];
    const connected = () => {
      const session = parts.pick();
      if (session !== undefined) this.#open(session);
      return session !== undefined;
    };
    if (connected()) return;
    const timedOut = (message: string) => this.#end({ code: GrpcCode.UNAVAILABLE, message });
    this.#cancelWait = parts.wait({ connected, timedOut }, timeoutMs);
  }

  #open(session: Session): void {
    this.#session = session;
    session.endpoint.acquire();
    this.#stream = session.open(this.#list, false, this);
    for (const { framed, isLast } of this.#waiting) this.#stream.write(framed, isLast);
    this.#waiting = [];
  }

  send(message: Uint8Array, isLast = false): void {
    const framed = new Uint8Array(PREFIX_BYTES + message.length);
    new DataView(framed.buffer).setUint32(1, message.length);
    framed.set(message, PREFIX_BYTES);
    if (this.#stream === undefined) this.#waiting.push({ framed, isLast });
    else this.#stream.write(framed, isLast);
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelWait();
    this.#stream?.reset(ErrorCode.CANCEL);
    this.#session?.endpoint.release();
  }

  headers(list: HeaderList, isEnd: boolean): void {
    if (!isEnd) return;
    const message = decodeURIComponentSafely(headerValue(list, "grpc-message") ?? "");
    this.#end({ code: codeOf(list), message });
  }

  data(chunk: Uint8Array, isEnd: boolean): void {
    this.#stream!.consumed(chunk.length);
    this.#received = Buffer.concat([this.#received, chunk]);
    while (!this.#isOver && this.#received.length >= PREFIX_BYTES) {
      const { buffer, byteOffset } = this.#received;
      const length = new DataView(buffer, byteOffset).getUint32(1);
      if (length > MAX_MESSAGE_BYTES) {
        this.#stream!.reset(ErrorCode.CANCEL);
        this.#end({ code: GrpcCode.RESOURCE_EXHAUSTED, message: `message of ${length} bytes` });
        return;
      }
      if (this.#received.length < PREFIX_BYTES + length) break;
      const message = this.#received.subarray(PREFIX_BYTES, PREFIX_BYTES + length);
      this.#received = this.#received.subarray(PREFIX_BYTES + length);
      this.#listener.message(message);
    }
    if (isEnd) this.#end({ code: GrpcCode.UNKNOWN, message: "no status" });
  }

  sent(): void {}

  closed(cause: string, code: number, reason: string): void {
    const isReset = cause === "reset";
    this.#end({ code: isReset ? codeOfReset(code) : GrpcCode.UNAVAILABLE, message: reason });
  }

  #end(status: GrpcStatus): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelWait();
    // The rest of the request is not wanted.
    this.#stream?.reset(ErrorCode.NO_ERROR);
    this.#session?.endpoint.release();
    this.#listener.ended(status);
  }
}

/** Decodes grpc-message; a malformed one stays as it is, as the protocol wants. */
function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
