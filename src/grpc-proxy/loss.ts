// What a client is told when the connection to a member ends before its call.
import type { EndCause } from "../http2/stream.ts";
import { GrpcCode, type GrpcStatus } from "./grpc-status.ts";
import type { Method } from "./methods.ts";

/** How the member's stream ended. */
export interface Loss {
  readonly cause: EndCause;
  readonly reason: string;
  /** `host:port` of the member. */
  readonly member: string;
}

/** Whether a call may be sent again, if its response has not begun: it was not processed, or it changes nothing. */
export function isRepeatable(cause: EndCause, { isRead }: Method): boolean {
  return cause === "refused" || (cause === "lost" && isRead);
}

/** Returns the status of a call whose member's stream ended early. Clients resume after UNAVAILABLE. */
export function lossStatus({ cause, reason, member }: Loss, { isRead, type }: Method): GrpcStatus {
  if (cause === "malformed")
    return { code: GrpcCode.INTERNAL, message: `etcd-gateway: ${member} broke HTTP/2` };
  if (cause === "faulted")
    return { code: GrpcCode.INTERNAL, message: "etcd-gateway: internal error" };
  const mayHaveRun = cause === "lost" && !isRead && type === "unary";
  const hint = mayHaveRun ? "; the request may have been processed" : "";
  return {
    code: GrpcCode.UNAVAILABLE,
    message: `etcd-gateway: the connection to ${member} ended (${reason})${hint}`,
  };
}
