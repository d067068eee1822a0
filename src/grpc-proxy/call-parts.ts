// What a call is given: its client's request, and what it uses of the proxy.
import type { HeaderList } from "../http2/header-list.ts";
import type { CallLog } from "./call-log.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Rewriter } from "./message-pipe.ts";
import type { HoldingClient } from "./memory-ceiling.ts";
import type { RevisionFloor } from "./ordering.ts";
import type { Session } from "./session.ts";
import type { WaitingCall } from "./waiting-calls.ts";

/** What a call uses of its proxy. */
export interface CallParts<Call> {
  /** Returns a session for the call; undefined if no member has one. */
  pick(): Session | undefined;
  /** Waits for a session. The function returned cancels that. */
  wait(call: WaitingCall, timeoutMs: number): () => void;
  readonly deadlines: Deadlines;
  readonly log: CallLog;
  /** The largest messages that pass, in bytes. */
  readonly limits: { readonly maxSendBytes: number; readonly maxRecvBytes: number };
  /** The call is over. Bytes of its response may still wait for the client. */
  ended(call: Call): void;
  /** No bytes of a call that is over wait any more. */
  emptied(call: Call): void;
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
