// Calls that wait because no member has a session. One failover serves all of them, and is
// repeated until a member connects or no call waits any more.
import type { Clock } from "../core/clock.ts";
import type { DialError } from "../net/dial-error.ts";
import { Failover, type FailoverCluster } from "../resolver/failover.ts";
import type { SessionHandle } from "./sessions.ts";

// Milliseconds between two failovers.
const RETRY_MS = 250;

// Endpoints that an error names.
const MAX_DESCRIBED = 3;

const NOTHING_UP = "no endpoint accepts connections";

export interface WaitingCallsParts {
  readonly clock: Clock;
  readonly cluster: FailoverCluster<SessionHandle>;
  readonly attemptDelayMs: () => number;
}

/** A call that waits until it has begun, `timedOut` was called, or the waiting is cancelled. */
export interface WaitingCall {
  /** A session may be there. Returns whether the call has begun; if not, it goes on waiting. */
  connected(): boolean;
  /** No session was there in time. `reason` says why. */
  timedOut(reason: string): void;
}

export class WaitingCalls {
  readonly #parts: WaitingCallsParts;
  /** Each with the function that cancels its timer. */
  readonly #calls = new Map<WaitingCall, () => void>();
  #isRetrying = false;
  #failover: Failover<SessionHandle> | undefined;
  #cancelTimer = () => {};
  #reason = NOTHING_UP;

  constructor(parts: WaitingCallsParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#calls.size;
  }

  /** Adds a call for at most `timeoutMs`. The function returned cancels it. */
  add(call: WaitingCall, timeoutMs: number): () => void {
    const cancelTimer = this.#parts.clock.after(timeoutMs, () => {
      this.#calls.delete(call);
      call.timedOut(this.#reason);
    });
    this.#calls.set(call, cancelTimer);
    this.#start();
    return () => {
      cancelTimer();
      this.#calls.delete(call);
    };
  }

  /** A session is there: calls begin, in the order in which they came, as long as it takes more. */
  release(): void {
    for (const [call, cancelTimer] of [...this.#calls]) {
      // One call may have ended another.
      if (!this.#calls.has(call)) continue;
      if (!call.connected()) break;
      cancelTimer();
      this.#calls.delete(call);
    }
    if (this.#calls.size > 0) this.#retryLater();
  }

  /** Stops dialling. Calls that wait get nothing more. May be called twice. */
  close(): void {
    for (const cancelTimer of this.#calls.values()) cancelTimer();
    this.#calls.clear();
    this.#cancelTimer();
    this.#failover?.abort();
    this.#failover = undefined;
  }

  #start(): void {
    if (this.#failover !== undefined || this.#isRetrying) return;
    const failover = new Failover<SessionHandle>(this.#parts, {
      connected: (_, endpoint) => {
        this.#failover = undefined;
        endpoint.release();
        this.release();
      },
      failed: (error) => this.#failed(error),
    });
    this.#failover = failover;
    failover.start();
  }

  /** Describes why no endpoint is up, for the first few. */
  #describePool(): string {
    const down = this.#parts.cluster.pool.endpoints
      .slice(0, MAX_DESCRIBED)
      .map(({ label, downReason = "no answer" }) =>
        // The error of a dial begins with the label.
        downReason.includes(label) ? downReason : `${label}: ${downReason}`,
      );
    return `${NOTHING_UP} (${down.join("; ")})`;
  }

  #failed(error: DialError | undefined): void {
    this.#failover = undefined;
    this.#reason = error?.message ?? this.#describePool();
    if (this.#calls.size > 0) this.#retryLater();
  }

  #retryLater(): void {
    if (this.#failover !== undefined || this.#isRetrying) return;
    this.#isRetrying = true;
    this.#cancelTimer = this.#parts.clock.after(RETRY_MS, () => {
      this.#isRetrying = false;
      if (this.#calls.size > 0) this.#start();
    });
  }
}
