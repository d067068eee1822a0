// The messages of etcd that hold keys, and which of their fields (etcd api/etcdserverpb/rpc.proto,
// api/mvccpb/kv.proto, v3lock.proto and v3election.proto, 3.4 to 3.8).
import { GrpcCode } from "../grpc-status.ts";
import { type FieldSpec, Shape } from "./shape.ts";

/** The codes are those with which etcd answers an empty key. */
const key = (number: number, emptyKeyCode?: number): FieldSpec => ({
  number,
  name: "Key",
  rule: "prefix",
  ...(emptyKeyCode === undefined ? {} : { emptyKeyCode }),
});
const name = (number: number): FieldSpec => ({ ...key(number), name: "Name" });
const rangeEnd = (number: number): FieldSpec => ({ number, name: "RangeEnd", rule: "range-end" });
const stripped = (number: number, fieldName: string): FieldSpec => ({
  number,
  name: fieldName,
  rule: "strip",
});
const embedded = (number: number, fieldName: string, shape: Shape): FieldSpec => ({
  number,
  name: fieldName,
  rule: "embedded",
  shape,
});
const repeated = (number: number, fieldName: string, shape: Shape): FieldSpec => ({
  ...embedded(number, fieldName, shape),
  occurrence: "repeated",
});
const member = (number: number, fieldName: string, shape: Shape): FieldSpec => ({
  ...embedded(number, fieldName, shape),
  occurrence: "oneof",
});

export const RANGE_REQUEST = new Shape("RangeRequest", [
  key(1, GrpcCode.INVALID_ARGUMENT),
  rangeEnd(2),
]);
export const PUT_REQUEST = new Shape("PutRequest", [key(1, GrpcCode.INVALID_ARGUMENT)]);
export const DELETE_RANGE_REQUEST = new Shape("DeleteRangeRequest", [
  key(1, GrpcCode.INVALID_ARGUMENT),
  rangeEnd(2),
]);

const COMPARE = new Shape("Compare", [key(3), rangeEnd(64)]);
// In a transaction an empty key becomes the prefix, as in etcd's client/v3/namespace. etcd
// itself refuses the transaction.
const REQUEST_OP = new Shape("RequestOp", [
  member(1, "RequestRange", new Shape("RangeRequest", [key(1), rangeEnd(2)])),
  member(2, "RequestPut", new Shape("PutRequest", [key(1)])),
  member(3, "RequestDeleteRange", new Shape("DeleteRangeRequest", [key(1), rangeEnd(2)])),
]);
export const TXN_REQUEST = new Shape("TxnRequest", [
  repeated(1, "Compare", COMPARE),
  repeated(2, "Success", REQUEST_OP),
  repeated(3, "Failure", REQUEST_OP),
]);
REQUEST_OP.define([member(4, "RequestTxn", TXN_REQUEST)]);

export const WATCH_REQUEST = new Shape("WatchRequest", [
  member(1, "CreateRequest", new Shape("WatchCreateRequest", [key(1), rangeEnd(2)])),
  // Without keys, but of the same oneof.
  member(2, "CancelRequest", new Shape("WatchCancelRequest", [])),
  member(3, "ProgressRequest", new Shape("WatchProgressRequest", [])),
]);

const KEY_VALUE = new Shape("KeyValue", [stripped(1, "Key")]);

export const RANGE_RESPONSE = new Shape("RangeResponse", [repeated(2, "Kvs", KEY_VALUE)]);
export const RANGE_STREAM_RESPONSE = new Shape("RangeStreamResponse", [
  embedded(1, "RangeResponse", RANGE_RESPONSE),
]);
export const PUT_RESPONSE = new Shape("PutResponse", [embedded(2, "PrevKv", KEY_VALUE)]);
export const DELETE_RANGE_RESPONSE = new Shape("DeleteRangeResponse", [
  repeated(3, "PrevKvs", KEY_VALUE),
]);

const RESPONSE_OP = new Shape("ResponseOp", [
  member(1, "ResponseRange", RANGE_RESPONSE),
  member(2, "ResponsePut", PUT_RESPONSE),
  member(3, "ResponseDeleteRange", DELETE_RANGE_RESPONSE),
]);
export const TXN_RESPONSE = new Shape("TxnResponse", [repeated(3, "Responses", RESPONSE_OP)]);
RESPONSE_OP.define([member(4, "ResponseTxn", TXN_RESPONSE)]);

export const WATCH_RESPONSE = new Shape("WatchResponse", [
  repeated(
    11,
    "Events",
    new Shape("Event", [embedded(2, "Kv", KEY_VALUE), embedded(3, "PrevKv", KEY_VALUE)]),
  ),
]);
export const LEASE_TIME_TO_LIVE_RESPONSE = new Shape("LeaseTimeToLiveResponse", [
  { number: 5, name: "Keys", rule: "strip-or-drop", occurrence: "repeated" },
]);

// The locks and elections that strict mode maps. etcd puts their keys below NAME/.
export const LOCK_REQUEST = new Shape("LockRequest", [name(1)]);
export const LOCK_RESPONSE = new Shape("LockResponse", [stripped(2, "Key")]);
export const UNLOCK_REQUEST = new Shape("UnlockRequest", [key(1, GrpcCode.UNKNOWN)]);
export const CAMPAIGN_REQUEST = new Shape("CampaignRequest", [name(1)]);
export const CAMPAIGN_RESPONSE = new Shape("CampaignResponse", [
  embedded(2, "Leader", new Shape("LeaderKey", [stripped(1, "Name"), stripped(2, "Key")])),
]);
const LEADER_KEY = new Shape("LeaderKey", [name(1), key(2, GrpcCode.UNKNOWN)]);
export const PROCLAIM_REQUEST = new Shape("ProclaimRequest", [embedded(1, "Leader", LEADER_KEY)]);
export const RESIGN_REQUEST = new Shape("ResignRequest", [embedded(1, "Leader", LEADER_KEY)]);
export const LEADER_REQUEST = new Shape("LeaderRequest", [name(1)]);
export const LEADER_RESPONSE = new Shape("LeaderResponse", [embedded(2, "Kv", KEY_VALUE)]);
