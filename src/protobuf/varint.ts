// Writes protobuf's varints, for tags and lengths: non-negative and below 2^32.

/** Returns the number of bytes that `value` takes. */
export function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

/** Writes `value` at offset `at`. Returns the offset after it. */
export function writeVarint(value: number, into: Uint8Array, at: number): number {
  while (value >= 0x80) {
    into[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  into[at++] = value;
  return at;
}

/** Encodes the tag and the length of a length-delimited field. */
export function encodeHead(number: number, length: number): Uint8Array {
  const tag = ((number << 3) | 2) >>> 0;
  const head = new Uint8Array(varintSize(tag) + varintSize(length));
  writeVarint(length, head, writeVarint(tag, head, 0));
  return head;
}
