// A request over HTTP/2 that is not gRPC: curl, a scraper, a probe. Its body is dropped, and
// its answer counts as held until the client has read it.
import type { BufferedBytes } from "../http2/buffered-bytes.ts";
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import type { Stream, StreamListener } from "../http2/stream.ts";
import { bodyBytes } from "./http-answer.ts";
import type { HttpRoutes } from "./http-routes.ts";

/** What a plain request uses of its proxy. */
export interface PlainRequestParts {
  readonly routes: HttpRoutes;
  readonly buffered: BufferedBytes;
  /** No answer could be made; the stream was reset. */
  readonly faulted: (error: unknown) => void;
}

export class PlainRequest implements StreamListener {
  readonly #stream: Stream;
  readonly #list: HeaderList;
  readonly #parts: PlainRequestParts;
  #unsentBytes = 0;

  constructor(stream: Stream, list: HeaderList, parts: PlainRequestParts) {
    this.#stream = stream;
    this.#list = list;
    this.#parts = parts;
  }

  /** The request is complete. Before that, an answer would hide what is wrong with the rest. */
  ended(): void {
    this.#answer().catch((error: unknown) => {
      this.#stream.reset();
      this.#parts.faulted(error);
    });
  }

  async #answer(): Promise<void> {
    const stream = this.#stream;
    const method = headerValue(this.#list, ":method")!;
    const [path] = headerValue(this.#list, ":path")!.split("?", 1);
    const answer = await this.#parts.routes.answer(method, path!);
    // The client may have gone.
    if (!stream.isWritable) return;
    stream.headers([":status", String(answer.status), "content-type", answer.contentType]);
    const body = method === "HEAD" ? EMPTY : bodyBytes(answer);
    this.#hold(body.length);
    stream.write(body, true);
  }

  headers(_trailers: HeaderList, isEnd: boolean): void {
    if (isEnd) this.ended();
  }

  data(chunk: Uint8Array, isEnd: boolean): void {
    this.#stream.consumed(chunk.length);
    if (isEnd) this.ended();
  }

  sent(bytes: number): void {
    this.#hold(-bytes);
  }

  closed(): void {
    this.#hold(-this.#unsentBytes);
  }

  /** Counts `bytes` of the answer (may be negative). */
  #hold(bytes: number): void {
    this.#unsentBytes += bytes;
    this.#parts.buffered.add(bytes);
  }
}

const EMPTY = new Uint8Array(0);
