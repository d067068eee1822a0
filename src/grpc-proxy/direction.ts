// One direction of a call: counts and checks its messages, rewrites them if that is wanted,
// and returns the sender's window when the bytes have left the proxy.
import type { Stream } from "../http2/stream.ts";
import { type GrpcStatus, tooLarge } from "./grpc-status.ts";
import { MessagePipe, Rejection, type Rewrite } from "./message-pipe.ts";
import { MessageScanner } from "./message-scanner.ts";
import type { Method } from "./methods.ts";

/** Where the bytes of a direction go. */
export interface Sink {
  write(chunk: Uint8Array, isEnd: boolean): void;
}

export class Direction {
  /** Bytes handed on so far. */
  sentBytes = 0;
  readonly #verb: "send" | "receive";
  readonly #maxBytes: number;
  readonly #method: Method;
  readonly #sink: Sink;
  readonly #scanner = new MessageScanner();
  #pipe: MessagePipe | undefined;
  /** Bytes received, of which the window has not been returned. */
  #owedBytes = 0;

  /** `verb`: what etcd's proxy does with these messages. `maxBytes`: of one message. */
  constructor(verb: "send" | "receive", maxBytes: number, method: Method, sink: Sink) {
    this.#verb = verb;
    this.#maxBytes = maxBytes;
    this.#method = method;
    this.#sink = sink;
  }

  /** Called with the length of each message when it begins. */
  set onMessage(listener: ((bytes: number) => void) | undefined) {
    this.#scanner.onMessage = listener;
  }

  /** Rewrites all messages. `encoding`: the direction's grpc-encoding. */
  rewriteWith(rewrite: Rewrite, encoding: string | undefined): void {
    this.#pipe = new MessagePipe(rewrite, encoding, this.#maxBytes);
  }

  /** Passes on what has arrived. Returns the status of a message that cannot pass. */
  received(chunk: Uint8Array, isEnd: boolean): GrpcStatus | undefined {
    this.#owedBytes += chunk.length;
    const messages = this.#scanner.scan(chunk, this.#maxBytes);
    if (messages < 0) return tooLarge(this.#verb, -messages, this.#maxBytes);
    if (this.#verb === "send") this.#method.messagesReceived += messages;
    else this.#method.messagesSent += messages;

    if (this.#pipe !== undefined) return this.#rewrite(this.#pipe, chunk, isEnd);
    this.#sink.write(chunk, isEnd);
    return undefined;
  }

  #rewrite(pipe: MessagePipe, chunk: Uint8Array, isEnd: boolean): GrpcStatus | undefined {
    try {
      for (const message of pipe.push(chunk)) this.#sink.write(message, false);
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      return { code: error.code, message: error.message };
    }
    if (isEnd) this.#sink.write(EMPTY, true);
    return undefined;
  }

  /**
   * `bytes` more were handed on. With a pipe, when nothing waits in `sink`, the whole window is
   * returned: a rewritten message has another length. One that is not complete stays held,
   * beyond the window, up to the limit of its size.
   */
  sent(bytes: number, source: Stream, sink: Stream | undefined): void {
    this.sentBytes += bytes;
    if (this.#verb === "send") this.#method.bytesReceived += bytes;
    else this.#method.bytesSent += bytes;
    if (this.#pipe === undefined) this.#return(Math.min(bytes, this.#owedBytes), source);
    else if (sink?.pendingBytes === 0) {
      this.#return(this.#owedBytes - this.#pipe.heldBytes, source);
      source.extendWindow();
    }
  }

  #return(bytes: number, source: Stream): void {
    this.#owedBytes -= bytes;
    source.consumed(bytes);
  }
}

const EMPTY = new Uint8Array(0);
