// Requests of etcd with keys: which ranges a server reads in one, and random ones, both valid
// and crafted. Independent of the code under test.
import {
  field,
  fieldsOf,
  message,
  tag,
  varint,
  varintField,
  type WireField,
} from "./wire-format.ts";
import { oneOf, type Random } from "./random-input.ts";

/** A key and a range end, as strings of bytes. The end is "" if there is none. */
export type Range = readonly [key: string, end: string];

/**
 * In place of a range end that is present and empty. etcd up to 3.6 then reads all keys from
 * the first one on; etcd's proxy and etcd 3.7 read the one key.
 */
export const PRESENT_AND_EMPTY = "(present and empty)";

/** The requests with keys, and the path of a method that takes each. */
export const REQUEST_PATHS = {
  RangeRequest: "/etcdserverpb.KV/Range",
  PutRequest: "/etcdserverpb.KV/Put",
  DeleteRangeRequest: "/etcdserverpb.KV/DeleteRange",
  TxnRequest: "/etcdserverpb.KV/Txn",
  WatchRequest: "/etcdserverpb.Watch/Watch",
} as const;
export type RequestName = keyof typeof REQUEST_PATHS;
export const REQUEST_NAMES = Object.keys(REQUEST_PATHS) as RequestName[];

/**
 * Returns the ranges that etcd up to 3.6 reads in a request, in their order. Throws a string
 * if it refuses the request as malformed.
 */
export function rangesIn(name: RequestName, bytes: Uint8Array): Range[] {
  const fields = fieldsOf(bytes);
  if (name === "TxnRequest") return rangesInTxn(fields);
  if (name !== "WatchRequest") return [rangeOf(fields, 1, name === "PutRequest" ? 0 : 2)];
  const created = members(fields, 3).map(({ number, value }) => {
    const inner = fieldsOf(value);
    return number === 1 ? [rangeOf(inner, 1, 2)] : [];
  });
  return created.at(-1) ?? [];
}

function rangesInTxn(fields: readonly WireField[]): Range[] {
  return fields.flatMap(({ number, wireType, value }) => {
    if (number < 1 || number > 3) return [];
    if (wireType !== 2) throw "wrong wire type";
    return number === 1 ? [rangeOf(fieldsOf(value), 3, 64)] : rangesInOp(value);
  });
}

function rangesInOp(bytes: Uint8Array): Range[] {
  const names = ["RangeRequest", "PutRequest", "DeleteRangeRequest", "TxnRequest"] as const;
  const all = members(fieldsOf(bytes), 4).map(({ number, value }) =>
    rangesIn(names[number - 1]!, value),
  );
  return all.at(-1) ?? [];
}

/** The occurrences of a oneof whose members are the fields 1 to `last`. */
function members(fields: readonly WireField[], last: number): WireField[] {
  const found = fields.filter(({ number }) => number >= 1 && number <= last);
  if (found.some(({ wireType }) => wireType !== 2)) throw "wrong wire type";
  return found;
}

function rangeOf(fields: readonly WireField[], keyNumber: number, endNumber: number): Range {
  const valueOf = (number: number) => {
    const values = fields.filter((each) => each.number === number);
    if (values.some(({ wireType }) => wireType !== 2)) throw "wrong wire type";
    return values.at(-1)?.value.toString("latin1");
  };
  const end = endNumber === 0 ? undefined : valueOf(endNumber);
  return [valueOf(keyNumber) ?? "", end === "" ? PRESENT_AND_EMPTY : (end ?? "")];
}

/**
 * Returns a random request. A crafted one has fields twice, in any order and with superfluous
 * bytes, members of a oneof twice, unknown fields, groups, or damage.
 */
export function randomRequest(random: Random, name: RequestName, isCrafted: boolean): Buffer {
  const bytes = new RequestMaker(random, isCrafted).make(name);
  return isCrafted && random(3) === 0 ? damaged(bytes, random) : bytes;
}

class RequestMaker {
  readonly #random: Random;
  readonly #isCrafted: boolean;

  constructor(random: Random, isCrafted: boolean) {
    this.#random = random;
    this.#isCrafted = isCrafted;
  }

  make(name: RequestName, depth = 0): Buffer {
    if (name === "TxnRequest") return this.#txn(depth);
    if (name === "WatchRequest")
      return this.#oneof([field(1, this.#range()), field(2, varintField(1, 1)), field(3)]);
    if (name === "PutRequest") return this.#fields([this.#bytes(1), field(2, this.#key())]);
    return this.#range();
  }

  #range(): Buffer {
    const others = [varintField(3, this.#random(9)), varintField(6, 1), field(90, "unknown")];
    return this.#fields([this.#bytes(1), this.#bytes(2), ...this.#some(others)]);
  }

  #txn(depth: number): Buffer {
    const compare = () =>
      field(1, this.#fields([varintField(1, 1), this.#bytes(3), field(7, "v"), this.#bytes(64)]));
    const op = () => field(2 + this.#random(2), this.#op(depth));
    const fields = Array.from({ length: this.#random(5) }, () =>
      this.#random(3) === 0 ? compare() : op(),
    );
    return this.#fields(fields);
  }

  #op(depth: number): Buffer {
    const nested = depth < 4 ? field(4, this.#txn(depth + 1)) : message();
    return this.#oneof([
      field(1, this.#range()),
      field(2, this.make("PutRequest")),
      field(3, this.#range()),
      nested,
    ]);
  }

  #oneof(members: readonly Buffer[]): Buffer {
    const count = this.#isCrafted ? this.#random(4) : 1;
    return this.#fields(Array.from({ length: count }, () => oneOf(this.#random, members)));
  }

  #bytes(number: number): Buffer {
    return this.#random(5) === 0 ? message() : field(number, this.#key());
  }

  #key(): string {
    const letters = ["a", "b", "\0", "\xff", "p/", "k".repeat(60)];
    return Array.from({ length: this.#random(4) }, () => oneOf(this.#random, letters)).join("");
  }

  #some(fields: readonly Buffer[]): Buffer[] {
    return fields.filter(() => this.#random(3) === 0);
  }

  #fields(fields: readonly Buffer[]): Buffer {
    if (!this.#isCrafted) return message(...fields);
    const result = fields.flatMap((each) => this.#crafted(each));
    // Another order.
    if (this.#random(3) === 0) result.sort(() => this.#random(3) - 1);
    return message(...result);
  }

  /** Returns what a client could send instead of a field. */
  #crafted(bytes: Buffer): Buffer[] {
    const group = message(tag(31, 3), field(1, "g"), varintField(2, 7), tag(31, 4));
    switch (this.#random(14)) {
      case 0:
        return [bytes, bytes];
      case 1:
        return [bytes, this.#bytes(1 + this.#random(3))];
      case 2:
        return [bytes, group];
      case 3:
        return [bytes, field(70, "u"), varintField(71, 2n ** 64n - 1n)];
      case 4:
        return [this.#padded(bytes)];
      case 5:
        return this.#random(20) === 0 ? [bytes, varintField(1, 1)] : [bytes];
      case 6: {
        // Truncated to 32 bits, this is the tag of a key.
        const disguised = message(varint(2n ** 35n + 10n), "\x01x");
        return this.#random(20) === 0 ? [bytes, disguised] : [bytes];
      }
      default:
        return [bytes];
    }
  }

  /** Encodes the tag and the length with superfluous bytes. */
  #padded(bytes: Buffer): Buffer {
    if (bytes.length === 0) return bytes;
    const { number, wireType, value } = fieldsOf(bytes)[0]!;
    const tagBits = (BigInt(number) << 3n) | BigInt(wireType);
    const length = wireType === 2 ? varint(value.length, this.#random(4)) : message();
    return message(varint(tagBits, this.#random(4)), length, value);
  }
}

/** Changes, removes, repeats or inserts bytes. */
export function damaged(bytes: Buffer, random: Random): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = random(result.length + 1);
    const end = at + random(Math.min(8, result.length - at) + 1);
    const before = result.subarray(0, at);
    const kind = random(5);
    if (kind === 0) result = Buffer.from(before);
    else if (kind === 1) result = message(before, result.subarray(end));
    else if (kind === 2) result = message(result.subarray(0, end), result.subarray(at));
    else if (kind === 3) result = message(before, varint(random(300)), result.subarray(at));
    else if (at < result.length) result[at] = random(256);
  }
  return result;
}
