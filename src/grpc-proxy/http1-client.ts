// A client that speaks HTTP/1.1 where gRPC clients connect: curl, a scraper, a probe. It
// reads one request without a body, answers it, and closes the connection.
import type { Clock } from "../core/clock.ts";
import type { SocketOwner, TcpSocket } from "../net/tcp-socket.ts";
import { type HttpAnswer, textAnswer } from "./http-answer.ts";
import type { HttpRoutes } from "./http-routes.ts";

// Of a request's head, as in Go's net/http (1 MiB there, for cookies that no client of ours has).
const MAX_HEAD_BYTES = 16 * 1024;
const TIMEOUT_MS = 10_000;

/** What a request begins with, as far as it has arrived. */
const METHOD = /^[A-Z]+( |$)/;

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  404: "Not Found",
  405: "Method Not Allowed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

export class Http1Client implements SocketOwner {
  readonly #routes: HttpRoutes;
  readonly #clock: Clock;
  readonly #onClosed: () => void;
  #socket!: TcpSocket;
  #head = "";
  #state: "reading" | "answering" | "over" = "reading";
  /** Bytes of the answer that the kernel has not taken. */
  #unwritten = EMPTY;
  #cancelTimer = () => {};

  constructor(routes: HttpRoutes, clock: Clock, onClosed: () => void) {
    this.#routes = routes;
    this.#clock = clock;
    this.#onClosed = onClosed;
  }

  opened(socket: TcpSocket): void {
    this.#socket = socket;
    this.#cancelTimer = this.#clock.after(TIMEOUT_MS, () => socket.terminate());
  }

  received(chunk: Uint8Array): void {
    if (this.#state !== "reading") return;
    this.#head += Buffer.from(chunk).toString("latin1");
    const end = this.#head.indexOf("\r\n\r\n");
    if (!METHOD.test(this.#head)) this.#refuse();
    else if (end < 0 && this.#head.length > MAX_HEAD_BYTES) this.#answer(plain(431));
    else if (end >= 0) void this.#serve(this.#head.slice(0, end));
  }

  async #serve(head: string): Promise<void> {
    this.#state = "answering";
    const match = /^([A-Z]+) (\/[^ ?#]*)[^ ]* HTTP\/1\.[01]$/.exec(head.split("\r\n", 1)[0]!);
    if (match === null) {
      this.#refuse();
      return;
    }
    const [, method, path] = match;
    try {
      this.#answer(await this.#routes.answer(method!, path!), method === "HEAD");
    } catch {
      this.#answer(plain(500));
    }
  }

  /** Neither HTTP/2 nor HTTP/1: closes without an answer, as etcd's proxy does. */
  #refuse(): void {
    this.#state = "answering";
    // The timer ends it if the peer does not close.
    this.#socket.shutdown();
  }

  #answer({ status, contentType, body }: HttpAnswer, isHead = false): void {
    if (this.#state === "over") return;
    this.#state = "answering";
    const bytes = Buffer.from(body);
    const head = [
      `HTTP/1.1 ${status} ${REASONS[status] ?? ""}`,
      `Content-Type: ${contentType}`,
      `Content-Length: ${bytes.length}`,
      "Connection: close",
    ].join("\r\n");
    this.#unwritten = Buffer.concat([Buffer.from(`${head}\r\n\r\n`), isHead ? EMPTY : bytes]);
    this.writable();
  }

  writable(): void {
    if (this.#unwritten.length === 0) return;
    const taken = this.#socket.write(this.#unwritten, 0, this.#unwritten.length);
    if (taken < 0) {
      this.#socket.terminate();
      return;
    }
    this.#unwritten = this.#unwritten.subarray(taken);
    // The peer closes when it has read the answer; the timer ends it otherwise.
    if (this.#unwritten.length === 0) this.#socket.shutdown();
  }

  /** A client that has sent its request may close its side and wait. */
  ended(): void {
    if (this.#state === "reading") this.#socket.terminate();
  }

  closed(): void {
    this.#state = "over";
    this.#cancelTimer();
    this.#onClosed();
  }
}

function plain(status: number): HttpAnswer {
  return textAnswer(status, `${status} ${REASONS[status]}\n`);
}

const EMPTY = Buffer.alloc(0);
