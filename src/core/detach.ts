/** Returns bytes that keep no more than twice their size in memory: a view of a large buffer keeps all of it. */
export function detach(bytes: Uint8Array): Uint8Array {
  return bytes.length < bytes.buffer.byteLength / 2 ? bytes.slice() : bytes;
}
