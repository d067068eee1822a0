// The calls in progress, and what all of them share: methods, deadlines, limits and memory.
import type { Clock } from "../core/clock.ts";
import type { GrpcProxyConfig } from "../core/grpc-proxy-config.ts";
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import type { Stream, StreamListener } from "../http2/stream.ts";
import { BufferLimit, type BufferLimitListener } from "../net/buffer-limit.ts";
import type { Logger } from "../observe/log.ts";
import { Call } from "./call.ts";
import { CallLog, type CallLogConfig } from "./call-log.ts";
import type { ActiveCall, CallMaker, CallParts } from "./call-parts.ts";
import { Deadlines } from "./deadlines.ts";
import type { GrpcStatus } from "./grpc-status.ts";
import type { Rewriter } from "./message-pipe.ts";
import { type HoldingClient, MemoryCeiling, type MemoryHolders } from "./memory-ceiling.ts";
import { MethodTable } from "./methods.ts";
import { isOrdered, type RevisionFloor } from "./ordering.ts";
import type { Session } from "./session.ts";
import type { WaitingCall } from "./waiting-calls.ts";

/** Where calls find sessions, and how their messages are rewritten. */
export interface CallRouting {
  pick(): Session | undefined;
  wait(call: WaitingCall, timeoutMs: number): () => void;
  rewriterOf(path: string): Rewriter | undefined;
  /** Returns who makes the calls of an RPC; undefined: they are passed through. */
  makerOf(path: string): CallMaker | undefined;
  /** Returns the status with which an RPC is refused; undefined: it is forwarded. */
  refusalOf(path: string): GrpcStatus | undefined;
}

/** The part of the configuration that calls use. */
export type CallsConfig = CallLogConfig &
  Pick<GrpcProxyConfig, "hasSerializableOrdering" | "maxBufferBytes" | "messages">;

/** Who calls. */
export interface CallingClient extends HoldingClient, RevisionFloor {
  /** Its address; undefined if the connection is lost. */
  readonly address: string | undefined;
}

/** A request of a client. */
export interface ClientRequest {
  readonly list: HeaderList;
  /** Whether it has no body. */
  readonly isEnd: boolean;
}

export class Calls implements BufferLimitListener, CallParts, MemoryHolders {
  readonly methods = new MethodTable();
  readonly deadlines: Deadlines;
  readonly log: CallLog;
  /** Counts the bytes that are held for peers that read slowly. */
  readonly bufferLimit: BufferLimit<ActiveCall>;
  /** The same, with a ceiling for all clients together. */
  readonly memory: MemoryCeiling;
  readonly #log: Logger;
  readonly #calls = new Set<ActiveCall>();
  /** Calls that end by themselves, which are all but watches and their like, until their answer is read. */
  #finite = 0;
  #onFinished = () => {};
  /** Calls that are over, and whose client has not read all of the response. */
  readonly #unread = new Set<ActiveCall>();
  #config: CallsConfig;
  #routing: CallRouting | undefined;
  #clients: Iterable<HoldingClient> = [];

  constructor(config: CallsConfig, clock: Clock, log: Logger) {
    this.#config = config;
    this.#log = log;
    this.log = new CallLog(config, clock, log);
    this.deadlines = new Deadlines(clock);
    this.bufferLimit = new BufferLimit(clock, this);
    this.memory = new MemoryCeiling(this.bufferLimit, this);
  }

  /** `clients`: all that are connected, at any time. */
  start(routing: CallRouting, clients: Iterable<HoldingClient>): void {
    this.#routing = routing;
    this.#clients = clients;
    this.memory.setLimit(this.#config.maxBufferBytes);
    this.bufferLimit.start(this.#config.maxBufferBytes, this);
  }

  /** Applies another configuration to calls that begin from now on. */
  reconfigure(config: CallsConfig): void {
    this.#config = config;
    this.log.reconfigure(config);
    this.bufferLimit.setLimit(config.maxBufferBytes);
    this.memory.setLimit(config.maxBufferBytes);
  }

  get count(): number {
    return this.#calls.size;
  }

  /** Begins a call. Returns who receives the events of the client's stream. */
  begin(stream: Stream, { list, isEnd }: ClientRequest, client: CallingClient): StreamListener {
    const path = headerValue(list, ":path")!;
    const { hasSerializableOrdering } = this.#config;
    const floor = hasSerializableOrdering && isOrdered(path) ? client : undefined;
    const rewriter = this.#routing!.rewriterOf(path);
    const method = this.methods.find(path);
    const request = { list, isEnd, rewriter, floor, client };
    const call =
      this.#routing!.makerOf(path)?.(stream, method, request, this) ??
      new Call(stream, method, request, this);
    this.#calls.add(call);
    if (!call.method.isEndless) this.#finite++;
    call.start(this.#routing!.refusalOf(path));
    return call;
  }

  /** Calls that end by themselves, and are in progress or have an answer that was not read. */
  get finiteCount(): number {
    return this.#finite;
  }

  /** Resolves when there is no such call. */
  whenFinished(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onFinished = resolve;
    if (this.#finite === 0) resolve();
    return promise;
  }

  /** Ends all calls with a status. */
  fail(status: GrpcStatus): void {
    for (const call of [...this.#calls]) call.fail(status);
  }

  /** Clears the timers. May be called twice. */
  close(): void {
    this.deadlines.close();
    this.bufferLimit.close();
  }

  // What calls use.

  get limits(): CallsConfig["messages"] {
    return this.#config.messages;
  }

  pick(): Session | undefined {
    return this.#routing!.pick();
  }

  wait(call: WaitingCall, timeoutMs: number): () => void {
    return this.#routing!.wait(call, timeoutMs);
  }

  ended(call: ActiveCall): void {
    this.#calls.delete(call);
    if (this.log.hasCalls) this.log.ended(call.logged);
    if (call.bufferedBytes > 0) this.#unread.add(call);
    else this.#finished(call);
  }

  emptied(call: ActiveCall): void {
    if (this.#unread.delete(call)) this.#finished(call);
  }

  #finished({ method }: ActiveCall): void {
    if (!method.isEndless && --this.#finite === 0) this.#onFinished();
  }

  holdersEnded(calls: number, bufferedBytes: number): void {
    this.#log.warn("over --max-buffer-memory: reset calls whose receiver does not read", {
      calls,
      buffered: bufferedBytes,
    });
  }

  // For the ceiling.

  get clients(): Iterable<HoldingClient> {
    return this.#clients;
  }

  get calls(): Iterable<ActiveCall> {
    return this.keys();
  }

  clientsEnded(clients: number, bufferedBytes: number): void {
    this.#log.warn("over twice --max-buffer-memory: closed the clients for which most is held", {
      clients,
      buffered: bufferedBytes,
    });
  }

  /** For the buffer limit: the calls that may hold bytes. */
  *keys(): IterableIterator<ActiveCall> {
    yield* this.#calls;
    yield* this.#unread;
  }
}
