// The end of the range of all keys that start with a prefix.

/**
 * Returns the smallest key that is greater than every key with this prefix: the prefix up to
 * its last byte below 0xff, which is incremented. Without such a byte it returns "\0", which etcd
 * reads as the end of the key space.
 *
 * etcd's proxy keeps the bytes after the incremented one as zeros: for "a\xff" it requests the
 * keys up to "b\0" and receives the foreign key "b".
 */
export function successorOf(prefix: Uint8Array): Uint8Array {
  const last = prefix.findLastIndex((byte) => byte < 0xff);
  if (last === -1) return new Uint8Array(1);
  // A copy: slice() of a Buffer would share its memory.
  const successor = new Uint8Array(prefix.subarray(0, last + 1));
  successor[last]!++;
  return successor;
}
