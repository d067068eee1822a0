// A client of the proxies during a fault: one connection, which it opens again when it has ended,
// and a token that it requests again when etcd rejects it. It repeats no other call.
import { EtcdClient, type EtcdStream } from "../../support/etcd-client.ts";
import { Auth, type Rpc } from "../../support/etcd-rpcs.ts";
import type { GrpcEnd } from "../../support/grpc-client.ts";
import type { Input, Message, Output } from "../../support/protobuf.ts";
import { CLIENT_TIMEOUT_MS } from "../post.ts";

export interface Login {
  readonly name: string;
  readonly password: string;
}

type InputOf<M> = M extends Message<infer S> ? Input<S> : never;
type OutputOf<M> = M extends Message<infer S> ? Output<S> : never;

export interface Answer<T> {
  /** Undefined for success; else a code of gRPC, `refused`, `cut` or `timeout`. */
  readonly failure: string | undefined;
  readonly response?: T;
  /** On performance.now()'s clock, as is `endedAt`. */
  readonly startedAt: number;
  readonly endedAt: number;
}

const CODES =
  "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED".split(
    " ",
  );
const UNAUTHENTICATED = 16;

/** Names how a call ended, if not well. */
export function failureOf({ status, trailers }: GrpcEnd): string | undefined {
  if (trailers.length === 0) return "cut";
  return status === 0 ? undefined : CODES[status];
}

export class FaultClient {
  readonly #address: string;
  readonly #login: Login | undefined;
  #client: EtcdClient | undefined;
  #token: string | undefined;
  #isClosed = false;

  constructor(address: string, login?: Login) {
    this.#address = address;
    this.#login = login;
  }

  /** Calls a unary method. Never rejects. */
  async call<Req extends Message<any>, Res extends Message<any>>(
    rpc: Rpc<Req, Res>,
    request: InputOf<Req>,
  ): Promise<Answer<OutputOf<Res>>> {
    const startedAt = performance.now();
    const over = (failure?: string) => ({ failure, startedAt, endedAt: performance.now() });
    try {
      let call = await this.#send(rpc, request);
      let end = await call.ended(CLIENT_TIMEOUT_MS);
      if (end.status === UNAUTHENTICATED && this.#login !== undefined) {
        this.#token = undefined;
        call = await this.#send(rpc, request);
        end = await call.ended(CLIENT_TIMEOUT_MS);
      }
      const failure = failureOf(end);
      if (failure !== undefined) return over(failure);
      const [message] = (await call.answer()).messages;
      return { ...over(), response: rpc.response.decode(message!.bytes) as OutputOf<Res> };
    } catch (error) {
      const { message } = error as Error;
      return over(message.includes("timed out") ? "timeout" : "refused");
    }
  }

  /** Opens a stream. Rejects if there is no connection. */
  async open<Req extends Message<any>, Res extends Message<any>>(
    rpc: Rpc<Req, Res>,
  ): Promise<EtcdStream<Req, Res>> {
    return (await this.#connected()).open(rpc);
  }

  /** Requests another token with the next call. */
  renewToken(): void {
    this.#token = undefined;
  }

  close(): void {
    this.#isClosed = true;
    this.#client?.close();
  }

  async #send<Req extends Message<any>>(rpc: Rpc<Req, Message<any>>, request: InputOf<Req>) {
    const client = await this.#connected();
    const metadata = client.token === undefined ? {} : { token: client.token };
    const call = client.grpc.call(rpc.path, { metadata });
    call.send(rpc.request.encode(request));
    call.halfClose();
    return call;
  }

  async #connected(): Promise<EtcdClient> {
    if (this.#isClosed) throw new Error("closed");
    if (this.#client?.grpc.isClosed !== false)
      this.#client = await EtcdClient.connect(this.#address);
    const client = this.#client;
    if (this.#login !== undefined && this.#token === undefined) {
      client.token = undefined;
      this.#token = (await client.call(Auth.Authenticate, this.#login)).token;
    }
    client.token = this.#token;
    return client;
  }
}
