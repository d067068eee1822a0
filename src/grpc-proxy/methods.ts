// The RPCs of etcd that the proxy knows by name, and the counters of all that it carried.
// A method that is not known passes as well.
import { METHODS } from "./namespace/etcd-methods.ts";

/** The type in the metrics of go-grpc-prometheus. */
export type MethodType = "unary" | "client_stream" | "server_stream" | "bidi_stream";

/** One RPC, and what was counted of it. */
export interface Method {
  /** Such as `etcdserverpb.KV`. */
  readonly service: string;
  /** Such as `Range`. */
  readonly name: string;
  readonly type: MethodType;
  /** Whether it changes nothing, so that it may be sent again if its answer was lost. */
  readonly isRead: boolean;
  /** Whether its calls go on until the client ends them, such as a watch. */
  readonly isEndless: boolean;
  started: number;
  /** Ended calls by gRPC code, from 0 to 16. */
  readonly handled: number[];
  messagesReceived: number;
  messagesSent: number;
  /** Bytes of messages that were handed on. */
  bytesReceived: number;
  bytesSent: number;
}

const READS = new Set([
  "/etcdserverpb.KV/Range",
  "/etcdserverpb.Lease/LeaseTimeToLive",
  "/etcdserverpb.Lease/LeaseLeases",
  "/etcdserverpb.Cluster/MemberList",
  "/etcdserverpb.Maintenance/Status",
  "/etcdserverpb.Maintenance/Hash",
  "/etcdserverpb.Maintenance/HashKV",
  "/etcdserverpb.Auth/AuthStatus",
  "/etcdserverpb.Auth/UserGet",
  "/etcdserverpb.Auth/UserList",
  "/etcdserverpb.Auth/RoleGet",
  "/etcdserverpb.Auth/RoleList",
  "/grpc.health.v1.Health/Check",
]);

const STREAMS: Readonly<Record<string, MethodType>> = {
  "/etcdserverpb.KV/RangeStream": "server_stream",
  "/etcdserverpb.Watch/Watch": "bidi_stream",
  "/etcdserverpb.Lease/LeaseKeepAlive": "bidi_stream",
  "/etcdserverpb.Maintenance/Snapshot": "server_stream",
  "/v3electionpb.Election/Observe": "server_stream",
  "/grpc.health.v1.Health/Watch": "server_stream",
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": "bidi_stream",
  "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "bidi_stream",
};

/** Streams that the server ends by itself. */
const FINITE_STREAMS = new Set([
  "/etcdserverpb.KV/RangeStream",
  "/etcdserverpb.Maintenance/Snapshot",
]);

// A client can invent names. Of those that etcd does not have, this many are counted each for
// itself if they look like one; all others are counted as one.
const MAX_INVENTED = 100;
const INVENTED = /^\/[\w.]{1,80}\/\w{1,80}$/;
const OTHER = "/unknown/unknown";

export class MethodTable {
  readonly #byPath = new Map<string, Method>();
  #invented = 0;

  /** Returns the method of a path, such as `/etcdserverpb.KV/Range`. */
  find(path: string): Method {
    const known = this.#byPath.get(path);
    if (known !== undefined) return known;
    const isInvented = !METHODS.has(path) && path !== OTHER;
    if (isInvented && (this.#invented >= MAX_INVENTED || !INVENTED.test(path)))
      return this.find(OTHER);
    if (isInvented) this.#invented++;

    const [, service = "unknown", name = "unknown"] = path.split("/");
    const method: Method = {
      service,
      name,
      type: STREAMS[path] ?? "unary",
      isRead: READS.has(path),
      isEndless: path in STREAMS && !FINITE_STREAMS.has(path),
      started: 0,
      handled: Array.from({ length: 17 }, () => 0),
      messagesReceived: 0,
      messagesSent: 0,
      bytesReceived: 0,
      bytesSent: 0,
    };
    this.#byPath.set(path, method);
    return method;
  }

  /** All methods that were called. */
  get all(): Iterable<Method> {
    return this.#byPath.values();
  }
}
