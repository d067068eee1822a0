// Confines the keys of etcd's API to those with a prefix, which clients do not see: what
// etcd grpc-proxy's --namespace does (etcd client/v3/namespace), without decoding messages.
import { WireError } from "../../protobuf/wire-reader.ts";
import { GrpcCode } from "../grpc-status.ts";
import { Rejection, type Rewrite, type Rewriter } from "../message-pipe.ts";
import { type MethodRules, METHODS } from "./etcd-methods.ts";
import { MessageRewriter, NestingError } from "./message-rewriter.ts";

// grpc-go's words for a malformed message: of a unary request, and of any other.
const UNMARSHALLING = "grpc: error unmarshalling request";
const RECEIVED = "grpc: failed to unmarshal the received message";
/** etcd's answer to the nesting that it does not permit. */
const TOO_MANY_OPS = {
  code: GrpcCode.INVALID_ARGUMENT,
  message: "etcdserver: too many operations in txn request",
};

export interface NamespaceOptions {
  /**
   * Refuses calls that no prefix can confine (users, roles, members, snapshots, compaction and
   * more), and puts locks and elections into the namespace. Off, both are as in etcd's proxy.
   * Leases have no namespace in either mode: a client that guesses an id can revoke the lease.
   */
  readonly strict?: boolean;
}

/**
 * A namespace: the keys that start with `prefix`.
 *
 * It is as etcd's proxy has it, except that the end of the whole namespace is exact (see
 * `successorOf()`), that an empty key of a single operation is refused with etcd's code, and
 * that unknown fields and sort orders survive. An empty key in a transaction or a watch is the
 * prefix itself. Lease ids, revisions and counts are those of the whole store. If a later etcd
 * adds a field with a key to a known message, that field passes as it is.
 */
export class Namespace {
  readonly #rewriters = new Map<string, Rewriter>();

  /** `prefix` is raw bytes, at least one; no separator is added. */
  constructor(prefix: Uint8Array, { strict = false }: NamespaceOptions = {}) {
    const messages = new MessageRewriter(prefix);
    for (const [path, method] of METHODS) {
      const rewriter = strict
        ? strictRewriter(path, method, messages)
        : rewriterFor(method, messages);
      if (rewriter !== undefined) this.#rewriters.set(path, rewriter);
    }
  }

  /**
   * Returns how to rewrite the messages of an RPC; undefined if they pass as they are. The
   * functions return the argument itself if nothing changes, and throw only `Rejection`.
   */
  rewriterOf(path: string): Rewriter | undefined {
    return this.#rewriters.get(path);
  }

  /**
   * Whether the method exists in a release of etcd that was examined. Others must be refused
   * with UNIMPLEMENTED, since their messages may hold keys.
   */
  knows(path: string): boolean {
    return METHODS.has(path);
  }
}

function strictRewriter(
  path: string,
  method: MethodRules,
  messages: MessageRewriter,
): Rewriter | undefined {
  const { strict } = method;
  if (strict === undefined || !("refuses" in strict))
    return rewriterFor({ ...method, ...strict }, messages);

  const refusal = {
    code: GrpcCode.PERMISSION_DENIED,
    message: `etcd-gateway: ${path} is not confined to the namespace; refused by --namespace-strict`,
  };
  const request = (message: Uint8Array): Uint8Array => {
    if (strict.refuses(message)) throw new Rejection(refusal);
    return message;
  };
  return { request: rejecting(request, requestText(method)) };
}

function rewriterFor(method: MethodRules, messages: MessageRewriter): Rewriter | undefined {
  const { request, response } = method;
  if (request === undefined && response === undefined) return undefined;
  return {
    ...(request && {
      request: rejecting((message) => messages.rewrite(request, message), requestText(method)),
    }),
    ...(response && {
      response: rejecting((message) => messages.rewrite(response, message), RECEIVED),
    }),
  };
}

/** Returns `rewrite` with `Rejection` as its only error. `malformed` goes before a `WireError`. */
function rejecting(rewrite: Rewrite, malformed: string): Rewrite {
  return (message) => {
    try {
      return rewrite(message);
    } catch (error) {
      if (error instanceof NestingError && malformed === UNMARSHALLING)
        throw new Rejection(TOO_MANY_OPS);
      if (!(error instanceof WireError)) throw error;
      throw new Rejection({ code: GrpcCode.INTERNAL, message: `${malformed}: ${error.message}` });
    }
  };
}

function requestText({ isStreaming = false }: MethodRules): string {
  return isStreaming ? RECEIVED : UNMARSHALLING;
}
