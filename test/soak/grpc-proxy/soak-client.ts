// A client of the soak: one connection to one of the proxies, opened again at any of them when
// it has ended. It never sends a call again.
import { EtcdClient, type EtcdStream } from "../../support/etcd-client.ts";
import type { Rpc } from "../../support/etcd-rpcs.ts";
import type { Input, Message, Output } from "../../support/protobuf.ts";
import { oneOf, type Random } from "../../support/random-input.ts";
import type { Reports } from "./reports.ts";

/** A client's patience, above the longest fault. A call without an answer then is a fault itself. */
const PATIENCE_MS = 30_000;
const PAUSE_MS = 50;

export interface ClientParts {
  readonly name: string;
  readonly random: Random;
  readonly reports: Reports;
  /** `host:port` of the proxies. */
  readonly proxies: readonly string[];
  /** One call of this many is cut with its connection; 0: none. */
  readonly resetEvery?: number;
}

type InputOf<M> = M extends Message<infer S> ? Input<S> : never;
type OutputOf<M> = M extends Message<infer S> ? Output<S> : never;

export class SoakClient {
  readonly name: string;
  /** Calls that ended with OK, of all clients. */
  static calls = 0;
  /** The longest time that a call took, in milliseconds. */
  static longestMs = 0;
  readonly #parts: ClientParts;
  #client: EtcdClient | undefined;
  /** Connections that it cuts: what fails on them proves nothing. */
  readonly #cut = new WeakSet<EtcdClient>();
  #proxy = "";

  constructor(parts: ClientParts) {
    this.name = parts.name;
    this.#parts = parts;
  }

  /** The proxy that it is connected to. */
  get proxy(): string {
    return this.#proxy;
  }

  /** Calls a unary method. Resolves with undefined if it failed, which is reported. */
  async call<Req extends Message<any>, Res extends Message<any>>(
    rpc: Rpc<Req, Res>,
    request: InputOf<Req>,
    what: string,
  ): Promise<OutputOf<Res> | undefined> {
    const client = await this.connected();
    const { reports, random, resetEvery = 0 } = this.#parts;
    const startedAt = performance.now();
    reports.operation(this.name, what);
    if (resetEvery > 0 && random(resetEvery) === 0) {
      this.#cut.add(client);
      setTimeout(() => client.close(), random(8));
    }

    const name = `${rpc.path.split("/")[2]} ${what}`;
    try {
      const call = client.grpc.call(rpc.path);
      call.send(rpc.request.encode(request));
      call.halfClose();
      const { status, message, messages } = await call.answer(PATIENCE_MS);
      SoakClient.longestMs = Math.max(SoakClient.longestMs, performance.now() - startedAt);
      if (status === 0) {
        SoakClient.calls++;
        return rpc.response.decode(messages[0]!.bytes) as OutputOf<Res>;
      }
      this.failed(name, { status, message }, startedAt);
    } catch (error) {
      // A call that could not begin: the proxy had said goodbye, or the connection was lost.
      const wasClosed = client.grpc.isClosed;
      const { message } = error as Error;
      if (!wasClosed) this.failed(name, { status: -1, message }, startedAt);
    }
    return undefined;
  }

  /** Opens a stream. */
  async open<Req extends Message<any>, Res extends Message<any>>(
    rpc: Rpc<Req, Res>,
  ): Promise<EtcdStream<Req, Res> | undefined> {
    const client = await this.connected();
    try {
      return client.open(rpc);
    } catch {
      return undefined;
    }
  }

  /** Reports a failure, unless this client has cut the connection. */
  failed(what: string, end: { status: number; message: string }, startedAt: number): void {
    const { status, message } = end;
    if (this.#client !== undefined && this.#cut.has(this.#client)) return;
    const { name: client, proxy } = this;
    this.#parts.reports.failed({ client, what, status, message, startedAt, proxy });
  }

  /** Resolves with an open connection, at a proxy that it chooses at random. */
  async connected(): Promise<EtcdClient> {
    while (this.#client?.grpc.isClosed !== false) {
      const startedAt = performance.now();
      this.#proxy = oneOf(this.#parts.random, this.#parts.proxies);
      try {
        this.#client = await EtcdClient.connect(this.#proxy);
      } catch (error) {
        this.failed("connect", { status: 14, message: (error as Error).message }, startedAt);
        await Bun.sleep(PAUSE_MS);
      }
    }
    return this.#client;
  }

  /** Cuts the connection; the next call opens another. */
  reset(): void {
    this.#client?.close();
  }
}
