// How the calls of each RPC are carried: which sessions they find, how their messages are
// rewritten, which RPCs are refused, and which the proxy answers itself.
import type { CallMaker } from "./call-parts.ts";
import type { CallRouting } from "./calls.ts";
import { GrpcCode, type GrpcStatus } from "./grpc-status.ts";
import type { Members } from "./members/members.ts";
import type { Rewriter } from "./message-pipe.ts";
import type { Namespace } from "./namespace/namespace.ts";
import type { Session } from "./session.ts";
import type { Upstream } from "./upstream.ts";
import type { WaitingCall } from "./waiting-calls.ts";

export interface CallRoutesParts {
  readonly upstream: Upstream;
  readonly members: Members;
  readonly namespace: Namespace | undefined;
  /** By path. Calls of other RPCs are passed through. */
  readonly makers: ReadonlyMap<string, CallMaker>;
}

export class CallRoutes implements CallRouting {
  readonly #parts: CallRoutesParts;

  constructor(parts: CallRoutesParts) {
    this.#parts = parts;
  }

  pick(): Session | undefined {
    return this.#parts.upstream.pick();
  }

  wait(call: WaitingCall, timeoutMs: number): () => void {
    return this.#parts.upstream.wait(call, timeoutMs);
  }

  rewriterOf(path: string): Rewriter | undefined {
    return this.#parts.members.rewriterOf(path) ?? this.#parts.namespace?.rewriterOf(path);
  }

  makerOf(path: string): CallMaker | undefined {
    return this.#parts.makers.get(path);
  }

  refusalOf(path: string): GrpcStatus | undefined {
    if (this.#parts.namespace?.knows(path) !== false) return undefined;
    const [, service, method] = path.split("/");
    // Its messages may hold keys, which would not be confined.
    const message = `etcd-gateway: method ${method} of service ${service} is unknown, and --namespace is set`;
    return { code: GrpcCode.UNIMPLEMENTED, message };
  }
}
