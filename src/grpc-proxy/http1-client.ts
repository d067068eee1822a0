// A client that speaks HTTP/1.1 where gRPC clients connect: curl, a scraper, a probe. It
// reads one request without a body, answers it, and closes the connection.
import type { Clock } from "../core/clock.ts";
import type { BufferedBytes } from "../http2/buffered-bytes.ts";
import type { SocketOwner, TcpSocket } from "../net/tcp-socket.ts";
import { bodyBytes, type HttpAnswer, textAnswer } from "./http-answer.ts";
import type { HttpRoutes } from "./http-routes.ts";

// Of a request's head, as in Go's net/http (1 MiB there, for cookies that no client of ours has).
const MAX_HEAD_BYTES = 16 * 1024;
const TIMEOUT_MS = 10_000;

/** What a request begins with, as far as it has arrived. */
const METHOD = /^[A-Z]*( |$)/;

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  404: "Not Found",
  405: "Method Not Allowed",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

export interface Http1ClientParts {
  readonly routes: HttpRoutes;
  readonly clock: Clock;
  readonly buffered: BufferedBytes;
}

export class Http1Client implements SocketOwner {
  readonly #parts: Http1ClientParts;
  readonly #onClosed: () => void;
  #socket!: TcpSocket;
  #head = "";
  #state: "reading" | "answering" | "over" = "reading";
  /** Bytes of the answer that the kernel has not taken. They are counted as held. */
  #unwritten: Uint8Array = EMPTY;
  #cancelTimer = () => {};

  constructor(parts: Http1ClientParts, onClosed: () => void) {
    this.#parts = parts;
    this.#onClosed = onClosed;
  }

  opened(socket: TcpSocket): void {
    this.#socket = socket;
    this.#cancelTimer = this.#parts.clock.after(TIMEOUT_MS, () => socket.terminate());
  }

  received(chunk: Uint8Array): void {
    if (this.#state !== "reading") return;
    const from = Math.max(0, this.#head.length - 3);
    this.#head += Buffer.from(chunk).toString("latin1");
    const end = this.#head.indexOf("\r\n\r\n", from);
    if (!METHOD.test(this.#head)) this.#refuse();
    else if (end > MAX_HEAD_BYTES || (end < 0 && this.#head.length > MAX_HEAD_BYTES))
      this.#answer(plain(431));
    else if (end >= 0) void this.#serve(this.#head.split("\r\n", 1)[0]!);
  }

  async #serve(requestLine: string): Promise<void> {
    this.#state = "answering";
    const request = parseRequestLine(requestLine);
    if (request === undefined) {
      this.#refuse();
      return;
    }
    const { method, path } = request;
    try {
      this.#answer(await this.#parts.routes.answer(method, path), method === "HEAD");
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

  #answer(answer: HttpAnswer, isHead = false): void {
    if (this.#state === "over") return;
    this.#state = "answering";
    this.#head = "";
    const { status, contentType } = answer;
    const bytes = bodyBytes(answer);
    const head = [
      `HTTP/1.1 ${status} ${REASONS[status] ?? ""}`,
      `Content-Type: ${contentType}`,
      `Content-Length: ${bytes.length}`,
      "Connection: close",
    ].join("\r\n");
    this.#hold(Buffer.concat([Buffer.from(`${head}\r\n\r\n`), isHead ? EMPTY : bytes]));
    this.writable();
  }

  writable(): void {
    if (this.#unwritten.length === 0) return;
    const taken = this.#socket.write(this.#unwritten, 0, this.#unwritten.length);
    if (taken < 0) {
      this.#socket.terminate();
      return;
    }
    this.#hold(this.#unwritten.subarray(taken));
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
    this.#hold(EMPTY);
    this.#onClosed();
  }

  #hold(unwritten: Uint8Array): void {
    this.#parts.buffered.add(unwritten.length - this.#unwritten.length);
    this.#unwritten = unwritten;
  }
}

/**
 * Returns the method and the path without its query; undefined if it is not a request line. A
 * regular expression for it would take time quadratic in its length.
 */
function parseRequestLine(line: string): { method: string; path: string } | undefined {
  const [method = "", target = "", version = "", ...rest] = line.split(" ", 4);
  const isVersion = version === "HTTP/1.1" || version === "HTTP/1.0";
  if (rest.length > 0 || !isVersion || !target.startsWith("/") || !/^[A-Z]+$/.test(method))
    return undefined;
  const end = target.search(/[?#]/);
  return { method, path: end < 0 ? target : target.slice(0, end) };
}

function plain(status: number): HttpAnswer {
  return textAnswer(status, `${status} ${REASONS[status]}\n`);
}

const EMPTY = Buffer.alloc(0);
