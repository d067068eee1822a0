// A protobuf codec for tests, written independently of src/protobuf: messages are tables of
// fields. Bytes and text are strings of one character per byte, so that they compare and print
// well and lose nothing.

/** A field of a message: what it takes when it is encoded, and what it holds once decoded. */
export interface Field<In, Out> {
  readonly number: number;
  readonly isRepeated: boolean;
  /** 0: varint, 2: length-delimited. */
  readonly wire: 0 | 2;
  /** Returns undefined for the default, which is not encoded. */
  readonly write: (value: In) => bigint | Uint8Array | undefined;
  readonly read: (value: bigint | Buffer) => unknown;
  readonly default: () => Out;
}

type Shape = Readonly<Record<string, Field<any, unknown>>>;

/** What a message's encode() takes. */
export type Input<S extends Shape> = {
  readonly [K in keyof S]?: S[K] extends Field<infer In, unknown> ? In : never;
};

/** What a message's decode() returns. */
export type Output<S extends Shape> = {
  readonly [K in keyof S]: S[K] extends Field<any, infer Out> ? Out : never;
};

/** An integer within 2^53: revisions, counts, TTLs, enums. */
export const int = (number: number): Field<number, number> => ({
  ...{ number, isRepeated: false, wire: 0, default: () => 0 },
  write: (value) => (value === 0 ? undefined : BigInt(value)),
  read: (value) => {
    const result = Number(BigInt.asIntN(64, value as bigint));
    if (!Number.isSafeInteger(result)) throw new Error(`field ${number} holds ${value}`);
    return result;
  },
});

/** A 64-bit identity: of a cluster, member or lease. */
export const id = (number: number): Field<bigint, bigint> => ({
  ...{ number, isRepeated: false, wire: 0, default: () => 0n },
  write: (value) => (value === 0n ? undefined : value),
  read: (value) => value,
});

export const bool = (number: number): Field<boolean, boolean> => ({
  ...{ number, isRepeated: false, wire: 0, default: () => false },
  write: (value) => (value ? 1n : undefined),
  read: (value) => value !== 0n,
});

/** Bytes or text: one character per byte. */
export const bytes = (number: number): Field<string | Uint8Array, string> => ({
  ...{ number, isRepeated: false, wire: 2, default: () => "" },
  write: (value) => {
    if (value.length === 0) return undefined;
    return typeof value === "string" ? Buffer.from(value, "latin1") : value;
  },
  read: (value) => (value as Buffer).toString("latin1"),
});

/** A message, which is encoded even if it is empty. */
export const nested = <S extends Shape>(
  number: number,
  message: Message<S>,
): Field<Input<S>, Output<S> | undefined> => ({
  ...{ number, isRepeated: false, wire: 2, default: () => undefined },
  write: (value) => message.encode(value),
  read: (value) => message.decode(value as Buffer),
});

/** A list, unpacked: lists of integers are not supported. */
export const repeated = <In, Out>(
  field: Field<In, Out>,
): Field<readonly In[], readonly NonNullable<Out>[]> =>
  ({ ...field, isRepeated: true, default: () => [] }) as never;

/** A message type: a table of its fields, in the order of their numbers. */
export class Message<S extends Shape> {
  readonly #fields: S;

  constructor(fields: S) {
    this.#fields = fields;
  }

  /** Encodes as Go does: in the order of the table, without defaults. */
  encode(value: Input<S>): Buffer {
    const parts: Uint8Array[] = [];
    for (const [name, { number, isRepeated, write, wire }] of Object.entries(this.#fields)) {
      const given = (value as Record<string, any>)[name];
      if (given === undefined) continue;
      for (const item of isRepeated ? given : [given]) {
        // A list's element is encoded even if it is the default.
        const written = write(item) ?? (isRepeated ? new Uint8Array() : undefined);
        if (written === undefined) continue;
        parts.push(varint(BigInt((number << 3) | wire)));
        if (typeof written === "bigint") parts.push(varint(written));
        else parts.push(varint(BigInt(written.length)), written);
      }
    }
    return Buffer.concat(parts);
  }

  /** Decodes; unknown fields are kept in hexadecimal below their numbers. */
  decode(encoded: Uint8Array): Output<S> {
    const result: Record<string, any> = {};
    const byNumber = new Map<number, [string, Field<any, unknown>]>();
    for (const [name, field] of Object.entries(this.#fields)) {
      result[name] = field.default();
      byNumber.set(field.number, [name, field]);
    }
    for (const { number, value } of fieldsOf(encoded)) {
      const [name, field] = byNumber.get(number) ?? [];
      if (name === undefined || field === undefined)
        (result[`unknown ${number}`] ??= []).push(value.toString(16 as never));
      else if (field.isRepeated) result[name].push(field.read(value));
      else result[name] = field.read(value);
    }
    return result as Output<S>;
  }
}

/** Yields the fields of an encoded message. Throws on a wire type that etcd does not use. */
export function* fieldsOf(
  encoded: Uint8Array,
): Generator<{ number: number; value: bigint | Buffer }> {
  const buffer = Buffer.from(encoded.buffer, encoded.byteOffset, encoded.length);
  let offset = 0;
  const next = () => {
    let result = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = buffer[offset++];
      if (byte === undefined) throw new Error("the message ends within a field");
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, result);
    }
  };
  while (offset < buffer.length) {
    const tag = Number(next());
    const wire = tag & 7;
    if (wire !== 0 && wire !== 2) throw new Error(`wire type ${wire}`);
    let value: bigint | Buffer = next();
    if (wire === 2) {
      const end = offset + Number(value);
      if (end > buffer.length) throw new Error("the message ends within a field");
      value = buffer.subarray(offset, end);
      offset = end;
    }
    yield { number: tag >>> 3, value };
  }
}

function varint(value: bigint): Uint8Array {
  const encoded: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 0x7fn; rest >>= 7n) encoded.push(Number(rest & 0x7fn) | 0x80);
  encoded.push(Number(rest));
  return Uint8Array.from(encoded);
}
