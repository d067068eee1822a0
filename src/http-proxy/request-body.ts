// The body of one request: kept as long as it is short, so that it can be sent again, or
// passed on as it comes. Never holds more than its limit.
import type { IncomingMessage } from "node:http";
import type { Framing } from "./headers.ts";
import { HoldReason, type SocketStream } from "./socket-stream.ts";

/** Where the body goes. */
export interface BodyReceiver {
  /** Returns false if the next chunk should wait until `resume`. */
  write(chunk: Uint8Array): boolean;
  end(): void;
}

export interface RequestBodyListener {
  /** More bytes than are allowed have come; the rest is not read. */
  tooLong(): void;
}

export class RequestBody {
  /** Bytes so far. */
  bytes = 0;
  /** 0: no limit. */
  maxBytes = 0;
  readonly framing: Framing;
  readonly #request: IncomingMessage;
  readonly #stream: SocketStream;
  readonly #listener: RequestBodyListener;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #isComplete = false;
  #isTooLong = false;
  #receiver: BodyReceiver | undefined;
  #whenKept: ((isWhole: boolean) => void) | undefined;
  #maxKeptBytes = 0;
  #isListening = false;

  /** Reads nothing yet. `stream` is the one of the request. */
  constructor(request: IncomingMessage, stream: SocketStream, listener: RequestBodyListener) {
    this.#request = request;
    this.#stream = stream;
    this.#listener = listener;
    this.framing = framingOf(request);
  }

  /** Whether everything has arrived. */
  get isComplete(): boolean {
    return this.#isComplete || this.framing === "none";
  }

  /** Whether its announced length is over the limit. */
  get isAnnouncedTooLong(): boolean {
    const { framing } = this;
    return typeof framing === "object" && this.#isOver(framing.length);
  }

  /** What has been kept, as one piece. */
  get kept(): Uint8Array {
    return this.#kept.length === 1 ? this.#kept[0]! : Buffer.concat(this.#kept);
  }

  /** Reads until the end, or until there are more than `maxBytes`; `done` is called once with whether it is whole. */
  keep(maxBytes: number, done: (isWhole: boolean) => void): void {
    this.#maxKeptBytes = maxBytes;
    this.#whenKept = done;
    this.#listen();
  }

  /** Passes on what was kept and what comes. */
  passTo(receiver: BodyReceiver): void {
    this.#receiver = receiver;
    const isFull = this.#keptBytes > 0 && !receiver.write(this.kept);
    this.#kept = [];
    if (this.isComplete) receiver.end();
    else {
      this.#listen();
      if (!isFull) this.resume();
    }
  }

  /** Reads on. */
  resume(): void {
    if (this.#isTooLong) return;
    this.#stream.release(HoldReason.body);
    this.#request.resume();
  }

  #pause(): void {
    this.#stream.hold(HoldReason.body);
    this.#request.pause();
  }

  /** Stops passing it on. What comes is dropped. */
  stop(): void {
    this.#receiver = undefined;
    this.#whenKept = undefined;
    if (!this.#isTooLong) this.#stream.release(HoldReason.body);
  }

  #listen(): void {
    if (this.#isListening) return;
    this.#isListening = true;
    this.#request.on("data", (chunk: Buffer) => this.#received(chunk));
    this.#request.on("end", () => this.#ended());
  }

  #received(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.#isTooLong) return;
    if (this.#isOver(this.bytes)) {
      this.#isTooLong = true;
      this.#pause();
      this.stop();
      this.#listener.tooLong();
      return;
    }
    if (this.#whenKept !== undefined) this.#keep(chunk);
    else if (this.#receiver?.write(chunk) === false) this.#pause();
  }

  #keep(chunk: Uint8Array): void {
    this.#kept.push(chunk);
    this.#keptBytes += chunk.length;
    if (this.#keptBytes <= this.#maxKeptBytes) return;
    this.#pause();
    this.#settle(false);
  }

  #ended(): void {
    this.#isComplete = true;
    this.#settle(true);
    this.#receiver?.end();
  }

  #settle(isWhole: boolean): void {
    const done = this.#whenKept;
    this.#whenKept = undefined;
    done?.(isWhole);
  }

  #isOver(bytes: number): boolean {
    return this.maxBytes > 0 && bytes > this.maxBytes;
  }
}

function framingOf({ headers }: IncomingMessage): Framing {
  if (headers["transfer-encoding"] !== undefined) return "chunked";
  const length = headers["content-length"];
  return length === undefined ? "none" : { length: Number(length) };
}
