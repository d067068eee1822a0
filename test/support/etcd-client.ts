// A typed client of etcd's gRPC API for tests, on one connection to a member or a proxy.
import type { SecureClientSessionOptions } from "node:http2";
import type { Rpc, Watch } from "./etcd-rpcs.ts";
import {
  type CallOptions,
  type GrpcAnswer,
  type GrpcCall,
  GrpcClient,
  type GrpcEnd,
  type GrpcMessage,
} from "./grpc-client.ts";
import type { Input, Message, Output } from "./protobuf.ts";

/** An answer with a status other than OK (0). */
export class GrpcError extends Error {
  constructor(readonly end: GrpcEnd) {
    super(`${end.status}: ${end.message}`);
  }
}

export class EtcdClient {
  /** Sent with each call. */
  token: string | undefined;
  readonly #grpc: GrpcClient;

  private constructor(grpc: GrpcClient) {
    this.#grpc = grpc;
  }

  static async connect(address: string, tls?: SecureClientSessionOptions): Promise<EtcdClient> {
    return new EtcdClient(await GrpcClient.connect(address, tls));
  }

  get grpc(): GrpcClient {
    return this.#grpc;
  }

  /** Calls a unary method. Rejects with a GrpcError unless the status is OK. */
  async call<Req extends Message<any>, Res extends Message<any>>(
    rpc: Rpc<Req, Res>,
    request: InputOf<Req> = {} as InputOf<Req>,
    options?: CallOptions,
  ): Promise<OutputOf<Res>> {
    const answer = await this.answer(rpc, request, options);
    if (answer.status !== 0) throw new GrpcError(answer);
    return decoded(rpc.response, answer.messages[0]!);
  }

  /** Calls a unary method; resolves with the answer as it came, whatever its status. */
  answer<Req extends Message<any>>(
    rpc: Rpc<Req, Message<any>>,
    request: InputOf<Req>,
    options?: CallOptions,
  ): Promise<GrpcAnswer> {
    return this.#grpc.unary(rpc.path, rpc.request.encode(request), this.#withToken(options));
  }

  /** Opens a stream. */
  open<Req extends Message<any>, Res extends Message<any>>(
    rpc: Rpc<Req, Res>,
    options?: CallOptions,
  ): EtcdStream<Req, Res> {
    return new EtcdStream(rpc, this.#grpc.call(rpc.path, this.#withToken(options)));
  }

  close(): void {
    this.#grpc.close();
  }

  #withToken(options: CallOptions = {}): CallOptions {
    if (this.token === undefined) return options;
    return { ...options, metadata: { token: this.token, ...options.metadata } };
  }
}

/** A stream of messages in each direction. */
export class EtcdStream<Req extends Message<any>, Res extends Message<any>> {
  readonly #rpc: Rpc<Req, Res>;

  constructor(
    rpc: Rpc<Req, Res>,
    readonly call: GrpcCall,
  ) {
    this.#rpc = rpc;
  }

  send(request: InputOf<Req>): void {
    this.call.send(this.#rpc.request.encode(request));
  }

  /** Takes the next message. Rejects with a GrpcError if the stream has ended instead. */
  async next(timeoutMs?: number): Promise<OutputOf<Res>> {
    const message = await this.call.next(timeoutMs);
    if (message === undefined) throw new GrpcError(this.call.end!);
    return decoded(this.#rpc.response, message);
  }

  halfClose(): void {
    this.call.halfClose();
  }

  cancel(): void {
    this.call.cancel();
  }

  ended(timeoutMs?: number): Promise<GrpcEnd> {
    return this.call.ended(timeoutMs);
  }
}

/** A stream of Watch.Watch. */
export type WatchStream = EtcdStream<typeof Watch.Watch.request, typeof Watch.Watch.response>;

type InputOf<M> = M extends Message<infer S> ? Input<S> : never;
type OutputOf<M> = M extends Message<infer S> ? Output<S> : never;

function decoded<M extends Message<any>>(
  response: M,
  { isCompressed, bytes }: GrpcMessage,
): OutputOf<M> {
  return response.decode(
    isCompressed ? Bun.gunzipSync(new Uint8Array(bytes)) : bytes,
  ) as OutputOf<M>;
}
