// The messages of etcd's gRPC API that tests send and read (api/etcdserverpb/rpc.proto, mvccpb,
// authpb, v3lockpb, v3electionpb), by etcd's field numbers.
import { bool, bytes, id, int, Message, nested, repeated } from "./protobuf.ts";

export const Empty = new Message({});

export const ResponseHeader = new Message({
  clusterId: id(1),
  memberId: id(2),
  revision: int(3),
  raftTerm: int(4),
});

const header = nested(1, ResponseHeader);

export const HeaderOnly = new Message({ header });

export const KeyValue = new Message({
  key: bytes(1),
  createRevision: int(2),
  modRevision: int(3),
  version: int(4),
  value: bytes(5),
  lease: id(6),
});

export const RangeRequest = new Message({
  key: bytes(1),
  rangeEnd: bytes(2),
  limit: int(3),
  revision: int(4),
  /** 0: none, 1: ascending, 2: descending. */
  sortOrder: int(5),
  /** 0: key, 1: version, 2: create revision, 3: modification revision, 4: value. */
  sortTarget: int(6),
  serializable: bool(7),
  keysOnly: bool(8),
  countOnly: bool(9),
  minModRevision: int(10),
  maxModRevision: int(11),
  minCreateRevision: int(12),
  maxCreateRevision: int(13),
});

export const RangeResponse = new Message({
  header,
  kvs: repeated(nested(2, KeyValue)),
  more: bool(3),
  count: int(4),
});

export const RangeStreamResponse = new Message({ range: nested(1, RangeResponse) });

export const PutRequest = new Message({
  key: bytes(1),
  value: bytes(2),
  lease: id(3),
  prevKv: bool(4),
  ignoreValue: bool(5),
  ignoreLease: bool(6),
});

export const PutResponse = new Message({ header, prevKv: nested(2, KeyValue) });

export const DeleteRangeRequest = new Message({
  key: bytes(1),
  rangeEnd: bytes(2),
  prevKv: bool(3),
});

export const DeleteRangeResponse = new Message({
  header,
  deleted: int(2),
  prevKvs: repeated(nested(3, KeyValue)),
});

export const Compare = new Message({
  /** 0: equal, 1: greater, 2: less, 3: not equal. */
  result: int(1),
  /** 0: version, 1: create revision, 2: modification revision, 3: value, 4: lease. */
  target: int(2),
  key: bytes(3),
  version: int(4),
  createRevision: int(5),
  modRevision: int(6),
  value: bytes(7),
  lease: id(8),
  rangeEnd: bytes(64),
});

export const RequestOp = new Message({
  range: nested(1, RangeRequest),
  put: nested(2, PutRequest),
  deleteRange: nested(3, DeleteRangeRequest),
  /** An encoded TxnRequest. */
  txn: bytes(4),
});

export const ResponseOp = new Message({
  range: nested(1, RangeResponse),
  put: nested(2, PutResponse),
  deleteRange: nested(3, DeleteRangeResponse),
  /** An encoded TxnResponse. */
  txn: bytes(4),
});

export const TxnRequest = new Message({
  compare: repeated(nested(1, Compare)),
  success: repeated(nested(2, RequestOp)),
  failure: repeated(nested(3, RequestOp)),
});

export const TxnResponse = new Message({
  header,
  succeeded: bool(2),
  responses: repeated(nested(3, ResponseOp)),
});

export const CompactionRequest = new Message({ revision: int(1), physical: bool(2) });

export const WatchRequest = new Message({
  create: nested(
    1,
    new Message({
      key: bytes(1),
      rangeEnd: bytes(2),
      startRevision: int(3),
      progressNotify: bool(4),
      /** A packed list: 0: no puts, 1: no deletes. */
      filters: bytes(5),
      prevKv: bool(6),
      watchId: int(7),
      fragment: bool(8),
    }),
  ),
  cancel: nested(2, new Message({ watchId: int(1) })),
  progress: nested(3, Empty),
});

export const Event = new Message({
  /** 0: put, 1: delete. */
  type: int(1),
  kv: nested(2, KeyValue),
  prevKv: nested(3, KeyValue),
});

export const WatchResponse = new Message({
  header,
  watchId: int(2),
  created: bool(3),
  canceled: bool(4),
  compactRevision: int(5),
  cancelReason: bytes(6),
  fragment: bool(7),
  events: repeated(nested(11, Event)),
});

export const LeaseGrantRequest = new Message({ ttl: int(1), id: id(2) });
export const LeaseGrantResponse = new Message({ header, id: id(2), ttl: int(3), error: bytes(4) });
export const LeaseRequest = new Message({ id: id(1), keys: bool(2) });
export const LeaseKeepAliveResponse = new Message({ header, id: id(2), ttl: int(3) });

export const LeaseTimeToLiveResponse = new Message({
  header,
  id: id(2),
  ttl: int(3),
  grantedTtl: int(4),
  keys: repeated(bytes(5)),
});

export const LeaseLeasesResponse = new Message({
  header,
  leases: repeated(nested(2, new Message({ id: id(1) }))),
});

export const Member = new Message({
  id: id(1),
  name: bytes(2),
  peerUrls: repeated(bytes(3)),
  clientUrls: repeated(bytes(4)),
  isLearner: bool(5),
});

export const MemberListRequest = new Message({ linearizable: bool(1) });
export const MembersResponse = new Message({ header, members: repeated(nested(2, Member)) });
export const MemberAddRequest = new Message({ peerUrls: repeated(bytes(1)), isLearner: bool(2) });
export const MemberRequest = new Message({ id: id(1), peerUrls: repeated(bytes(2)) });

export const MemberAddResponse = new Message({
  header,
  member: nested(2, Member),
  members: repeated(nested(3, Member)),
});

/** `action` 0: get, 1: activate, 2: deactivate; `alarm` 1: no space, 2: corrupt. */
export const AlarmRequest = new Message({ action: int(1), memberId: id(2), alarm: int(3) });

export const AlarmResponse = new Message({
  header,
  alarms: repeated(nested(2, new Message({ memberId: id(1), alarm: int(2) }))),
});

export const StatusResponse = new Message({
  header,
  version: bytes(2),
  dbSize: int(3),
  leader: id(4),
  raftIndex: int(5),
  raftTerm: int(6),
  raftAppliedIndex: int(7),
  errors: repeated(bytes(8)),
  dbSizeInUse: int(9),
  isLearner: bool(10),
});

export const HashKvRequest = new Message({ revision: int(1) });

export const HashResponse = new Message({
  header,
  hash: int(2),
  compactRevision: int(3),
  hashRevision: int(4),
});

export const SnapshotResponse = new Message({
  header,
  remainingBytes: int(2),
  blob: bytes(3),
  version: bytes(4),
});

/** `action` 0: validate, 1: enable, 2: cancel. */
export const DowngradeRequest = new Message({ action: int(1), version: bytes(2) });
export const DowngradeResponse = new Message({ header, version: bytes(2) });

/** Requests of Auth that name a user or a role, and a second thing. */
export const NameRequest = new Message({ name: bytes(1) });
export const UserRequest = new Message({ name: bytes(1), password: bytes(2) });
export const UserRoleRequest = new Message({ user: bytes(1), role: bytes(2) });
export const NamesResponse = new Message({ header, names: repeated(bytes(2)) });
export const AuthStatusResponse = new Message({ header, enabled: bool(2), authRevision: int(3) });
export const AuthenticateResponse = new Message({ header, token: bytes(2) });

/** `type` 0: read, 1: write, 2: both. */
export const Permission = new Message({ type: int(1), key: bytes(2), rangeEnd: bytes(3) });

export const RoleGrantRequest = new Message({ name: bytes(1), permission: nested(2, Permission) });

export const RoleRevokeRequest = new Message({
  role: bytes(1),
  key: bytes(2),
  rangeEnd: bytes(3),
});

export const RoleResponse = new Message({ header, permissions: repeated(nested(2, Permission)) });

export const LockRequest = new Message({ name: bytes(1), lease: id(2) });
export const LockResponse = new Message({ header, key: bytes(2) });
export const UnlockRequest = new Message({ key: bytes(1) });

export const LeaderKey = new Message({
  name: bytes(1),
  key: bytes(2),
  revision: int(3),
  lease: id(4),
});

export const CampaignRequest = new Message({ name: bytes(1), lease: id(2), value: bytes(3) });
export const CampaignResponse = new Message({ header, leader: nested(2, LeaderKey) });
export const ProclaimRequest = new Message({ leader: nested(1, LeaderKey), value: bytes(2) });
export const LeaderResponse = new Message({ header, kv: nested(2, KeyValue) });
export const ResignRequest = new Message({ leader: nested(1, LeaderKey) });
