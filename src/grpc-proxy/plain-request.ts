// A request over HTTP/2 that is not gRPC: curl, a scraper, a probe. Its body is dropped, and
// its answer counts as held until the client has read it.
import type { BufferedBytes } from "../http2/buffered-bytes.ts";
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import type { Stream, StreamListener } from "../http2/stream.ts";
import { bodyBytes } from "./http-answer.ts";
import type { HttpRoutes } from "./http-routes.ts";

export class PlainRequest implements StreamListener {
  readonly #stream: Stream;
  readonly #buffered: BufferedBytes;
  #unsentBytes = 0;

  constructor(stream: Stream, buffered: BufferedBytes) {
    this.#stream = stream;
    this.#buffered = buffered;
  }

  /** Answers it. Rejects if no answer can be made; the stream is reset then. */
  async answer(list: HeaderList, routes: HttpRoutes): Promise<void> {
    const stream = this.#stream;
    const method = headerValue(list, ":method")!;
    const [path] = headerValue(list, ":path")!.split("?", 1);
    try {
      const answer = await routes.answer(method, path!);
      // The client may have gone.
      if (!stream.isWritable) return;
      stream.headers([":status", String(answer.status), "content-type", answer.contentType]);
      const body = method === "HEAD" ? EMPTY : bodyBytes(answer);
      this.#hold(body.length);
      stream.write(body, true);
    } catch (error) {
      stream.reset();
      throw error;
    }
  }

  headers(): void {}

  data(chunk: Uint8Array): void {
    this.#stream.consumed(chunk.length);
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
    this.#buffered.add(bytes);
  }
}

const EMPTY = new Uint8Array(0);
