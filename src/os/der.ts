// Reads and writes DER (X.690), the binary form of certificates and revocation lists:
// only what these need. Knows no structure above single elements.

/** The bytes are not DER, or not the expected elements. The message is only the fact. */
export class DerError extends Error {
  override name = "DerError";
}

/** Identifier bytes of the types in use, and of context-specific elements. */
export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OBJECT_IDENTIFIER: 0x06,
  UTF8_STRING: 0x0c,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
  /** `[0]`, constructed. */
  CONTEXT_0: 0xa0,
  /** `[3]`, constructed. */
  CONTEXT_3: 0xa3,
  /** `[2]` and `[7]`, primitive. */
  CONTEXT_2: 0x82,
  CONTEXT_7: 0x87,
} as const;

// Bytes of a length. Four would allow 4 GiB; no file is longer than 16 MiB.
const MAX_LENGTH_BYTES = 4;

/** Reads the elements of a byte string one after the other. Copies nothing. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The identifier byte of the next element; undefined at the end. */
  get nextTag(): number | undefined {
    return this.#bytes[this.#offset];
  }

  /**
   * Reads the next element, which must have one of `tags`, and returns its content.
   *
   * @throws {DerError}
   */
  read(...tags: readonly number[]): Uint8Array {
    const tag = this.nextTag;
    if (tag === undefined) throw new DerError("it ends too early");
    if (!tags.includes(tag))
      throw new DerError(`it has an element of type ${tag} at an unexpected place`);
    this.#offset++;

    const length = this.#readLength();
    const start = this.#offset;
    if (length > this.#bytes.length - start)
      throw new DerError("an element is longer than the file");
    this.#offset += length;
    return this.#bytes.subarray(start, this.#offset);
  }

  /** Reads the next element if it has one of `tags`; otherwise reads nothing and returns undefined. */
  readOptional(...tags: readonly number[]): Uint8Array | undefined {
    const { nextTag } = this;
    return nextTag !== undefined && tags.includes(nextTag) ? this.read(...tags) : undefined;
  }

  /** @throws {DerError} if elements are left. */
  end(): void {
    if (this.nextTag !== undefined) throw new DerError("it has more elements than expected");
  }

  #readLength(): number {
    const first = this.#readByte();
    if (first < 0x80) return first;

    const count = first - 0x80;
    if (count === 0 || count > MAX_LENGTH_BYTES)
      throw new DerError("the length of an element is not DER");
    let length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + this.#readByte();
    const isShortest = length >= 0x80 && length >= 2 ** (8 * (count - 1));
    if (!isShortest) throw new DerError("the length of an element is not DER");
    return length;
  }

  #readByte(): number {
    const byte = this.#bytes[this.#offset++];
    if (byte === undefined) throw new DerError("it ends too early");
    return byte;
  }
}

/** Encodes an element with the given content. */
export function element(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag, ...lengthBytes(bytes.length)]), bytes]);
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 + bytes.length, ...bytes];
}

/** Encodes a SEQUENCE of encoded elements. */
export function sequence(...elements: readonly Uint8Array[]): Buffer {
  return element(TAG.SEQUENCE, ...elements);
}

/** Encodes a non-negative INTEGER from its bytes, the most significant first. */
export function unsignedInteger(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const isNegative = (bytes[start] ?? 0) >= 0x80;
  return element(TAG.INTEGER, Buffer.alloc(isNegative ? 1 : 0), bytes.subarray(start));
}

/** Encodes an OBJECT IDENTIFIER such as `2.5.29.17`. */
export function objectIdentifier(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  return element(
    TAG.OBJECT_IDENTIFIER,
    Buffer.from([first * 40 + second, ...rest.flatMap(base128)]),
  );
}

function base128(arc: number): number[] {
  const bytes = [arc % 128];
  for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
    bytes.unshift(0x80 + (left % 128));
  return bytes;
}

/** Encodes a BIT STRING. `unusedBits`: bits of the last byte that do not belong to it, 0 to 7. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return element(TAG.BIT_STRING, Buffer.from([unusedBits]), bytes);
}

/**
 * Encodes a time of a certificate, to the second: UTCTime until 2049, GeneralizedTime
 * from 2050 (RFC 5280, section 4.1.2.5). `ms` is since 1970.
 */
export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/\.\d+|[-:T]/g, "");
  const isUtcTime = digits < "2050";
  return isUtcTime
    ? element(TAG.UTC_TIME, Buffer.from(digits.slice(2)))
    : element(TAG.GENERALIZED_TIME, Buffer.from(digits));
}
