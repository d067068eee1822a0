// Bytes that wait, in the chunks in which they came. A chunk costs more than a hundred bytes
// whatever its size, so small ones are copied together.
import { detach } from "./detach.ts";

// The largest chunk that is copied.
const SMALL_BYTES = 2048;

export class ByteQueue {
  /** The sum of all chunks. */
  bytes = 0;
  #chunks: Uint8Array[] = [];
  /** The memory of the last chunk, if there is room after it. */
  #block: Uint8Array | undefined;

  /** In order. They do not change, but the last one may be replaced by a longer one. */
  get chunks(): readonly Uint8Array[] {
    return this.#chunks;
  }

  /** Appends bytes, which must not change afterwards. */
  push(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    const last = this.#chunks.at(-1);
    if (last !== undefined && chunk.length <= SMALL_BYTES && this.#append(last, chunk)) return;
    this.#block = undefined;
    this.#chunks.push(detach(chunk));
  }

  /** Removes the first bytes, at most `max` and one chunk, and returns them; undefined: none are left. */
  take(max: number): Uint8Array | undefined {
    const first = this.#chunks[0];
    if (first === undefined) return undefined;
    const bytes = Math.min(max, first.length);
    if (bytes === first.length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(bytes);
    this.bytes -= bytes;
    return first.subarray(0, bytes);
  }

  /** Returns all bytes in one chunk, and removes them. */
  takeAll(): Uint8Array {
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : concat(this.#chunks, this.bytes);
    this.#chunks = [];
    this.bytes = 0;
    return all;
  }

  /** Returns the first `bytes`, which must be there, without removing them. */
  peek(bytes: number): Uint8Array {
    const first = this.#chunks[0]!;
    return first.length < bytes ? concat(this.#chunks, bytes) : first.subarray(0, bytes);
  }

  /** Appends a small chunk to the last one. Returns false if that would cost too much. */
  #append(last: Uint8Array, chunk: Uint8Array): boolean {
    const bytes = last.length + chunk.length;
    let block = this.#block;
    let start = last.byteOffset - (block?.byteOffset ?? 0);
    if (block === undefined || start + bytes > block.length) {
      if (last.length > SMALL_BYTES) return false;
      block = this.#block = new Uint8Array(2 * bytes);
      block.set(last);
      start = 0;
    }

    block.set(chunk, start + last.length);
    this.#chunks[this.#chunks.length - 1] = block.subarray(start, start + bytes);
    return true;
  }
}

/** Joins the first `bytes` of chunks. */
function concat(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    if (at === bytes) break;
    const taken = chunk.subarray(0, bytes - at);
    all.set(taken, at);
    at += taken.length;
  }
  return all;
}
