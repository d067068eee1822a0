// Encodes and decodes whole messages by field numbers, for the few that the proxy itself
// makes or reads. It is not for the data path.

/** A field: bytes, text, an embedded message that is encoded already, or an integer. */
export type FieldValue = Uint8Array | string | bigint | number | boolean;

/**
 * Encodes fields in the order given. Zero, false and empty values are left out, as proto3
 * does. Integers are varints, of 64 bits; negative ones in two's complement.
 */
export function encodeMessage(fields: readonly (readonly [number, FieldValue])[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [number, value] of fields) {
    if (typeof value === "string" || value instanceof Uint8Array) {
      const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
      if (bytes.length > 0) parts.push(varint(number * 8 + 2), varint(bytes.length), bytes);
    } else if (value) parts.push(varint(number * 8), varint(value));
  }
  return Buffer.concat(parts);
}

/** Encodes an embedded message that must be there even if it is empty, such as a oneof. */
export function encodeEmbedded(number: number, message: Uint8Array): Uint8Array {
  return Buffer.concat([varint(number * 8 + 2), varint(message.length), message]);
}

function varint(value: bigint | number | boolean): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

/** A message is not protobuf. */
export class MalformedMessage extends Error {
  override name = "MalformedMessage";
}

/** The fields of a message. The last of several values counts, as in proto3. */
export class Message {
  readonly #values = new Map<number, (Uint8Array | bigint)[]>();

  /** @throws {MalformedMessage} */
  constructor(bytes: Uint8Array) {
    for (let at = 0; at < bytes.length;) {
      const tag = readVarint(bytes, at);
      at = tag.end;
      const number = Number(tag.value >> 3n);
      const field = readValue(bytes, at, Number(tag.value & 7n));
      at = field.end;
      const values = this.#values.get(number) ?? [];
      this.#values.set(number, values);
      if (field.value !== undefined) values.push(field.value);
    }
  }

  /** Returns an integer as it stands on the wire: unsigned, of 64 bits. 0 if it is not there. */
  integer(number: number): bigint {
    const value = this.#values.get(number)?.at(-1);
    return typeof value === "bigint" ? value : 0n;
  }

  /** Returns an int64, or an enum or a flag, which fits in 2^53. */
  int(number: number): number {
    return Number(BigInt.asIntN(64, this.integer(number)));
  }

  bytes(number: number): Uint8Array {
    return this.all(number).at(-1) ?? EMPTY;
  }

  text(number: number): string {
    return new TextDecoder().decode(this.bytes(number));
  }

  /** Returns all values of a repeated field. */
  all(number: number): readonly Uint8Array[] {
    return (this.#values.get(number) ?? []).filter((value) => value instanceof Uint8Array);
  }

  message(number: number): Message {
    return new Message(this.bytes(number));
  }

  messages(number: number): readonly Message[] {
    return this.all(number).map((bytes) => new Message(bytes));
  }
}

interface Read<T> {
  readonly value: T;
  readonly end: number;
}

function readVarint(bytes: Uint8Array, from: number): Read<bigint> {
  let value = 0n;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[from + i];
    if (byte === undefined) break;
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return { value: BigInt.asUintN(64, value), end: from + i + 1 };
  }
  throw new MalformedMessage("a varint is cut off");
}

/** Reads the value of a field; undefined for fixed32 and fixed64, which etcd does not use. */
function readValue(
  bytes: Uint8Array,
  at: number,
  wireType: number,
): Read<Uint8Array | bigint | undefined> {
  if (wireType === 0) return readVarint(bytes, at);
  const isDelimited = wireType === 2;
  if (!isDelimited && wireType !== 1 && wireType !== 5)
    throw new MalformedMessage(`wire type ${wireType} is not supported`);
  const length = isDelimited ? readVarint(bytes, at) : undefined;
  const start = length?.end ?? at;
  const end = start + (length === undefined ? (wireType === 1 ? 8 : 4) : Number(length.value));
  if (end > bytes.length) throw new MalformedMessage("a field is cut off");
  return { value: isDelimited ? bytes.subarray(start, end) : undefined, end };
}

const EMPTY = new Uint8Array(0);
