// Raw protobuf bytes for tests, field by field and without a schema, so that they can be as
// crafted as a test needs; protobuf.ts has whole messages. The decoder is as lenient as
// gogo/protobuf's generated code, so it reads what etcd up to 3.6 would read.

/** Bytes, or a string of them: a character is a byte. */
export type Bytes = string | Uint8Array;

export interface WireField {
  readonly number: number;
  readonly wireType: number;
  /** The value of a length-delimited field; else the bytes of the value. */
  readonly value: Buffer;
}

export const bytesOf = (bytes: Bytes): Buffer =>
  typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);

/** Joins fields to a message. */
export const message = (...fields: readonly Bytes[]): Buffer => Buffer.concat(fields.map(bytesOf));

/** Encodes a varint. `padding` appends that number of superfluous bytes. */
export function varint(value: number | bigint, padding = 0): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  for (; padding > 0; padding--) {
    bytes[bytes.length - 1]! |= 0x80;
    bytes.push(0);
  }
  return Buffer.from(bytes);
}

export const tag = (number: number, wireType: number): Buffer =>
  varint((BigInt(number) << 3n) | BigInt(wireType));

/** Encodes a length-delimited field: its value is one string of bytes, or the fields of a message. */
export function field(number: number, ...values: readonly Bytes[]): Buffer {
  const value = message(...values);
  return message(tag(number, 2), varint(value.length), value);
}

export const varintField = (number: number, value: number | bigint): Buffer =>
  message(tag(number, 0), varint(value));

/** Decodes the fields of a message. Throws a string if gogo/protobuf would refuse it. */
export function fieldsOf(bytes: Uint8Array): WireField[] {
  const cursor = new Cursor(bytes);
  const fields: WireField[] = [];
  while (!cursor.isAtEnd) {
    const number = cursor.tag();
    if (number.wireType === 4 || number.number <= 0) throw "illegal tag";
    fields.push({ ...number, value: cursor.value(number.wireType) });
  }
  return fields;
}

class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  tag(): { number: number; wireType: number } {
    const value = this.varint();
    return { number: Number(BigInt.asIntN(32, value >> 3n)), wireType: Number(value & 7n) };
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 64n; shift += 7n) {
      const byte = this.#take(1)[0]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw "integer overflow";
  }

  value(wireType: number): Buffer {
    const start = this.#at;
    if (wireType === 2) return this.#take(Number(BigInt.asIntN(64, this.varint())));
    this.#skip(wireType);
    return this.#bytes.subarray(start, this.#at);
  }

  #skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.#take(8);
    else if (wireType === 5) this.#take(4);
    else if (wireType === 2) this.value(2);
    else if (wireType === 3) this.#skipGroup();
    else throw "illegal wire type";
  }

  #skipGroup(): void {
    for (let depth = 1; depth > 0;) {
      const { wireType } = this.tag();
      if (wireType === 3) depth++;
      else if (wireType === 4) depth--;
      else this.#skip(wireType);
    }
  }

  #take(length: number): Buffer {
    if (length < 0 || length > this.#bytes.length - this.#at) throw "unexpected end";
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
