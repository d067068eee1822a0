// One call: a stream of a client, joined with a stream of a member. Bytes pass unopened in
// both directions; headers, trailers and resets pass as the member sent them. It sends the
// request again if the member did not process it; it does not choose the member.
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import { ErrorCode } from "../http2/protocol.ts";
import type { EndCause, Stream, StreamListener } from "../http2/stream.ts";
import {
  codeOf,
  codeOfReset,
  GrpcCode,
  type GrpcStatus,
  parseTimeout,
  statusTrailers,
  tooLarge,
} from "./grpc-status.ts";
import { Credit } from "./credit.ts";
import type { Deadlines, TimedCall } from "./deadlines.ts";
import { KeptRequest } from "./kept-request.ts";
import { MessagePipe, Rejection, type Rewrite } from "./message-pipe.ts";
import { MemberSide, type MemberEvents } from "./member-side.ts";
import { MessageScanner } from "./message-scanner.ts";
import type { Method } from "./methods.ts";
import type { Session } from "./session.ts";
import type { WaitingCall } from "./waiting-calls.ts";

/** What a call uses of its proxy. */
export interface CallParts {
  /** Returns a session for the call; undefined if no member has one. */
  pick(): Session | undefined;
  /** Waits for a session. The function returned cancels that. */
  wait(call: WaitingCall, timeoutMs: number): () => void;
  readonly deadlines: Deadlines;
  /** The largest messages that pass, in bytes. */
  readonly limits: { readonly maxSendBytes: number; readonly maxRecvBytes: number };
  /** The call is over. Bytes of its response may still be on their way to the client. */
  ended(call: Call): void;
}

/** How the messages of a call are rewritten; none: they pass unopened. */
export interface Rewriter {
  readonly request?: Rewrite | undefined;
  readonly response?: Rewrite | undefined;
}

/** A call as its client began it. */
export interface CallRequest {
  readonly list: HeaderList;
  /** Whether it has no body. */
  readonly isEnd: boolean;
  readonly rewriter: Rewriter | undefined;
}

/** `waiting`: for a session. `open`: a member has it. `responding`: its response has begun. */
type State = "waiting" | "open" | "responding" | "over";

// How long a call waits for a session. Clients retry, so they need not wait for long.
const MAX_WAIT_MS = 5000;

// Members that one call is sent to.
const MAX_ATTEMPTS = 3;

export class Call implements StreamListener, MemberEvents, TimedCall, WaitingCall {
  readonly method: Method;
  /** The gRPC code, once the call is over. */
  code = GrpcCode.OK as number;
  readonly #client: Stream;
  readonly #list: HeaderList;
  readonly #parts: CallParts;
  #state: State = "waiting";
  #session: Session | undefined;
  #member: Stream | undefined;
  #attempts = 0;
  /** The tick of its deadline; undefined: it has none. */
  #deadline: number | undefined;
  #cancelWait = () => {};
  readonly #request: KeptRequest;
  readonly #requestCredit = new Credit();
  readonly #responseCredit = new Credit();
  readonly #rewriter: Rewriter | undefined;
  #requestPipe: MessagePipe | undefined;
  #responsePipe: MessagePipe | undefined;
  readonly #requestScanner = new MessageScanner();
  readonly #responseScanner = new MessageScanner();

  constructor(client: Stream, method: Method, request: CallRequest, parts: CallParts) {
    const { list, isEnd, rewriter } = request;
    this.#client = client;
    this.method = method;
    this.#list = list;
    this.#request = new KeptRequest(isEnd);
    this.#parts = parts;
    this.#rewriter = rewriter;
    if (rewriter?.request !== undefined) {
      const encoding = headerValue(list, "grpc-encoding");
      this.#requestPipe = new MessagePipe(rewriter.request, encoding, parts.limits.maxSendBytes);
    }
  }

  /** Sends the call to a member, or waits for one. */
  start(): void {
    this.method.started++;
    const timeoutMs = parseTimeout(headerValue(this.#list, "grpc-timeout"));
    if (timeoutMs !== undefined) this.#deadline = this.#parts.deadlines.add(this, timeoutMs);
    this.#forward();
  }

  /** The member that serves the call. */
  get endpointLabel(): string | undefined {
    return this.#session?.endpoint.label;
  }

  /** Ends the call with a status of the proxy's own. */
  fail(status: GrpcStatus): void {
    if (this.#state === "over") return;
    const isWhole = this.#state !== "responding";
    this.#member?.reset(ErrorCode.CANCEL);
    this.#client.end(statusTrailers(status, isWhole));
    this.#end(status.code);
  }

  #forward(): void {
    const session = this.#parts.pick();
    if (session !== undefined) {
      this.#open(session);
      return;
    }

    this.#state = "waiting";
    const cancel = this.#parts.wait(this, MAX_WAIT_MS);
    if (this.#state === "waiting") this.#cancelWait = cancel;
  }

  #open(session: Session): void {
    this.#state = "open";
    this.#attempts++;
    this.#session = session;
    session.endpoint.acquire();
    const { chunks, isComplete } = this.#request;
    const isEmpty = chunks.length === 0 && isComplete;
    const member = session.open(this.#list, isEmpty, new MemberSide(this));
    this.#member = member;
    for (const [i, chunk] of chunks.entries())
      member.write(chunk, isComplete && i === chunks.length - 1);
    this.#request.dropIfLarge();
  }

  expired(): void {
    this.fail({ code: GrpcCode.DEADLINE_EXCEEDED, message: "context deadline exceeded" });
  }

  // While it waits.

  connected(): void {
    this.#cancelWait = () => {};
    if (this.#state === "waiting") this.#forward();
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
    this.#requestCredit.received(chunk.length);
    const messages = this.#requestScanner.scan(chunk, this.#parts.limits.maxSendBytes);
    if (messages < 0) {
      this.fail(tooLarge("send", -messages, this.#parts.limits.maxSendBytes));
      return;
    }

    this.method.messagesReceived += messages;
    if (this.#requestPipe === undefined) this.#sendRequest(chunk, isEnd);
    else {
      for (const message of this.#rewritten(this.#requestPipe, chunk))
        this.#sendRequest(message, false);
      if (isEnd) this.#sendRequest(EMPTY, true);
    }
    this.memberSent(0);
  }

  #sendRequest(chunk: Uint8Array, isEnd: boolean): void {
    if (this.#state === "over") return;
    this.#request.isComplete = isEnd;
    this.#request.add(chunk, this.#state !== "waiting");
    if (this.#state !== "waiting") this.#member!.write(chunk, isEnd);
  }

  /** Returns the messages that a pipe completes; a message that cannot pass ends the call. */
  #rewritten(pipe: MessagePipe, chunk: Uint8Array): readonly Uint8Array[] {
    try {
      return pipe.push(chunk);
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      this.fail({ code: error.code, message: error.message });
      return [];
    }
  }

  sent(bytes: number): void {
    const isAllSent = this.#responsePipe !== undefined && this.#client.pendingBytes === 0;
    this.#responseCredit.settle(this.#member!, bytes, isAllSent);
  }

  closed(): void {
    this.#member?.reset(ErrorCode.CANCEL);
    this.#client.release();
    this.#end(GrpcCode.CANCELLED);
  }

  // The events of the member's stream.

  memberSent(bytes: number): void {
    const isAllSent =
      this.#requestPipe !== undefined &&
      this.#member !== undefined &&
      this.#member.pendingBytes === 0;
    this.#requestCredit.settle(this.#client, bytes, isAllSent);
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
      if (rewrite === undefined) return;
      const encoding = headerValue(list, "grpc-encoding");
      this.#responsePipe = new MessagePipe(rewrite, encoding, this.#parts.limits.maxRecvBytes);
    }
  }

  memberData(chunk: Uint8Array, isEnd: boolean): void {
    const messages = this.#responseScanner.scan(chunk, this.#parts.limits.maxRecvBytes);
    if (messages < 0) {
      this.fail(tooLarge("receive", -messages, this.#parts.limits.maxRecvBytes));
      return;
    }
    this.method.messagesSent += messages;
    this.#responseCredit.received(chunk.length);
    if (this.#responsePipe === undefined) this.#client.write(chunk, isEnd);
    else {
      for (const message of this.#rewritten(this.#responsePipe, chunk)) this.#client.write(message);
      this.sent(0);
      if (isEnd) this.#client.end();
    }
    // A response without trailers is not gRPC's; the client decides what to make of it.
    if (isEnd) this.#end(GrpcCode.UNKNOWN);
  }

  memberClosed(cause: EndCause, code: number, reason: string): void {
    if (this.#state === "over") return;
    const isUnprocessed = cause === "refused" || (cause === "lost" && this.method.isRead);
    const mayRepeat = this.#state === "open" && this.#attempts < MAX_ATTEMPTS;
    if (isUnprocessed && mayRepeat && this.#request.isKept) {
      this.#session!.endpoint.release();
      this.#session = undefined;
      this.#member = undefined;
      this.#forward();
    } else if (cause === "reset") {
      this.#client.reset(code);
      this.#end(codeOfReset(code));
    } else this.fail(this.#lossStatus(cause, reason));
  }

  #lossStatus(cause: EndCause, reason: string): GrpcStatus {
    const member = this.endpointLabel;
    if (cause === "malformed")
      return { code: GrpcCode.INTERNAL, message: `etcd-gateway: ${member} broke HTTP/2` };
    const mayHaveRun = cause === "lost" && !this.method.isRead && this.method.type === "unary";
    const hint = mayHaveRun ? "; the request may have been processed" : "";
    return {
      code: GrpcCode.UNAVAILABLE,
      message: `etcd-gateway: the connection to ${member} ended (${reason})${hint}`,
    };
  }

  #end(code: number): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#cancelWait();
    if (this.#deadline !== undefined) this.#parts.deadlines.remove(this, this.#deadline);
    this.#request.drop();
    this.code = code;
    this.method.handled[code]!++;
    this.#session?.endpoint.release();
    this.#parts.ended(this);
  }
}

const EMPTY = new Uint8Array(0);
