// A gRPC server that stands in for etcd: it shows what a proxy sends upstream, and answers as a
// test wishes.
import http2 from "node:http2";
import type { Socket } from "node:net";
import {
  type Metadata,
  metadataOf,
  type GrpcMessage,
  MessageReader,
  framed,
} from "./grpc-client.ts";
import { until } from "./peer.ts";

type Answer = (call: UpstreamCall) => void;

/** A call as the server sees it. */
export class UpstreamCall {
  readonly messages: GrpcMessage[] = [];
  /** True once the client's side has ended the stream. */
  isHalfClosed = false;
  /** The code of RST_STREAM, 0 for an ordinary end; undefined while the call is open. */
  endCode: number | undefined;
  readonly #stream: http2.ServerHttp2Stream;
  #trailers: http2.OutgoingHttpHeaders | undefined;

  constructor(
    stream: http2.ServerHttp2Stream,
    readonly path: string,
    readonly metadata: Metadata,
    onMessage: (call: UpstreamCall) => void,
  ) {
    this.#stream = stream;
    const reader = new MessageReader((message) => {
      this.messages.push(message);
      onMessage(this);
    });
    stream.on("data", (chunk: Buffer) => reader.take(chunk));
    stream.on("end", () => {
      this.isHalfClosed = true;
    });
    stream.on("wantTrailers", () => stream.sendTrailers(this.#trailers!));
    stream.on("close", () => {
      this.endCode = stream.rstCode;
    });
  }

  /** Returns the values of a header. */
  values(name: string): string[] {
    return this.metadata.filter(([key]) => key === name).map(([, value]) => value);
  }

  /** Sends the headers, which every answer but trailers alone begins with. */
  respond(metadata: http2.OutgoingHttpHeaders = {}): void {
    const headers = { ":status": 200, "content-type": "application/grpc", ...metadata };
    this.#stream.respond(headers, { waitForTrailers: true });
  }

  send(message: Uint8Array, isCompressed = false): void {
    this.#stream.write(framed(message, isCompressed));
  }

  /** Ends the call with these trailers, after `respond`. */
  finish(trailers: http2.OutgoingHttpHeaders = { "grpc-status": "0" }): void {
    this.#trailers = trailers;
    this.#stream.end();
  }

  /** Answers with trailers alone. */
  refuse(trailers: http2.OutgoingHttpHeaders): void {
    const headers = { ":status": 200, "content-type": "application/grpc", ...trailers };
    this.#stream.respond(headers, { endStream: true });
  }

  /** Resolves with `endCode`. */
  async ended(): Promise<number> {
    await until(() => this.endCode !== undefined, "the call ended upstream");
    return this.endCode!;
  }
}

export class GrpcUpstream {
  /** The calls of KV.Put and of test services: a proxy makes others by itself. */
  readonly calls: UpstreamCall[] = [];
  readonly sessions = new Set<http2.ServerHttp2Session>();
  /** Called at the start of each call. */
  onCall: Answer = () => {};
  /** Called for each message. */
  onMessage: Answer = () => {};
  readonly #server: http2.Http2Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: http2.Http2Server) {
    this.#server = server;
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {});
    });
    server.on("session", (session) => {
      this.sessions.add(session);
      session.on("close", () => this.sessions.delete(session));
      session.on("error", () => {});
    });
    server.on("stream", (stream: http2.ServerHttp2Stream, headers, _flags, raw?: string[]) => {
      const path = headers[":path"]!;
      stream.on("error", () => {});
      if (!/^\/(test\.|etcdserverpb\.KV\/Put)/.test(path)) return;
      const onMessage = (call: UpstreamCall) => this.onMessage(call);
      const call = new UpstreamCall(stream, path, metadataOf(headers, raw), onMessage);
      this.calls.push(call);
      this.onCall(call);
    });
  }

  static async start(): Promise<GrpcUpstream> {
    const server = http2.createServer();
    const { promise, resolve } = Promise.withResolvers<void>();
    server.listen(0, "127.0.0.1", resolve);
    await promise;
    return new GrpcUpstream(server);
  }

  get address(): string {
    const address = this.#server.address() as { port: number };
    return `127.0.0.1:${address.port}`;
  }

  /** Resolves with the call number `index`. */
  async call(index = 0): Promise<UpstreamCall> {
    await until(() => this.calls.length > index, `call ${index} arrived upstream`);
    return this.calls[index]!;
  }

  /** Forgets the calls and how to answer them. */
  reset(): void {
    this.calls.length = 0;
    this.onCall = this.onMessage = () => {};
  }

  /** Sends GOAWAY on every connection, whose calls go on. */
  goAway(): void {
    for (const session of this.sessions) session.close();
  }

  /** Cuts every connection, without a word of HTTP/2. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
