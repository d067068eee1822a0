// Keeps the revisions that a client reads from going back (--experimental-serializable-ordering).
// A member that lags may answer a serializable read with less than the client has seen. Such
// an answer is dropped, and the read is repeated as a linearizable one, whose revision is
// never lower. @see etcd client/v3/ordering, which tries other members instead.
import { constants, gunzipSync } from "node:zlib";
import type { HeaderList } from "../http2/header-list.ts";
import type { EndCause } from "../http2/stream.ts";
import { GrpcCode, type GrpcStatus } from "./grpc-status.ts";
import { Message } from "../protobuf/message.ts";
import type { MemberEvents } from "./member-side.ts";

const RANGE = "/etcdserverpb.KV/Range";
const TXN = "/etcdserverpb.KV/Txn";

/** The RPCs whose answers begin with a header that has the store's revision. */
const ORDERED = new Set([
  ...[RANGE, TXN, "/etcdserverpb.KV/Put", "/etcdserverpb.KV/DeleteRange"],
  "/etcdserverpb.KV/Compact",
]);

/** Whether the answers of an RPC are ordered. */
export function isOrdered(path: string): boolean {
  return ORDERED.has(path);
}

/** The highest revision that one client connection has seen. */
export interface RevisionFloor {
  revision: number;
}

/** In the words of etcd's client. */
export const NO_NEWER_MEMBER: GrpcStatus = {
  code: GrpcCode.UNKNOWN,
  message:
    "etcdclient: no cluster members have a revision higher than the previously received revision",
};

/** The call, as an ordered answer uses it. */
export interface OrderedCall extends MemberEvents {
  /**
   * Drops the answer and sends the request again, to another member if there is one. Returns
   * false if it may have changed something: then the answer must pass.
   */
  repeat(): boolean;
}

const PREFIX_BYTES = 5;
// Tag, length and header of a response; the header itself has four varints.
const MAX_HEADER_BYTES = 64;

/** Holds an answer back until its revision is known. */
export class OrderedAnswer implements MemberEvents {
  readonly #call: OrderedCall;
  readonly #floor: RevisionFloor;
  #headers: HeaderList | undefined;
  #held = new Uint8Array(0);
  #state: "holding" | "passing" | "dropped" = "holding";

  constructor(call: OrderedCall, floor: RevisionFloor) {
    this.#call = call;
    this.#floor = floor;
  }

  memberHeaders(list: HeaderList, isEnd: boolean): void {
    if (this.#state === "dropped") return;
    // Trailers before a message are an error, which has no revision.
    if (this.#state === "holding" && !isEnd) this.#headers = list;
    else {
      this.#pass();
      this.#call.memberHeaders(list, isEnd);
    }
  }

  memberData(chunk: Uint8Array, isEnd: boolean): void {
    if (this.#state === "passing") this.#call.memberData(chunk, isEnd);
    if (this.#state !== "holding") return;

    this.#held = Buffer.concat([this.#held, chunk]);
    const revision = revisionOf(this.#held);
    if (revision === undefined && !isEnd) return;
    if (revision !== undefined && revision < this.#floor.revision && this.#call.repeat()) {
      this.#state = "dropped";
      return;
    }
    this.#floor.revision = Math.max(this.#floor.revision, revision ?? 0);
    this.#pass(isEnd);
  }

  memberSent(bytes: number): void {
    this.#call.memberSent(bytes);
  }

  memberClosed(cause: EndCause, code: number, reason: string): void {
    if (this.#state !== "dropped") this.#call.memberClosed(cause, code, reason);
  }

  /** Passes on what was held. */
  #pass(isEnd = false): void {
    if (this.#state !== "holding") return;
    this.#state = "passing";
    if (this.#headers !== undefined) this.#call.memberHeaders(this.#headers, false);
    if (this.#held.length > 0 || isEnd) this.#call.memberData(this.#held, isEnd);
  }
}

/** Returns the revision of an answer's header; undefined: more bytes are needed. */
function revisionOf(framed: Uint8Array): number | undefined {
  if (framed.length < PREFIX_BYTES) return undefined;
  const isCompressed = framed[0] === 1;
  const most = isCompressed ? MAX_COMPRESSED_BYTES : MAX_HEADER_BYTES;
  const end = PREFIX_BYTES + Math.min(lengthOf(framed), most);
  if (framed.length < end) return undefined;

  try {
    const start = framed.subarray(PREFIX_BYTES, end);
    const message = isCompressed ? gunzipSync(start, PARTIAL) : start;
    const isHeader = message[0] === HEADER_TAG && message[1]! < 0x80;
    return isHeader ? new Message(message.subarray(2, 2 + message[1]!)).int(3) : 0;
  } catch {
    // It is not an answer of etcd's; the client decides what to make of it.
    return 0;
  }
}

// The beginning of a compressed answer, which contains its header. It is less than a window.
const MAX_COMPRESSED_BYTES = 1024;
const PARTIAL = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 2 * 1024 * 1024 };

// Field 1, length-delimited.
const HEADER_TAG = 0x0a;

/** `serializable: false` of a RangeRequest. */
const LINEARIZABLE = Uint8Array.of(0x38, 0);

/**
 * Returns the framed request of a Range as a linearizable one: of several values of a field,
 * the last counts. Undefined for other RPCs, and for what is not one uncompressed message.
 */
export function linearized(path: string, framed: Uint8Array): Uint8Array | undefined {
  const isPlain = framed.length >= PREFIX_BYTES && framed[0] === 0;
  if (path !== RANGE || !isPlain || lengthOf(framed) !== framed.length - PREFIX_BYTES)
    return undefined;
  const result = Buffer.concat([framed, LINEARIZABLE]);
  result.writeUInt32BE(result.length - PREFIX_BYTES, 1);
  return result;
}

/** Whether a framed request changes nothing: a Range, or a transaction of nothing else. */
export function isReadOnly(path: string, framed: Uint8Array): boolean {
  if (path !== TXN) return path === RANGE;
  const isWhole =
    framed.length >= PREFIX_BYTES && lengthOf(framed) === framed.length - PREFIX_BYTES;
  if (!isWhole || framed[0] !== 0) return false;
  try {
    return hasOnlyReads(new Message(framed.subarray(PREFIX_BYTES)));
  } catch {
    return false;
  }
}

/** Of a TxnRequest, fields 2 and 3 are the operations: 1 is a range, and 4 a transaction. */
function hasOnlyReads(txn: Message): boolean {
  return [...txn.messages(2), ...txn.messages(3)].every((operation) => {
    const isWrite = operation.all(2).length > 0 || operation.all(3).length > 0;
    return !isWrite && operation.messages(4).every(hasOnlyReads);
  });
}

/** Returns the length of the message that begins here. */
function lengthOf(framed: Uint8Array): number {
  return new DataView(framed.buffer, framed.byteOffset).getUint32(1);
}
