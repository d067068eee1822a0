// Rewrites one message: finds the fields that its shape lists, in one pass over the bytes,
// and copies everything else unopened.
import { NO_VARINT, Splices } from "../../protobuf/splices.ts";
import { encodeHead } from "../../protobuf/varint.ts";
import { LENGTH_DELIMITED, WireError, WireReader } from "../../protobuf/wire-reader.ts";
import { GrpcCode } from "../grpc-status.ts";
import { Rejection } from "../message-pipe.ts";
import { mergeRepeats } from "./merge-repeats.ts";
import type { Field, Shape } from "./shape.ts";
import { successorOf } from "./successor.ts";

/**
 * Levels of embedded messages. A transaction in a transaction takes two. etcd refuses more than
 * 128 of those, since each counts against --max-txn-ops; one more is let through, so that the
 * refusal is etcd's own unless an operator has raised that flag.
 */
const MAX_DEPTH = 2 * 129;

const NO_SLOT = -1;
const NO_BYTES: Uint8Array = new Uint8Array(0);

/** Transactions are nested too deeply. */
export class NestingError extends WireError {
  override name = "NestingError";
}

/** Moves messages into the namespace of a prefix and out of it. */
export class MessageRewriter {
  readonly #prefix: Uint8Array;
  readonly #successor: Uint8Array;
  readonly #reader = new WireReader();
  readonly #splices = new Splices();
  #message = NO_BYTES;
  /** Whether a field occurs again of which only one occurrence counts. */
  #hasRepeats = false;
  /** Why a well-formed message must not pass. */
  #rejection: Rejection | undefined;

  constructor(prefix: Uint8Array) {
    // A copy: slice() of a Buffer would share its memory.
    this.#prefix = new Uint8Array(prefix);
    this.#successor = successorOf(prefix);
  }

  /**
   * Returns `message` rewritten, or `message` itself if nothing changes. Throws `WireError` if
   * it is malformed, and `Rejection` if it must not pass.
   */
  rewrite(shape: Shape, message: Uint8Array): Uint8Array {
    try {
      this.#scanMessage(shape, message);
      // Only crafted messages have repeats.
      while (this.#hasRepeats) this.#scanMessage(shape, mergeRepeats(shape, this.#message));
      if (this.#rejection !== undefined) throw this.#rejection;
      return this.#splices.isEmpty ? this.#message : this.#splices.applyTo(this.#message);
    } finally {
      this.#reset(NO_BYTES);
    }
  }

  #reset(message: Uint8Array): void {
    this.#message = message;
    this.#reader.open(message);
    this.#splices.clear();
    this.#hasRepeats = false;
    this.#rejection = undefined;
  }

  #scanMessage(shape: Shape, message: Uint8Array): void {
    this.#reset(message);
    this.#scan(shape, 0);
  }

  /** Scans the fields up to the end of the reader's message. Returns by how many bytes it grows. */
  #scan(shape: Shape, depth: number): number {
    if (depth > MAX_DEPTH) throw new NestingError("proto: exceeded maximum recursion depth");
    const reader = this.#reader;
    const { addedKey } = shape;
    let seen = 0;
    let growth = 0;
    let keySlot = NO_SLOT;
    let keyAt = 0;
    while (reader.next(shape.name)) {
      // An absent key would go here, to keep the fields in the order of their numbers.
      if (addedKey !== undefined && keySlot === NO_SLOT && reader.number > addedKey.number) {
        keySlot = this.#splices.reserve();
        keyAt = reader.tagAt;
      }
      const field = shape.field(reader.number);
      if (field === undefined) {
        reader.skip();
        continue;
      }
      growth += this.#scanField(field, (seen & field.bit) !== 0, depth);
      seen |= field.bit;
    }

    for (const key of shape.keys) {
      if ((seen & key.bit) !== 0) continue;
      if (keySlot === NO_SLOT) growth += this.#absentKey(key, this.#splices.reserve(), reader.at);
      else growth += this.#absentKey(key, keySlot, keyAt);
    }
    return growth;
  }

  #scanField(field: Field, isRepeat: boolean, depth: number): number {
    const reader = this.#reader;
    if (reader.wireType !== LENGTH_DELIMITED)
      throw new WireError(`proto: wrong wireType = ${reader.wireType} for field ${field.name}`);
    reader.readLength();
    if (isRepeat) this.#hasRepeats = true;
    return field.shape === undefined
      ? this.#rewriteValue(field)
      : this.#embedded(field.shape, depth);
  }

  #embedded(shape: Shape, depth: number): number {
    const { lengthAt, valueAt, valueEnd } = this.#reader;
    const slot = this.#splices.reserve();
    const outerEnd = this.#reader.enter(valueAt, valueEnd);
    const growth = this.#scan(shape, depth + 1);
    this.#reader.leave(outerEnd);
    if (growth === 0) return 0;
    const length = valueEnd - valueAt + growth;
    return growth + this.#splices.fill(slot, lengthAt, valueAt, length, undefined);
  }

  /** Applies the field's rule to the value that the reader has just read. */
  #rewriteValue(field: Field): number {
    const { lengthAt, valueAt, valueEnd } = this.#reader;
    const length = valueEnd - valueAt;
    switch (field.rule) {
      case "prefix":
        if (length === 0 && field.emptyKeyCode !== undefined) this.#rejectEmptyKey(field);
        return this.#splices.add(lengthAt, valueAt, this.#prefix.length + length, this.#prefix);

      case "range-end":
        // etcd up to 3.6 reads beyond the namespace if the field is present and empty: to the
        // end of the key space. etcd's proxy leaves it out, too.
        if (length === 0) return this.#drop();
        // "\0" is the end of the key space: here, of the namespace.
        return length === 1 && this.#message[valueAt] === 0
          ? this.#splices.add(lengthAt, valueEnd, this.#successor.length, this.#successor)
          : this.#splices.add(lengthAt, valueAt, this.#prefix.length + length, this.#prefix);

      case "strip":
        if (!this.#isInside(valueAt, valueEnd)) this.#rejectForeignKey();
        // Encoders leave out an empty value, unless the field is repeated.
        return length > this.#prefix.length ? this.#strip() : this.#drop();

      case "strip-or-drop":
        return this.#isInside(valueAt, valueEnd) ? this.#strip() : this.#drop();

      default:
        return 0;
    }
  }

  #isInside(valueAt: number, valueEnd: number): boolean {
    const prefix = this.#prefix;
    if (valueEnd - valueAt < prefix.length) return false;
    for (let i = 0; i < prefix.length; i++)
      if (this.#message[valueAt + i] !== prefix[i]) return false;
    return true;
  }

  #strip(): number {
    const { lengthAt, valueAt, valueEnd } = this.#reader;
    const strippedAt = valueAt + this.#prefix.length;
    return this.#splices.add(lengthAt, strippedAt, valueEnd - strippedAt, undefined);
  }

  #drop(): number {
    const { tagAt, valueEnd } = this.#reader;
    return this.#splices.add(tagAt, valueEnd, NO_VARINT, undefined);
  }

  /** Handles a key that is absent from its message, which then ends here. */
  #absentKey(key: Field, slot: number, at: number): number {
    if (key.rule === "strip") this.#rejectForeignKey();
    else if (key.emptyKeyCode !== undefined) this.#rejectEmptyKey(key);
    else {
      const field = Buffer.concat([encodeHead(key.number, this.#prefix.length), this.#prefix]);
      return this.#splices.fill(slot, at, at, NO_VARINT, field);
    }
    return 0;
  }

  #rejectEmptyKey({ emptyKeyCode }: Field): void {
    const message = "etcdserver: key is not provided";
    this.#rejection = new Rejection({ code: emptyKeyCode!, message });
  }

  /** Never names the key, which belongs to another tenant. */
  #rejectForeignKey(): void {
    const message = "etcd-gateway: etcd returned a key outside the namespace";
    this.#rejection = new Rejection({ code: GrpcCode.INTERNAL, message });
  }
}
