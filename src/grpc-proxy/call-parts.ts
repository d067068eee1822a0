// What a call is given, and what all calls have in common, however they are carried: passed
// through to one member, or merged with the calls of other clients.
import type { BufferedBytes } from "../http2/buffered-bytes.ts";
import type { HeaderList } from "../http2/header-list.ts";
import type { Stream, StreamListener } from "../http2/stream.ts";
import type { BufferHolder } from "../net/buffer-limit.ts";
import type { CallLog, LoggedCall } from "./call-log.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Rewriter } from "./message-pipe.ts";
import type { GrpcStatus } from "./grpc-status.ts";
import type { HoldingCall, HoldingClient } from "./memory-ceiling.ts";
import type { Method } from "./methods.ts";
import type { RevisionFloor } from "./ordering.ts";
import type { Session } from "./session.ts";
import type { WaitingCall } from "./waiting-calls.ts";

/** What a call uses of its proxy. */
export interface CallParts {
  /** Returns a session for the call; undefined if no member has one. */
  pick(): Session | undefined;
  /** Waits for a session. The function returned cancels that. */
  wait(call: WaitingCall, timeoutMs: number): () => void;
  readonly deadlines: Deadlines;
  readonly log: CallLog;
  /** Counts what a call itself holds for its client. */
  readonly memory: BufferedBytes;
  /** The largest messages that pass, in bytes. */
  readonly limits: { readonly maxSendBytes: number; readonly maxRecvBytes: number };
  /** The call is over. Bytes of its response may still wait for the client. */
  ended(call: ActiveCall): void;
  /** No bytes of a call that is over wait any more. */
  emptied(call: ActiveCall): void;
}

/** A call as its client began it. */
export interface CallRequest {
  readonly list: HeaderList;
  /** Whether it has no body. */
  readonly isEnd: boolean;
  readonly rewriter: Rewriter | undefined;
  /** What its client has seen; undefined: answers are not ordered. */
  readonly floor: RevisionFloor | undefined;
  /** Who sent it. */
  readonly client: HoldingClient & { readonly address: string | undefined };
}

/** A call in progress, which receives the events of its client's stream. */
export interface ActiveCall extends StreamListener, BufferHolder, HoldingCall {
  readonly method: Method;
  /** What the access log says of the call. */
  readonly logged: LoggedCall;
  /** Begins the call; with a refusal, ends it at once. Called once. */
  start(refusal: GrpcStatus | undefined): void;
  /** Ends the call with a status of the proxy's own. Does nothing if it is over. */
  fail(status: GrpcStatus): void;
}

/** Makes the call that carries a client's stream; undefined: the call is passed through. */
export type CallMaker = (
  client: Stream,
  method: Method,
  request: CallRequest,
  parts: CallParts,
) => ActiveCall | undefined;
