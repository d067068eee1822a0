// What /status and /metrics expose of the gRPC proxy.
import type { ProxyStatus } from "../observe/status.ts";
import type { Method } from "./methods.ts";

/** `gateway` in /status. */
export interface GrpcProxyStatus extends ProxyStatus {
  /** Calls in progress. */
  readonly calls: number;
  readonly waitingCalls: number;
  /** Open connections to members. */
  readonly sessions: number;
  /** Every method that was called. */
  readonly methods: readonly Method[];
}
