// Reads protobuf's wire format in place: tags, lengths, and where each field ends. Knows no
// schema and decodes no values. The errors are those of gogo/protobuf, with which etcd up to
// 3.6 decodes, because users know and search for them.

/** Wire types (https://protobuf.dev/programming-guides/encoding/#structure). */
export const VARINT = 0;
export const LENGTH_DELIMITED = 2;
const FIXED64 = 1;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;

// Nothing sends groups today. protobuf-go permits 10,000 levels, other decoders 100.
const MAX_GROUP_DEPTH = 100;

const NO_BYTES: Uint8Array = new Uint8Array(0);

/** The bytes are not a protobuf message, or not one that every decoder reads alike. */
export class WireError extends Error {
  override name = "WireError";
}

/**
 * A cursor over the fields of one message and of those embedded in it. `next()` reads a tag;
 * then either `skip()`, `readLength()` or `readVarint()` reads the value. All throw
 * `WireError`; a reader that threw may be used again after `open()`.
 *
 * It accepts only what all decoders of etcd's versions read alike. It refuses tags of more
 * than 32 bits, which gogo/protobuf truncates to a smaller field number, and varints of more
 * than 64 bits, which it truncates as well.
 */
export class WireReader {
  /** The field number of the last tag. */
  number = 0;
  /** The wire type of the last tag. */
  wireType = 0;
  /** The offset of the last tag. */
  tagAt = 0;
  /** The offset of the length that `readLength()` read last. */
  lengthAt = 0;
  /** The offset of the value to which that length belongs. */
  valueAt = 0;
  /** Where that value ends. */
  valueEnd = 0;

  #bytes = NO_BYTES;
  #at = 0;
  #end = 0;

  /** Starts at the first field of `message`. */
  open(message: Uint8Array): void {
    this.#bytes = message;
    this.#at = 0;
    this.#end = message.length;
  }

  /** Releases the message. */
  close(): void {
    this.#bytes = NO_BYTES;
    this.#at = this.#end = 0;
  }

  /** The offset of the next byte to be read. */
  get at(): number {
    return this.#at;
  }

  /** Reads a tag. Returns false at the end of the message. `message` is its name, for errors. */
  next(message: string): boolean {
    if (this.#at >= this.#end) return false;
    this.#readTag();
    if (this.wireType === END_GROUP)
      throw new WireError(`proto: ${message}: wiretype end group for non-group`);
    if (this.number === 0)
      throw new WireError(`proto: ${message}: illegal tag 0 (wire type ${this.wireType})`);
    return true;
  }

  /** Reads the length of a length-delimited field and moves to the end of its value. */
  readLength(): void {
    this.lengthAt = this.#at;
    const length = this.readVarint();
    // As a signed integer of 64 bits, it is negative.
    if (length >= 2 ** 63) throw new WireError("proto: negative length found during unmarshaling");
    if (length > this.#end - this.#at) throw unexpectedEnd();
    this.valueAt = this.#at;
    this.valueEnd = this.#at += length;
  }

  /** Reads a varint, which is exact up to 2^53 and rounded above. */
  readVarint(): number {
    let value = 0;
    let unit = 1;
    for (let i = 0; ; i++) {
      if (this.#at >= this.#end) throw unexpectedEnd();
      const byte = this.#bytes[this.#at++]!;
      // The tenth byte has only the highest of the 64 bits.
      if (i === 9 && byte > 1) throw overflow();
      value += (byte & 0x7f) * unit;
      if (byte < 0x80) return value;
      unit *= 128;
    }
  }

  /** Moves to the end of the field whose tag was read. */
  skip(): void {
    this.#skip(0);
  }

  /**
   * Continues at the first field of the embedded message from `start` to `end`, which were the
   * offsets of a value. Returns the argument for `leave()`.
   */
  enter(start: number, end: number): number {
    const outerEnd = this.#end;
    this.#at = start;
    this.#end = end;
    return outerEnd;
  }

  /** Continues after the embedded message, once `next()` has returned false for it. */
  leave(outerEnd: number): void {
    this.#end = outerEnd;
  }

  #readTag(): void {
    this.tagAt = this.#at;
    const tag = this.readVarint();
    if (tag > 0xffff_ffff) throw overflow();
    this.number = tag >>> 3;
    this.wireType = tag & 7;
  }

  #skip(depth: number): void {
    switch (this.wireType) {
      case VARINT:
        return this.#skipVarint();
      case FIXED64:
        return this.#advance(8);
      case LENGTH_DELIMITED:
        return this.readLength();
      case START_GROUP:
        return this.#skipGroup(this.number, depth);
      case FIXED32:
        return this.#advance(4);
      default:
        throw new WireError(`proto: illegal wireType ${this.wireType}`);
    }
  }

  #skipVarint(): void {
    for (let i = 0; ; i++) {
      if (this.#at >= this.#end) throw unexpectedEnd();
      const byte = this.#bytes[this.#at++]!;
      if (i === 9 && byte > 1) throw overflow();
      if (byte < 0x80) return;
    }
  }

  #skipGroup(number: number, depth: number): void {
    if (depth === MAX_GROUP_DEPTH) throw new WireError("proto: exceeded maximum recursion depth");
    for (;;) {
      if (this.#at >= this.#end) throw unexpectedEnd();
      this.#readTag();
      if (this.wireType !== END_GROUP && this.number !== 0) {
        this.#skip(depth + 1);
        continue;
      }
      // gogo/protobuf ends a group at any end tag, protobuf-go only at its own.
      if (this.number === number) return;
      throw new WireError("proto: unexpected end of group");
    }
  }

  #advance(bytes: number): void {
    if (bytes > this.#end - this.#at) throw unexpectedEnd();
    this.#at += bytes;
  }
}

function unexpectedEnd(): WireError {
  return new WireError("unexpected EOF");
}

function overflow(): WireError {
  return new WireError("proto: integer overflow");
}
