// Encodes header lists as header blocks (RFC 7541) and remembers lists that repeat. The
// peer's settings limit the dynamic table; the caller limits the size of a list.
import { FIELD_OVERHEAD_BYTES, type HeaderList } from "./header-list.ts";
import {
  DEFAULT_TABLE_BYTES,
  DynamicTable,
  FieldIndex,
  STATIC_COUNT,
  STATIC_FIELDS,
} from "./hpack-table.ts";
import { encodeHuffman, huffmanBytes } from "./huffman.ts";

export interface HpackEncoderOptions {
  /** The maximum size of the dynamic table, whatever the peer permits. */
  readonly maxTableBytes: number;
}

// The first bytes of the representations, without index or size (section 6).
const INDEXED = 0x80;
const WITH_INDEXING = 0x40;
const SIZE_UPDATE = 0x20;
const NEVER_INDEXED = 0x10;
const WITHOUT_INDEXING = 0x00;

/** Literals by name. All other fields are inserted into the table. */
const LITERALS: ReadonlyMap<string, number> = new Map([
  // Secrets: not in any table, so no peer of an intermediary can guess at them (section 7.1).
  ["authorization", NEVER_INDEXED],
  ["cookie", NEVER_INDEXED],
  ["token", NEVER_INDEXED],
  // Values that hardly ever repeat.
  ["content-length", WITHOUT_INDEXING],
  ["grpc-message", WITHOUT_INDEXING],
  ["grpc-timeout", WITHOUT_INDEXING],
]);

// A field that takes more of the table would evict too many others.
const MAX_FIELD_SHARE = 1 / 4;

// The maximum length of an encoded integer: our integers are below 2^32.
const INTEGER_BYTES = 6;

/** Encodes the header blocks of one connection, in the order in which they are sent. */
export class HpackEncoder {
  readonly #maxTableBytes: number;
  #dynamicTable: DynamicTable | undefined;
  #peerTableBytes = DEFAULT_TABLE_BYTES;
  /** The smallest size of the table since the last block; undefined: no update is due. */
  #smallestUpdate: number | undefined;
  #blocks: BlockCache | undefined;
  /** Whether the current list has a value that will hardly repeat. */
  #hasVariable = false;

  constructor({ maxTableBytes }: HpackEncoderOptions) {
    this.#maxTableBytes = maxTableBytes;
    if (maxTableBytes < DEFAULT_TABLE_BYTES) this.#setTableBytes(maxTableBytes);
  }

  /** The dynamic table. Public for tests only. */
  get table(): DynamicTable {
    return (this.#dynamicTable ??= new DynamicTable(DEFAULT_TABLE_BYTES, new FieldIndex()));
  }

  /**
   * Applies the peer's SETTINGS_HEADER_TABLE_SIZE. The next block starts with the size updates
   * that this needs (RFC 7541, section 4.2; RFC 9113, section 4.3.1).
   */
  setPeerTableBytes(bytes: number): void {
    const size = Math.min(bytes, this.#maxTableBytes);
    // A peer may insist on an update after each reduction, even if our table was smaller already.
    const current = this.#dynamicTable?.maxBytes ?? DEFAULT_TABLE_BYTES;
    if (size !== current || bytes < this.#peerTableBytes) this.#setTableBytes(size);
    this.#peerTableBytes = bytes;
  }

  #setTableBytes(bytes: number): void {
    this.table.setMaxBytes(bytes);
    this.#blocks = undefined;
    this.#smallestUpdate = Math.min(bytes, this.#smallestUpdate ?? bytes);
  }

  /**
   * Encodes `list` to `out` from `offset`, which has room for `maxEncodedBytes(list)`. Returns the
   * end offset. The list must never be changed afterwards, since its block may be remembered.
   * Of characters above U+00FF, only the low byte is encoded.
   */
  encode(list: HeaderList, out: Uint8Array, offset: number): number {
    const start = this.#smallestUpdate === undefined ? offset : this.#sizeUpdates(out, offset);
    const { generation } = this.table;
    const block = this.#blocks?.find(list);
    if (block !== undefined) {
      out.set(block, start);
      return start + block.length;
    }

    this.#hasVariable = false;
    let end = start;
    for (let i = 0; i < list.length; i += 2) end = this.#field(list[i]!, list[i + 1]!, out, end);
    if (this.table.generation !== generation) this.#blocks = undefined;
    else if (!this.#hasVariable) (this.#blocks ??= new BlockCache()).add(list, out, start, end);
    return end;
  }

  #sizeUpdates(out: Uint8Array, offset: number): number {
    const { table } = this;
    const hasGrown = this.#smallestUpdate! < table.maxBytes;
    this.#smallestUpdate = undefined;
    let at = offset;
    if (hasGrown) {
      // The smallest size between two blocks comes first. It is 0, since Go's decoder takes a
      // second update only while its table is empty (golang/go#29187).
      table.clear();
      out[at++] = SIZE_UPDATE;
    }
    return writeInteger(table.maxBytes, SIZE_UPDATE, 0x1f, out, at);
  }

  #field(name: string, value: string, out: Uint8Array, offset: number): number {
    let index = staticIndex().find(name, value);
    if (index <= 0) {
      const found = this.table.find(name, value);
      const dynamic = STATIC_COUNT + 1 + this.table.newest;
      if (found > 0) index = dynamic - found;
      else if (index === 0 && found < 0) index = -(dynamic + found);
    }
    if (index > 0) return writeInteger(index, INDEXED, 0x7f, out, offset);

    const kind = this.#literalKind(name, value);
    if (kind === WITHOUT_INDEXING && value !== "") this.#hasVariable = true;
    let at = writeInteger(-index, kind, kind === WITH_INDEXING ? 0x3f : 0x0f, out, offset);
    if (index === 0) at = writeString(name, out, at);
    if (kind === WITH_INDEXING) this.table.insert(name, value);
    return writeString(value, out, at);
  }

  #literalKind(name: string, value: string): number {
    const bytes = name.length + value.length + FIELD_OVERHEAD_BYTES;
    const isLarge = bytes > this.table.maxBytes * MAX_FIELD_SHARE;
    return LITERALS.get(name) ?? (isLarge ? WITHOUT_INDEXING : WITH_INDEXING);
  }
}

// Limits the blocks that one encoder remembers, with their overhead.
const MAX_CACHED_BYTES = 256 * 1024;
const BLOCK_OVERHEAD_BYTES = 100;

/** Blocks by the identity of their list: decoders return the same list for a block that repeats. */
class BlockCache {
  #blocks = new WeakMap<HeaderList, Uint8Array>();
  #bytes = 0;

  find(list: HeaderList): Uint8Array | undefined {
    return this.#blocks.get(list);
  }

  /** Adds the block from `start` to `end` of `out`. It must not have changed the table. */
  add(list: HeaderList, out: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#bytes += length + BLOCK_OVERHEAD_BYTES;
    if (this.#bytes > MAX_CACHED_BYTES) {
      this.#bytes = length + BLOCK_OVERHEAD_BYTES;
      this.#blocks = new WeakMap();
    }
    // Not slice(), which returns a view if `out` is a Buffer.
    const block = new Uint8Array(length);
    for (let i = 0; i < length; i++) block[i] = out[start + i]!;
    this.#blocks.set(list, block);
  }
}

/** Returns the room that `HpackEncoder.encode()` needs for `list`. */
export function maxEncodedBytes(list: HeaderList): number {
  // Two size updates, and per field an index and the lengths of two strings.
  let bytes = INTEGER_BYTES * (2 + (list.length / 2) * 3);
  for (const text of list) bytes += text.length;
  return bytes;
}

let statics: FieldIndex | undefined;

function staticIndex(): FieldIndex {
  return (statics ??= createStaticIndex());
}

function createStaticIndex(): FieldIndex {
  const index = new FieldIndex();
  // Backwards, so that the first of several values stands for the name, as in the RFC's examples.
  for (let i = STATIC_COUNT; i > 0; i--)
    index.add(STATIC_FIELDS[2 * i - 2]!, STATIC_FIELDS[2 * i - 1]!, i);
  return index;
}

/** Writes an integer (section 5.1). Its prefix is `mask`; `first` has the bits before that. */
function writeInteger(
  value: number,
  first: number,
  mask: number,
  out: Uint8Array,
  offset: number,
): number {
  if (value < mask) {
    out[offset] = first | value;
    return offset + 1;
  }

  let at = offset;
  out[at++] = first | mask;
  let rest = value - mask;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) out[at++] = 0x80 | (rest % 0x80);
  out[at++] = rest;
  return at;
}

/** Writes a string (section 5.2), with the Huffman code if that is shorter. */
function writeString(text: string, out: Uint8Array, offset: number): number {
  const length = huffmanBytes(text);
  if (length < text.length)
    return encodeHuffman(text, out, writeInteger(length, 0x80, 0x7f, out, offset));

  let at = writeInteger(text.length, 0, 0x7f, out, offset);
  for (let i = 0; i < text.length; i++) out[at++] = text.charCodeAt(i);
  return at;
}
