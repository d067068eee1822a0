// One direction of a call: counts and checks its messages, rewrites them if that is wanted,
// and returns the sender's window when the bytes have left the proxy.
import type { Stream } from "../http2/stream.ts";
import { type GrpcStatus, tooLarge } from "./grpc-status.ts";
import { MessagePipe, Rejection, type Rewrite } from "./message-pipe.ts";
import { MessageScanner } from "./message-scanner.ts";

export class Direction {
  /** Bytes handed on so far. */
  sentBytes = 0;
  readonly #verb: "send" | "receive";
  readonly #maxBytes: number;
  readonly #scanner = new MessageScanner();
  #pipe: MessagePipe | undefined;
  /** Bytes received, of which the window has not been returned. */
  #owedBytes = 0;

  /** `verb`: what etcd's proxy does with these messages. `maxBytes`: of one message. */
  constructor(verb: "send" | "receive", maxBytes: number) {
    this.#verb = verb;
    this.#maxBytes = maxBytes;
  }

  /** Rewrites all messages. `encoding`: the direction's grpc-encoding. */
  rewriteWith(rewrite: Rewrite, encoding: string | undefined): void {
    this.#pipe = new MessagePipe(rewrite, encoding, this.#maxBytes);
  }

  /** Whether messages are rewritten; otherwise chunks pass as they are. */
  get isRewritten(): boolean {
    return this.#pipe !== undefined;
  }

  /**
   * Counts bytes that have arrived. Returns how many messages begin in them, or the status of
   * a message that is too large.
   */
  received(chunk: Uint8Array): number | GrpcStatus {
    this.#owedBytes += chunk.length;
    const messages = this.#scanner.scan(chunk, this.#maxBytes);
    return messages < 0 ? tooLarge(this.#verb, -messages, this.#maxBytes) : messages;
  }

  /** Returns the rewritten messages that the chunk completes, or the status of one that cannot pass. */
  rewrite(chunk: Uint8Array): readonly Uint8Array[] | GrpcStatus {
    try {
      return this.#pipe!.push(chunk);
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      return { code: error.code, message: error.message };
    }
  }

  /**
   * `bytes` more were handed on. When nothing waits in `sink`, the whole window is returned:
   * a rewritten message has another length, and one that is not complete is held beyond the
   * window, up to the limit of its size.
   */
  sent(bytes: number, source: Stream, sink: Stream | undefined): void {
    this.sentBytes += bytes;
    const isAllSent = this.isRewritten && sink?.pendingBytes === 0;
    const returned = isAllSent ? this.#owedBytes : Math.min(bytes, this.#owedBytes);
    if (returned === 0) return;
    this.#owedBytes -= returned;
    source.consumed(returned);
  }
}
