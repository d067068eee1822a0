// The methods of etcd's gRPC API: their paths and messages.
import * as m from "./etcd-messages.ts";
import type { Message } from "./protobuf.ts";

/** A method, unary or streaming. */
export interface Rpc<Request extends Message<any>, Response extends Message<any>> {
  /** `"/etcdserverpb.KV/Range"` */
  readonly path: string;
  readonly request: Request;
  readonly response: Response;
}

export type AnyRpc = Rpc<Message<any>, Message<any>>;

function rpc<Request extends Message<any>, Response extends Message<any>>(
  path: string,
  request: Request,
  response: Response,
): Rpc<Request, Response> {
  return { path: `/${path}`, request, response };
}

export const KV = {
  Range: rpc("etcdserverpb.KV/Range", m.RangeRequest, m.RangeResponse),
  /** Since 3.7. */
  RangeStream: rpc("etcdserverpb.KV/RangeStream", m.RangeRequest, m.RangeStreamResponse),
  Put: rpc("etcdserverpb.KV/Put", m.PutRequest, m.PutResponse),
  DeleteRange: rpc("etcdserverpb.KV/DeleteRange", m.DeleteRangeRequest, m.DeleteRangeResponse),
  Txn: rpc("etcdserverpb.KV/Txn", m.TxnRequest, m.TxnResponse),
  Compact: rpc("etcdserverpb.KV/Compact", m.CompactionRequest, m.HeaderOnly),
};

export const Watch = {
  Watch: rpc("etcdserverpb.Watch/Watch", m.WatchRequest, m.WatchResponse),
};

export const Lease = {
  Grant: rpc("etcdserverpb.Lease/LeaseGrant", m.LeaseGrantRequest, m.LeaseGrantResponse),
  Revoke: rpc("etcdserverpb.Lease/LeaseRevoke", m.LeaseRequest, m.HeaderOnly),
  KeepAlive: rpc("etcdserverpb.Lease/LeaseKeepAlive", m.LeaseRequest, m.LeaseKeepAliveResponse),
  TimeToLive: rpc("etcdserverpb.Lease/LeaseTimeToLive", m.LeaseRequest, m.LeaseTimeToLiveResponse),
  Leases: rpc("etcdserverpb.Lease/LeaseLeases", m.Empty, m.LeaseLeasesResponse),
};

export const Cluster = {
  MemberAdd: rpc("etcdserverpb.Cluster/MemberAdd", m.MemberAddRequest, m.MemberAddResponse),
  MemberRemove: rpc("etcdserverpb.Cluster/MemberRemove", m.MemberRequest, m.MembersResponse),
  MemberUpdate: rpc("etcdserverpb.Cluster/MemberUpdate", m.MemberRequest, m.MembersResponse),
  MemberList: rpc("etcdserverpb.Cluster/MemberList", m.MemberListRequest, m.MembersResponse),
  MemberPromote: rpc("etcdserverpb.Cluster/MemberPromote", m.MemberRequest, m.MembersResponse),
};

export const Maintenance = {
  Alarm: rpc("etcdserverpb.Maintenance/Alarm", m.AlarmRequest, m.AlarmResponse),
  Status: rpc("etcdserverpb.Maintenance/Status", m.Empty, m.StatusResponse),
  Defragment: rpc("etcdserverpb.Maintenance/Defragment", m.Empty, m.HeaderOnly),
  Hash: rpc("etcdserverpb.Maintenance/Hash", m.Empty, m.HashResponse),
  HashKV: rpc("etcdserverpb.Maintenance/HashKV", m.HashKvRequest, m.HashResponse),
  Snapshot: rpc("etcdserverpb.Maintenance/Snapshot", m.Empty, m.SnapshotResponse),
  MoveLeader: rpc("etcdserverpb.Maintenance/MoveLeader", m.MemberRequest, m.HeaderOnly),
  /** Since 3.5. */
  Downgrade: rpc("etcdserverpb.Maintenance/Downgrade", m.DowngradeRequest, m.DowngradeResponse),
};

const auth = <Request extends Message<any>, Response extends Message<any>>(
  name: string,
  request: Request,
  response: Response,
) => rpc(`etcdserverpb.Auth/${name}`, request, response);

export const Auth = {
  Enable: auth("AuthEnable", m.Empty, m.HeaderOnly),
  Disable: auth("AuthDisable", m.Empty, m.HeaderOnly),
  /** Since 3.5. */
  Status: auth("AuthStatus", m.Empty, m.AuthStatusResponse),
  Authenticate: auth("Authenticate", m.UserRequest, m.AuthenticateResponse),
  UserAdd: auth("UserAdd", m.UserRequest, m.HeaderOnly),
  UserGet: auth("UserGet", m.NameRequest, m.NamesResponse),
  UserList: auth("UserList", m.Empty, m.NamesResponse),
  UserDelete: auth("UserDelete", m.NameRequest, m.HeaderOnly),
  UserChangePassword: auth("UserChangePassword", m.UserRequest, m.HeaderOnly),
  UserGrantRole: auth("UserGrantRole", m.UserRoleRequest, m.HeaderOnly),
  UserRevokeRole: auth("UserRevokeRole", m.UserRoleRequest, m.HeaderOnly),
  RoleAdd: auth("RoleAdd", m.NameRequest, m.HeaderOnly),
  RoleGet: auth("RoleGet", m.NameRequest, m.RoleResponse),
  RoleList: auth("RoleList", m.Empty, m.NamesResponse),
  RoleDelete: auth("RoleDelete", m.NameRequest, m.HeaderOnly),
  RoleGrantPermission: auth("RoleGrantPermission", m.RoleGrantRequest, m.HeaderOnly),
  RoleRevokePermission: auth("RoleRevokePermission", m.RoleRevokeRequest, m.HeaderOnly),
};

export const Lock = {
  Lock: rpc("v3lockpb.Lock/Lock", m.LockRequest, m.LockResponse),
  Unlock: rpc("v3lockpb.Lock/Unlock", m.UnlockRequest, m.HeaderOnly),
};

export const Election = {
  Campaign: rpc("v3electionpb.Election/Campaign", m.CampaignRequest, m.CampaignResponse),
  Proclaim: rpc("v3electionpb.Election/Proclaim", m.ProclaimRequest, m.HeaderOnly),
  Leader: rpc("v3electionpb.Election/Leader", m.NameRequest, m.LeaderResponse),
  Observe: rpc("v3electionpb.Election/Observe", m.NameRequest, m.LeaderResponse),
  Resign: rpc("v3electionpb.Election/Resign", m.ResignRequest, m.HeaderOnly),
};
