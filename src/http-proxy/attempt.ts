// One request on one connection to a member, until the head of its answer. It decides
// nothing about other attempts.
import http from "node:http";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { AgentOptions, MemberAgent } from "./members.ts";
import type { SocketStream } from "./socket-stream.ts";

export interface AttemptOptions {
  readonly endpoint: Endpoint;
  readonly agent: MemberAgent;
  /** A new connection; undefined: an idle one of the agent. */
  readonly connection: SocketStream | undefined;
  readonly method: string;
  /** A path and perhaps a query. */
  readonly target: string;
  readonly headers: readonly string[];
}

export interface AttemptListener {
  /** The head of the answer has arrived. */
  answered(answer: http.IncomingMessage, attempt: Attempt): void;
  /** There will be no answer. Not called after `answered` or `abort`. */
  failed(error: Error, attempt: Attempt): void;
  /** `write` may be called again. */
  drained(): void;
}

export class Attempt {
  readonly endpoint: Endpoint;
  readonly #options: AttemptOptions;
  readonly #listener: AttemptListener;
  #request: http.ClientRequest | undefined;
  #isSettled = false;

  /** Sends nothing; `start` does. */
  constructor(options: AttemptOptions, listener: AttemptListener) {
    this.endpoint = options.endpoint;
    this.#options = options;
    this.#listener = listener;
  }

  /** Whether the connection was used before, so that the member may just have closed it. */
  get isReused(): boolean {
    return this.#options.connection === undefined;
  }

  /** Sends the head with the first bytes of the body, or its end. May call `failed` before it returns. */
  start(): void {
    const { agent, connection, method, target, headers } = this.#options;
    const options: AgentOptions = {
      ...{ agent, method, path: target, headers, dialled: connection },
      setHost: false,
      // The member's own limit is 1 MiB, as Go's.
      maxHeaderSize: 1 << 20,
    };
    let request: http.ClientRequest;
    try {
      request = http.request(options);
    } catch (error) {
      connection?.abort();
      this.#fail(error as Error);
      return;
    }
    this.#request = request;
    request.maxHeadersCount = 0;
    request.on("response", (answer) => this.#answered(answer));
    request.on("upgrade", (_, socket) => {
      socket.destroy();
      this.#fail(new Error("the member switched protocols, which was not requested"));
    });
    request.on("error", (error) => this.#fail(error));
    request.on("close", () => this.#fail(new Error("connection closed")));
    request.on("drain", () => this.#listener.drained());
  }

  /** Returns false if the next chunk should wait for `drained`. */
  write(chunk: Uint8Array): boolean {
    return this.#request?.write(chunk) ?? true;
  }

  /** Ends the request. */
  end(chunk?: Uint8Array): void {
    if (chunk === undefined) this.#request?.end();
    else this.#request?.end(chunk);
  }

  /** Ends the request and its connection, also after the head of the answer. */
  abort(): void {
    this.#isSettled = true;
    this.#request?.destroy();
  }

  #answered(answer: http.IncomingMessage): void {
    if (this.#isSettled) {
      answer.destroy();
      return;
    }
    this.#isSettled = true;
    this.#listener.answered(answer, this);
  }

  #fail(error: Error): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#request?.destroy();
    this.#listener.failed(error, this);
  }
}
