// The methods of etcd 3.4 to 3.8, and what a namespace does with their messages.
import { VARINT, WireReader } from "../../protobuf/wire-reader.ts";
import * as shapes from "./etcd-shapes.ts";
import type { Shape } from "./shape.ts";

/** The messages of a method to be rewritten; the others pass as they are. */
interface Shapes {
  readonly request?: Shape;
  readonly response?: Shape;
}

export interface MethodRules extends Shapes {
  /** Whether either side may send several messages, which changes the wording of errors. */
  readonly isStreaming?: boolean;
  /** What differs in strict mode. */
  readonly strict?: Shapes | { readonly refuses: (request: Uint8Array) => boolean };
}

/** Calls that no prefix can confine to the namespace. */
const refused: MethodRules = { strict: { refuses: () => true } };
const passed: MethodRules = {};

const kv: Record<string, MethodRules> = {
  Range: { request: shapes.RANGE_REQUEST, response: shapes.RANGE_RESPONSE },
  RangeStream: {
    request: shapes.RANGE_REQUEST,
    response: shapes.RANGE_STREAM_RESPONSE,
    isStreaming: true,
  },
  Put: { request: shapes.PUT_REQUEST, response: shapes.PUT_RESPONSE },
  DeleteRange: { request: shapes.DELETE_RANGE_REQUEST, response: shapes.DELETE_RANGE_RESPONSE },
  Txn: { request: shapes.TXN_REQUEST, response: shapes.TXN_RESPONSE },
  Compact: refused,
};

const watch: Record<string, MethodRules> = {
  Watch: { request: shapes.WATCH_REQUEST, response: shapes.WATCH_RESPONSE, isStreaming: true },
};

// A lease does not tell to which namespace it belongs, so the leases of others can be revoked
// and renewed in strict mode too, by a client that guesses their ids.
const lease: Record<string, MethodRules> = {
  LeaseGrant: passed,
  LeaseRevoke: passed,
  LeaseKeepAlive: { isStreaming: true },
  LeaseTimeToLive: { response: shapes.LEASE_TIME_TO_LIVE_RESPONSE },
  LeaseLeases: refused,
};

const cluster: Record<string, MethodRules> = {
  MemberAdd: refused,
  MemberRemove: refused,
  MemberUpdate: refused,
  MemberList: passed,
  MemberPromote: refused,
};

const maintenance: Record<string, MethodRules> = {
  Alarm: { strict: { refuses: changesAlarms } },
  Status: passed,
  Defragment: refused,
  Hash: refused,
  HashKV: refused,
  Snapshot: { ...refused, isStreaming: true },
  MoveLeader: refused,
  Downgrade: refused,
};

const auth: Record<string, MethodRules> = {
  AuthEnable: refused,
  AuthDisable: refused,
  AuthStatus: passed,
  Authenticate: passed,
  UserAdd: refused,
  UserGet: refused,
  UserList: refused,
  UserDelete: refused,
  UserChangePassword: refused,
  UserGrantRole: refused,
  UserRevokeRole: refused,
  RoleAdd: refused,
  RoleGet: refused,
  RoleList: refused,
  RoleDelete: refused,
  RoleGrantPermission: refused,
  RoleRevokePermission: refused,
};

// Without strict mode, locks and elections have the names that etcd's own proxy gives them, so
// that clients of both exclude each other.
const lock: Record<string, MethodRules> = {
  Lock: { strict: { request: shapes.LOCK_REQUEST, response: shapes.LOCK_RESPONSE } },
  Unlock: { strict: { request: shapes.UNLOCK_REQUEST } },
};

const election: Record<string, MethodRules> = {
  Campaign: { strict: { request: shapes.CAMPAIGN_REQUEST, response: shapes.CAMPAIGN_RESPONSE } },
  Proclaim: { strict: { request: shapes.PROCLAIM_REQUEST } },
  Leader: { strict: { request: shapes.LEADER_REQUEST, response: shapes.LEADER_RESPONSE } },
  Observe: {
    strict: { request: shapes.LEADER_REQUEST, response: shapes.LEADER_RESPONSE },
    isStreaming: true,
  },
  Resign: { strict: { request: shapes.RESIGN_REQUEST } },
};

const health: Record<string, MethodRules> = {
  Check: passed,
  List: passed,
  Watch: { isStreaming: true },
};
const reflection: Record<string, MethodRules> = { ServerReflectionInfo: { isStreaming: true } };

const services: Record<string, Record<string, MethodRules>> = {
  "etcdserverpb.KV": kv,
  "etcdserverpb.Watch": watch,
  "etcdserverpb.Lease": lease,
  "etcdserverpb.Cluster": cluster,
  "etcdserverpb.Maintenance": maintenance,
  "etcdserverpb.Auth": auth,
  "v3lockpb.Lock": lock,
  "v3electionpb.Election": election,
  "grpc.health.v1.Health": health,
  "grpc.reflection.v1.ServerReflection": reflection,
  "grpc.reflection.v1alpha.ServerReflection": reflection,
};

/** All methods by their path, such as "/etcdserverpb.KV/Range". */
export const METHODS: ReadonlyMap<string, MethodRules> = new Map(
  Object.entries(services).flatMap(([service, methods]) =>
    Object.entries(methods).map(([name, method]): [string, MethodRules] => [
      `/${service}/${name}`,
      method,
    ]),
  ),
);

/** Whether an AlarmRequest activates or deactivates an alarm. Its action 0 lists the alarms. */
function changesAlarms(request: Uint8Array): boolean {
  const reader = new WireReader();
  reader.open(request);
  let isChange = false;
  while (reader.next("AlarmRequest")) {
    if (reader.number !== 1 || reader.wireType !== VARINT) reader.skip();
    else if (reader.readVarint() !== 0) isChange = true;
  }
  return isChange;
}
