// The answer to one request, as its client gets it: a member's, passed on as it comes, or
// the proxy's own. It knows no attempt.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { OwnAnswer } from "./answers.ts";
import { responseHeaders } from "./headers.ts";
import { HoldReason, type SocketStream } from "./socket-stream.ts";

export class Reply {
  /** Bytes of the member's body so far. */
  bytes = 0;
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
    // A member's answer has its own.
    response.sendDate = false;
  }

  get status(): number {
    return this.#response.statusCode;
  }

  /** Whether the head was sent. */
  get hasHead(): boolean {
    return this.#response.headersSent;
  }

  /** Whether everything was handed to the connection. */
  get isFinished(): boolean {
    return this.#response.writableFinished;
  }

  /** Sends the proxy's own answer. `isLast`: the connection closes afterwards. */
  send(
    { status, contentType, headers, body }: OwnAnswer,
    { method, isLast }: { readonly method: string | undefined; readonly isLast: boolean },
  ): void {
    this.#response.writeHead(status, {
      ...(contentType && { "Content-Type": contentType }),
      ...headers,
      "Content-Length": Buffer.byteLength(body),
      ...(isLast && { Connection: "close" }),
    });
    this.#response.end(method === "HEAD" ? "" : body);
  }

  /**
   * Passes a member's answer on, head and chunks at once. Calls `broken` if it ends before it
   * is complete. Returns false if its head cannot be sent; then nothing was sent.
   */
  pass(answer: IncomingMessage, isLast: boolean, broken: () => void): boolean {
    const response = this.#response;
    const headers = responseHeaders(answer.rawHeaders, isLast);
    try {
      response.writeHead(answer.statusCode!, answer.statusMessage!, headers as string[]);
    } catch {
      // node:http takes some heads that it does not send.
      return false;
    }
    response.flushHeaders();
    const source = answer.socket as unknown as SocketStream;
    answer.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
      if (response.write(chunk)) return;
      answer.pause();
      source.hold(HoldReason.body);
    });
    response.on("drain", () => {
      source.release(HoldReason.body);
      answer.resume();
    });
    answer.on("end", () => {
      // The connection may serve another request.
      source.release(HoldReason.body);
      if (answer.complete) response.end();
      else broken();
    });
    answer.on("error", broken);
    answer.on("aborted", broken);
    answer.on("close", () => {
      if (!answer.complete) broken();
    });
    return true;
  }
}
