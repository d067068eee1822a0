// Parts of large chunks: views keep the whole chunk in memory, copies do not.

// Up to here a copy costs less than a view. Such arrays live in the heap of the engine
// (at most 1,000 bytes), while a view needs an ArrayBuffer, which is outside.
const MAX_COPIED_BYTES = 512;

/** Returns the bytes from `start` to `end`: a copy if they are few, otherwise a view. */
export function part(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return end - start > MAX_COPIED_BYTES ? bytes.subarray(start, end) : bytes.slice(start, end);
}

/** Returns bytes that keep no more than twice their size in memory: a view of a large buffer keeps all of it. */
export function detach(bytes: Uint8Array): Uint8Array {
  // Not slice(), which returns a view of a Buffer.
  if (bytes.length <= MAX_COPIED_BYTES) return new Uint8Array(bytes);
  return bytes.length < bytes.buffer.byteLength / 2 ? new Uint8Array(bytes) : bytes;
}
