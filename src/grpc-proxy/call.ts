// One call: a stream of a client, joined with a stream of a member. Bytes pass unopened in
// both directions; headers, trailers and resets pass as the member sent them. It sends the
// request again if the member did not process it; it does not choose the member.
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import { ErrorCode } from "../http2/protocol.ts";
import type { EndCause, Stream } from "../http2/stream.ts";
import {
  codeOf,
  codeOfReset,
  GrpcCode,
  type GrpcStatus,
  parseTimeout,
  statusTrailers,
} from "./grpc-status.ts";
import type { LoggedCall } from "./call-log.ts";
import type { ActiveCall, CallParts, CallRequest } from "./call-parts.ts";
import type { TimedCall } from "./deadlines.ts";
import { Direction, type Sink } from "./direction.ts";
import { isRepeatable, lossStatus } from "./loss.ts";
import { KeptRequest } from "./kept-request.ts";
import type { Rewriter } from "./message-pipe.ts";
import { MemberSide } from "./member-side.ts";
import type { Method } from "./methods.ts";
import {
  isReadOnly,
  linearized,
  NO_NEWER_MEMBER,
  OrderedAnswer,
  type OrderedCall,
  type RevisionFloor,
} from "./ordering.ts";
import type { Session } from "./session.ts";
import type { WaitingCall } from "./waiting-calls.ts";

/** `waiting`: for a session. `open`: a member has it. `responding`: its response has begun. */
type State = "waiting" | "open" | "responding" | "over";

// How long a call waits for a session. Clients retry, so they need not wait for long.
const MAX_WAIT_MS = 3000;

export class Call implements ActiveCall, Sink, OrderedCall, TimedCall, WaitingCall {
  readonly method: Method;
  readonly sender: CallRequest["client"];
  /** The gRPC code, once the call is over. */
  code = GrpcCode.OK as number;
  readonly #client: Stream;
  readonly #list: HeaderList;
  readonly #parts: CallParts;
  #state: State = "waiting";
  #session: Session | undefined;
  #member: Stream | undefined;
  /** The tick of its deadline; undefined: it has none. */
  #deadline: number | undefined;
  #cancelWait: (() => void) | undefined;
  readonly #request: KeptRequest;
  readonly #rewriter: Rewriter | undefined;
  readonly #floor: RevisionFloor | undefined;
  readonly #toMember: Direction;
  readonly #toClient: Direction;

  constructor(client: Stream, method: Method, request: CallRequest, parts: CallParts) {
    const { list, isEnd, rewriter, floor } = request;
    const { maxSendBytes, maxRecvBytes } = parts.limits;
    this.#client = client;
    this.method = method;
    this.#list = list;
    this.#request = new KeptRequest(isEnd);
    this.#parts = parts;
    this.#rewriter = rewriter;
    this.#floor = floor;
    this.sender = request.client;
    this.#toMember = new Direction("send", maxSendBytes, method, this);
    this.#toClient = new Direction("receive", maxRecvBytes, method, client);
    if (rewriter?.request !== undefined)
      this.#toMember.rewriteWith(rewriter.request, headerValue(list, "grpc-encoding"));
  }

  /** Sends the call to a member, or waits for one. */
  start(refusal: GrpcStatus | undefined): void {
    this.method.started++;
    this.#toMember.onMessage = this.#parts.log.lineOf("client", this.method, this.sender);
    this.#toClient.onMessage = this.#parts.log.lineOf("member", this.method, this.sender);
    if (refusal !== undefined) {
      this.fail(refusal);
      return;
    }
    const timeoutMs = parseTimeout(headerValue(this.#list, "grpc-timeout"));
    if (timeoutMs !== undefined) this.#deadline = this.#parts.deadlines.add(this, timeoutMs);
    this.#forward();
  }

  get logged(): LoggedCall {
    const [endpoint, client] = [this.#session?.endpoint.label, this.sender.address];
    const { openedAt: startedAt } = this.#client;
    const [requestBytes, responseBytes] = [this.#toMember.sentBytes, this.#toClient.sentBytes];
    const { method, code } = this;
    return { method, client, endpoint, code, requestBytes, responseBytes, startedAt };
  }

  /** Bytes of both directions that are held: for their receiver, or until their message is complete. */
  get bufferedBytes(): number {
    return this.#client.bufferedBytes + this.responseHeldBytes;
  }

  get responseHeldBytes(): number {
    return this.#member?.bufferedBytes ?? 0;
  }

  /** For the buffer limit: bytes that were handed on so far. */
  progress(): number | undefined {
    return this.#toMember.sentBytes + this.#toClient.sentBytes;
  }

  /** For the buffer limit: ends a call whose receiver has stalled. */
  terminate(): void {
    this.#member?.reset(ErrorCode.CANCEL);
    this.#client.reset(ErrorCode.ENHANCE_YOUR_CALM);
    this.#end(GrpcCode.RESOURCE_EXHAUSTED);
    this.#dropResponse();
  }

  fail(status: GrpcStatus): void {
    if (this.#state === "over") return;
    const isWhole = this.#state !== "responding";
    this.#member?.reset(ErrorCode.CANCEL);
    this.#client.end(statusTrailers(status, isWhole));
    this.#end(status.code);
  }

  #forward(): void {
    if (this.connected()) return;
    this.#state = "waiting";
    const cancel = this.#parts.wait(this, MAX_WAIT_MS);
    if (this.#state === "waiting") this.#cancelWait = cancel;
  }

  #open(session: Session): void {
    this.#state = "open";
    this.#session = session;
    session.endpoint.acquire();
    const events = this.#floor === undefined ? this : new OrderedAnswer(this, this.#floor);
    const member = session.open(this.#list, this.#request.isEmpty, new MemberSide(events));
    this.#member = member;
    this.#request.sendTo(member);
  }

  expired(): void {
    this.fail({ code: GrpcCode.DEADLINE_EXCEEDED, message: "context deadline exceeded" });
  }

  /** The answer was older than what the client has seen. */
  repeat(): boolean {
    const path = headerValue(this.#list, ":path")!;
    const { bytes } = this.#request;
    if (!isReadOnly(path, bytes)) return false;
    this.#member!.reset(ErrorCode.CANCEL);
    this.#member!.release();
    if (this.#request.mayRepeat) {
      this.#request.replace(linearized(path, bytes) ?? bytes);
      this.#retry();
    } else this.fail(NO_NEWER_MEMBER);
    return true;
  }

  #retry(): void {
    this.#session!.endpoint.release();
    this.#session = undefined;
    this.#member = undefined;
    this.#forward();
  }

  // While it waits.

  connected(): boolean {
    const session = this.#parts.pick();
    if (session !== undefined) this.#open(session);
    return session !== undefined;
  }

  timedOut(reason: string): void {
    this.fail({ code: GrpcCode.UNAVAILABLE, message: `etcd-gateway: ${reason}` });
  }

  // The events of the client's stream.

  headers(_trailers: HeaderList, isEnd: boolean): void {
    // A request has no trailers in gRPC; they are dropped.
    if (isEnd) this.data(EMPTY, true);
  }

  data(chunk: Uint8Array, isEnd: boolean): void {
    if (this.#state === "over") {
      this.#client.consumed(chunk.length);
      return;
    }
    const fault = this.#toMember.received(chunk, isEnd);
    if (fault !== undefined) this.fail(fault);
    else this.memberSent(0);
  }

  /** For its own direction only: sends bytes of the request. */
  write(chunk: Uint8Array, isEnd: boolean): void {
    if (this.#state === "over") return;
    this.#request.isComplete = isEnd;
    this.#request.add(chunk, this.#state !== "waiting");
    if (this.#state !== "waiting") this.#member!.write(chunk, isEnd);
  }

  sent(bytes: number): void {
    this.#toClient.sent(bytes, this.#member!, this.#client);
    if (this.#state === "over" && this.#client.pendingBytes === 0) this.#dropResponse();
  }

  closed(cause: EndCause): void {
    this.#member?.reset(ErrorCode.CANCEL);
    this.#end(cause === "faulted" ? GrpcCode.INTERNAL : GrpcCode.CANCELLED);
    this.#client.release();
    this.#dropResponse();
  }

  // The events of the member's stream.

  memberSent(bytes: number): void {
    this.#toMember.sent(bytes, this.#client, this.#member);
  }

  memberHeaders(list: HeaderList, isEnd: boolean): void {
    this.#request.drop();
    if (isEnd) {
      this.#client.end(list);
      this.#end(codeOf(list));
    } else {
      this.#state = "responding";
      this.#client.headers(list);
      const rewrite = this.#rewriter?.response;
      if (rewrite !== undefined)
        this.#toClient.rewriteWith(rewrite, headerValue(list, "grpc-encoding"));
    }
  }

  memberData(chunk: Uint8Array, isEnd: boolean): void {
    const fault = this.#toClient.received(chunk, isEnd);
    if (fault !== undefined) this.fail(fault);
    else this.#toClient.sent(0, this.#member!, this.#client);
    // A response without trailers is not gRPC's; the client decides what to make of it.
    if (isEnd) this.#end(GrpcCode.UNKNOWN);
  }

  memberClosed(cause: EndCause, code: number, reason: string): void {
    if (this.#state === "over") return;
    if (this.#request.mayRepeat && isRepeatable(cause, this.method)) this.#retry();
    else if (cause === "reset") {
      this.#client.reset(code);
      this.#end(codeOfReset(code));
    } else
      this.fail(lossStatus({ cause, reason, member: this.#session!.endpoint.label }, this.method));
  }

  #end(code: number): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#cancelWait?.();
    if (this.#deadline !== undefined) this.#parts.deadlines.remove(this, this.#deadline);
    this.#request.drop();
    this.code = code;
    this.method.handled[code]!++;
    this.#session?.endpoint.release();
    // The rest of the request is not wanted; of the response, the client may still read.
    this.#member?.reset(ErrorCode.NO_ERROR);
    this.#client.release();
    if (this.#client.pendingBytes === 0) this.#member?.release();
    this.#parts.ended(this);
  }

  /** The client has read all of the response, or reads no more of it. */
  #dropResponse(): void {
    this.#member?.release();
    this.#parts.emptied(this);
  }
}

const EMPTY = new Uint8Array(0);
