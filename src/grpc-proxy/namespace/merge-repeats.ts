// Leaves one occurrence of each field that counts once, so that no decoder can choose another
// than the one that is rewritten. Only crafted messages have more.
import { NO_VARINT, Splices } from "../../protobuf/splices.ts";
import { WireReader } from "../../protobuf/wire-reader.ts";
import type { Shape } from "./shape.ts";

/** The occurrences of one field, or of the oneof, in a message. */
interface Occurrences {
  /** The offsets of the last one. */
  tagAt: number;
  valueAt: number;
  valueEnd: number;
  /** The values of the earlier ones, if the field holds a message that must be merged. */
  readonly earlier: Uint8Array[];
}

/**
 * Returns a message of the same meaning in which the fields of `shape` and of the messages
 * embedded in it occur at most once, unless they are repeated. Of a oneof one member stays.
 * `message` must be well-formed.
 *
 * The last value counts, and embedded messages are merged by concatenation
 * (https://protobuf.dev/programming-guides/encoding/#last-one-wins). The fields of a merged
 * message may occur twice again, so the caller must repeat the call until there are no repeats,
 * at most once for each level of messages. The same message twice in a oneof is the exception:
 * the last one alone counts, as in etcd up to 3.6; etcd 3.7 merges them.
 */
export function mergeRepeats(shape: Shape, message: Uint8Array): Uint8Array {
  const merger = new RepeatMerger(message);
  merger.merge(shape, 0, message.length);
  return merger.splices.applyTo(message);
}

class RepeatMerger {
  readonly splices = new Splices();
  readonly #message: Uint8Array;
  readonly #reader = new WireReader();

  constructor(message: Uint8Array) {
    this.#message = message;
    this.#reader.open(message);
  }

  /** Merges the message from `start` to `end`. Returns the number of bytes by which it grows. */
  merge(shape: Shape, start: number, end: number): number {
    const occurrences = this.#find(shape, start, end);
    const reader = this.#reader;
    const outerEnd = reader.enter(start, end);
    let growth = 0;
    while (reader.next(shape.name)) {
      const { tagAt } = reader;
      const field = shape.field(reader.number);
      if (field === undefined) {
        reader.skip();
        continue;
      }
      reader.readLength();
      const found = occurrences.get(field.bit);
      if (found !== undefined && found.tagAt !== tagAt)
        growth += this.splices.add(tagAt, reader.valueEnd, NO_VARINT, undefined);
      else if (field.shape !== undefined)
        growth += this.#mergeEmbedded(field.shape, found?.earlier ?? []);
    }
    reader.leave(outerEnd);
    return growth;
  }

  #mergeEmbedded(shape: Shape, earlier: readonly Uint8Array[]): number {
    const { lengthAt, valueAt, valueEnd } = this.#reader;
    const slot = this.splices.reserve();
    let growth = 0;
    if (earlier.length > 0)
      growth += this.splices.add(valueAt, valueAt, NO_VARINT, Buffer.concat(earlier));
    growth += this.merge(shape, valueAt, valueEnd);
    if (growth === 0) return 0;
    const length = valueEnd - valueAt + growth;
    return growth + this.splices.fill(slot, lengthAt, valueAt, length, undefined);
  }

  /** Returns the occurrences of the fields that count once, by their bits. */
  #find(shape: Shape, start: number, end: number): Map<number, Occurrences> {
    const occurrences = new Map<number, Occurrences>();
    const reader = this.#reader;
    const outerEnd = reader.enter(start, end);
    while (reader.next(shape.name)) {
      const field = shape.field(reader.number);
      if (field === undefined || field.occurrence === "repeated") {
        reader.skip();
        continue;
      }
      reader.readLength();
      const { tagAt, valueAt, valueEnd } = reader;
      const found = occurrences.get(field.bit);
      if (found === undefined) {
        occurrences.set(field.bit, { tagAt, valueAt, valueEnd, earlier: [] });
        continue;
      }
      if (field.occurrence === "single" && field.shape !== undefined)
        found.earlier.push(this.#message.subarray(found.valueAt, found.valueEnd));
      found.tagAt = tagAt;
      found.valueAt = valueAt;
      found.valueEnd = valueEnd;
    }
    reader.leave(outerEnd);
    return occurrences;
  }
}
