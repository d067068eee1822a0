// A gRPC client for tests on node:http2. It shows what a client library hides: raw messages,
// every header and trailer, and how a stream ended.
import http2 from "node:http2";
import { until } from "./peer.ts";

/** Names and values in the order of the wire; a name may occur more than once. */
export type Metadata = readonly (readonly [name: string, value: string])[];

export interface CallOptions {
  /** Sent after the headers that gRPC requires. */
  readonly metadata?: Readonly<Record<string, string | string[]>>;
}

/** A message with its prefix. */
export interface GrpcMessage {
  readonly isCompressed: boolean;
  readonly bytes: Buffer;
}

/** How a call ended. */
export interface GrpcEnd {
  /** Undefined if the answer consists of trailers only, or there was none. */
  readonly headers: Metadata | undefined;
  /** Empty if the stream ended without trailers. */
  readonly trailers: Metadata;
  /** From the trailers; else the one that gRPC assigns to the code of the reset. */
  readonly status: number;
  /** From the trailers, percent-decoded. */
  readonly message: string;
  /** The code of RST_STREAM; 0 (NO_ERROR) if there was none. */
  readonly resetCode: number;
}

export interface GrpcAnswer extends GrpcEnd {
  readonly messages: readonly GrpcMessage[];
}

/** The statuses of streams that were reset; INTERNAL (13) for all other codes. */
const STATUS_OF_RESET: Readonly<Record<number, number>> = { 7: 14, 8: 1, 11: 8, 12: 7 };

/** Headers that differ between two equal answers. */
const VOLATILE = new Set(["date"]);

/** One connection. */
export class GrpcClient {
  readonly #session: http2.ClientHttp2Session;
  #error: Error | undefined;

  private constructor(url: string, options: http2.SecureClientSessionOptions) {
    this.#session = http2.connect(url, options);
    this.#session.on("error", (error: Error) => {
      this.#error = error;
    });
  }

  /** Connects to `host:port`; over TLS with the given options. Rejects if the dial fails. */
  static async connect(
    address: string,
    tls?: http2.SecureClientSessionOptions,
  ): Promise<GrpcClient> {
    const client = new GrpcClient(
      `${tls === undefined ? "http" : "https"}://${address}`,
      tls ?? {},
    );
    const session = client.#session;
    const isSettled = () => !session.connecting || session.destroyed || session.closed;
    await until(isSettled, `a connection to ${address} was open`);
    if (session.destroyed || session.closed) throw client.#error ?? new Error("not connected");
    return client;
  }

  /** True once the connection has ended, or ends after the calls in flight (GOAWAY). */
  get isClosed(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  /** Starts a call of any kind. */
  call(path: string, { metadata = {} }: CallOptions = {}): GrpcCall {
    const required = { ":method": "POST", ":path": path, "content-type": "application/grpc" };
    const headers = { ...required, te: "trailers", ...metadata };
    return new GrpcCall(this.#session, this.#session.request(headers));
  }

  /** Sends one message and reads the whole answer. */
  async unary(path: string, request: Uint8Array, options?: CallOptions): Promise<GrpcAnswer> {
    const call = this.call(path, options);
    call.send(request);
    call.halfClose();
    return await call.answer();
  }

  /** Cuts the connection with everything on it. May be called twice. */
  close(): void {
    this.#session.destroy();
  }
}

/** One call: a stream of messages in each direction. */
export class GrpcCall {
  /** Undefined until the call has ended. */
  end: GrpcEnd | undefined;
  /** Undefined until the first headers have arrived. */
  headers: Metadata | undefined;
  readonly #session: http2.ClientHttp2Session;
  readonly #stream: http2.ClientHttp2Stream;
  readonly #messages: GrpcMessage[] = [];
  /** Waits that check their condition when something has arrived. */
  readonly #waits = new Set<() => void>();
  #trailers: Metadata = [];

  constructor(session: http2.ClientHttp2Session, stream: http2.ClientHttp2Stream) {
    this.#session = session;
    this.#stream = stream;
    stream.on("response", (headers, flags, raw?: string[]) => {
      const isTrailersOnly = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      if (isTrailersOnly) this.#trailers = metadataOf(headers, raw);
      else this.headers = metadataOf(headers, raw);
    });
    stream.on("trailers", (headers, _flags, raw?: string[]) => {
      this.#trailers = metadataOf(headers, raw);
    });
    const reader = new MessageReader((message) => this.#messages.push(message));
    stream.on("data", (chunk: Buffer) => {
      reader.take(chunk);
      this.#wake();
    });
    // What matters of an error is in `resetCode`.
    stream.on("error", () => {});
    // With trailers, the server has ended the call, whatever the client has still to send.
    stream.on("end", () => {
      if (this.#trailers.length > 0) this.#close();
    });
    stream.on("close", () => this.#close());
  }

  /** Sends a message; with `isCompressed`, one that the caller has compressed. */
  send(message: Uint8Array, isCompressed = false): void {
    this.#stream.write(framed(message, isCompressed));
  }

  /** Sends bytes as they are, which need not be a message. */
  sendRaw(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  halfClose(): void {
    this.#stream.end();
  }

  /** Resets the stream as a client that cancels. */
  cancel(): void {
    this.#stream.close(http2.constants.NGHTTP2_CANCEL);
  }

  /** The number of messages that have arrived and were not taken. */
  get waiting(): number {
    return this.#messages.length;
  }

  /** Takes the next message; undefined if the call has ended. Rejects after `timeoutMs`. */
  async next(timeoutMs = 10_000): Promise<GrpcMessage | undefined> {
    const isReady = () => this.#messages.length > 0 || this.end !== undefined;
    await this.#until(isReady, "a message arrived or the call ended", timeoutMs);
    return this.#messages.shift();
  }

  /** Resolves once the call has ended. */
  async ended(timeoutMs = 10_000): Promise<GrpcEnd> {
    await this.#until(() => this.end !== undefined, "the call ended", timeoutMs);
    return this.end!;
  }

  /** Resolves once the call has ended, with all messages that were not taken. */
  async answer(timeoutMs?: number): Promise<GrpcAnswer> {
    return { ...(await this.ended(timeoutMs)), messages: this.#messages.splice(0) };
  }

  /** As `until`, without polling: thousands of streams may wait at the same time. */
  #until(isReady: () => boolean, what: string, timeoutMs: number): Promise<void> {
    if (isReady()) return Promise.resolve();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error(`timed out waiting until ${what}`)), timeoutMs);
    const check = () => void (isReady() && resolve());
    this.#waits.add(check);
    return promise.finally(() => {
      clearTimeout(timer);
      this.#waits.delete(check);
    });
  }

  #wake(): void {
    for (const check of this.#waits) check();
  }

  #close(): void {
    if (this.end !== undefined) return;
    const resetCode = this.#stream.rstCode ?? 0;
    const value = (name: string) => this.#trailers.find(([key]) => key === name)?.[1];
    const isCut = this.#session.destroyed;
    this.end = {
      headers: this.headers,
      trailers: this.#trailers,
      status: Number(value("grpc-status") ?? (isCut ? 14 : (STATUS_OF_RESET[resetCode] ?? 13))),
      message: percentDecoded(value("grpc-message") ?? ""),
      resetCode,
    };
    if (!this.#stream.closed) this.#stream.close(http2.constants.NGHTTP2_NO_ERROR);
    this.#wake();
  }
}

/** Cuts a stream of bytes into messages. */
export class MessageReader {
  readonly #onMessage: (message: GrpcMessage) => void;
  #chunks: Buffer[] = [];
  #size = 0;
  /** The bytes that the message needs, as far as is known. */
  #needed = 5;

  constructor(onMessage: (message: GrpcMessage) => void) {
    this.#onMessage = onMessage;
  }

  take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (this.#size >= this.#needed) {
      const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
      const end = 5 + all.readUInt32BE(1);
      const isWhole = all.length >= end;
      if (isWhole) this.#onMessage({ isCompressed: all[0] === 1, bytes: all.subarray(5, end) });
      this.#chunks = [isWhole ? all.subarray(end) : all];
      this.#size = this.#chunks[0]!.length;
      this.#needed = isWhole ? 5 : end;
    }
  }
}

/** Returns a message with its prefix. */
export function framed(message: Uint8Array, isCompressed: boolean): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(isCompressed ? 1 : 0, 0);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Returns headers as pairs, sorted by name; `raw` is what node:http2 passes as the last argument. */
export function metadataOf(headers: http2.IncomingHttpHeaders, raw?: string[]): Metadata {
  const pairs: [string, string][] = [];
  const flat = raw ?? Object.entries(headers).flat().map(String);
  for (let i = 0; i < flat.length; i += 2)
    if (!VOLATILE.has(flat[i]!)) pairs.push([flat[i]!, flat[i + 1]!]);
  // The order of different names has no meaning.
  return pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** Decodes `grpc-message`, whose bytes outside printable ASCII are percent-encoded UTF-8. */
function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
