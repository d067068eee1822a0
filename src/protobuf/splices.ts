// A list of changes to a message: spans that are replaced by a varint, by bytes, or by
// nothing. Applying them copies the message once, into an array of the exact size.
import { varintSize, writeVarint } from "./varint.ts";

/** Instead of a varint: writes none. */
export const NO_VARINT = 0xffff_ffff;

/** The start of a splice that is reserved and not filled. */
const UNFILLED = 0xffff_ffff;
/** Start, end and varint of a splice in the array of spans. */
const WIDTH = 3;
const INITIAL_SPLICES = 64;
/** Splices for which memory is kept from one message to the next. */
const MAX_KEPT_SPLICES = 4096;

// Below this length a loop copies faster than a call of set(), which needs a view.
const LOOP_BYTES = 64;

/**
 * The splices of one message, in the order of their offsets. Reused from message to message
 * by `clear()`, to allocate nothing but the result.
 */
export class Splices {
  #spans = new Uint32Array(INITIAL_SPLICES * WIDTH);
  #inserted: (Uint8Array | undefined)[] = [];
  #count = 0;
  #filled = 0;
  #growth = 0;

  /** Whether the message stays as it is. */
  get isEmpty(): boolean {
    return this.#filled === 0;
  }

  /**
   * Replaces the bytes from `start` to `end` by `varint` and then by `inserted`. Returns the
   * number of bytes by which the message grows; negative if it shrinks.
   */
  add(start: number, end: number, varint: number, inserted: Uint8Array | undefined): number {
    return this.fill(this.reserve(), start, end, varint, inserted);
  }

  /** Keeps a place for a splice at an earlier offset than all that are added after it. */
  reserve(): number {
    const slot = this.#count++;
    if (slot * WIDTH === this.#spans.length) this.#grow();
    this.#spans[slot * WIDTH] = UNFILLED;
    return slot;
  }

  /** Like `add()`, at the place that `reserve()` returned; once for each place. */
  fill(
    slot: number,
    start: number,
    end: number,
    varint: number,
    inserted: Uint8Array | undefined,
  ): number {
    const at = slot * WIDTH;
    this.#spans[at] = start;
    this.#spans[at + 1] = end;
    this.#spans[at + 2] = varint;
    this.#inserted[slot] = inserted;

    const length = (varint === NO_VARINT ? 0 : varintSize(varint)) + (inserted?.length ?? 0);
    const growth = length - (end - start);
    this.#filled++;
    this.#growth += growth;
    return growth;
  }

  /** Returns a copy of `message` with the splices applied. */
  applyTo(message: Uint8Array): Uint8Array {
    const result = new Uint8Array(message.length + this.#growth);
    let from = 0;
    let to = 0;
    for (let slot = 0; slot < this.#count; slot++) {
      const at = slot * WIDTH;
      const start = this.#spans[at]!;
      if (start === UNFILLED) continue;
      const varint = this.#spans[at + 2]!;
      const inserted = this.#inserted[slot];

      copy(message, from, start, result, to);
      to += start - from;
      from = this.#spans[at + 1]!;
      if (varint !== NO_VARINT) to = writeVarint(varint, result, to);
      if (inserted === undefined) continue;
      result.set(inserted, to);
      to += inserted.length;
    }
    copy(message, from, message.length, result, to);
    return result;
  }

  /** Forgets all splices. */
  clear(): void {
    if (this.#count > MAX_KEPT_SPLICES) {
      this.#spans = new Uint32Array(INITIAL_SPLICES * WIDTH);
      this.#inserted = [];
    }
    this.#count = this.#filled = this.#growth = 0;
  }

  #grow(): void {
    const spans = new Uint32Array(this.#spans.length * 2);
    spans.set(this.#spans);
    this.#spans = spans;
  }
}

function copy(source: Uint8Array, from: number, end: number, into: Uint8Array, to: number): void {
  if (end - from > LOOP_BYTES) into.set(source.subarray(from, end), to);
  else while (from < end) into[to++] = source[from++]!;
}
