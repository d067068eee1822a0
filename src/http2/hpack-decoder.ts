// Decodes header blocks (RFC 7541) and remembers blocks that repeat. It does not validate
// names and values, which is the connection's task (RFC 9113, section 8.2).
import { FIELD_OVERHEAD_BYTES, type HeaderList } from "./header-list.ts";
import { DynamicTable, STATIC_COUNT, STATIC_FIELDS } from "./hpack-table.ts";
import { decodeHuffman } from "./huffman.ts";

/** A header block breaks RFC 7541. Becomes COMPRESSION_ERROR (RFC 9113, section 4.3). */
export class HpackError extends Error {}

export interface HpackDecoderOptions {
  /** Our SETTINGS_HEADER_TABLE_SIZE: at least 4096, which a peer uses until it has our settings. */
  readonly maxTableBytes: number;
  /** Our SETTINGS_MAX_HEADER_LIST_SIZE. */
  readonly maxListBytes: number;
}

// First bytes of the representations (section 6). Anything below is a literal that is not indexed.
const INDEXED = 0x80;
const LITERAL_WITH_INDEXING = 0x40;
const SIZE_UPDATE = 0x20;

/** Decodes the header blocks of one connection, in the order of their arrival. */
export class HpackDecoder {
  readonly #options: HpackDecoderOptions;
  #dynamicTable: DynamicTable | undefined;
  #cache: BlockCache | undefined;
  /** The list of the current block; undefined between blocks, and if it is too large. */
  #list: string[] | undefined;
  #listBytes = 0;

  constructor(options: HpackDecoderOptions) {
    this.#options = options;
  }

  /** The dynamic table. Public for tests only. */
  get table(): DynamicTable {
    return (this.#dynamicTable ??= new DynamicTable(this.#options.maxTableBytes));
  }

  /**
   * Decodes one complete header block. The list may be that of an earlier block, so it must not
   * be changed. Returns undefined if the list is larger than `maxListBytes`; later blocks are
   * decoded correctly then.
   *
   * @throws HpackError, after which the decoder must not be used
   */
  decode(block: Uint8Array): HeaderList | undefined {
    const { generation } = this.table;
    const hash = block.length > MAX_CACHED_BLOCK_BYTES ? undefined : hashOf(block);
    const cached = hash === undefined ? undefined : this.#cache?.find(block, hash);
    if (cached !== undefined) return cached;

    this.#list = [];
    this.#listBytes = 0;
    this.#decodeFields(new BlockReader(block, this.#maxStringBytes));
    const list = this.#takeList();
    if (this.table.generation !== generation) this.#cache?.clear();
    else if (list !== undefined && hash !== undefined)
      (this.#cache ??= new BlockCache()).add(block, hash, list, this.#listBytes);
    return list;
  }

  /** A longer string fits into neither a list nor the table. */
  get #maxStringBytes(): number {
    return Math.max(this.#options.maxListBytes, this.#options.maxTableBytes);
  }

  #takeList(): HeaderList | undefined {
    const list = this.#list;
    this.#list = undefined;
    return list;
  }

  #decodeFields(reader: BlockReader): void {
    let isStart = true;
    while (!reader.isAtEnd) {
      const first = reader.nextByte;
      if (first >= INDEXED) this.#indexedField(reader);
      else if (first >= LITERAL_WITH_INDEXING) this.#literalField(reader, 0x3f);
      else if (first < SIZE_UPDATE) this.#literalField(reader, 0x0f);
      else if (isStart) {
        this.#updateSize(reader);
        continue;
      } else throw new HpackError("table size update after a field");

      isStart = false;
    }
  }

  /** Section 6.1. */
  #indexedField(reader: BlockReader): void {
    const index = reader.integer(0x7f);
    if (index > STATIC_COUNT) {
      const serial = this.#serialOf(index);
      this.#append(this.table.name(serial), this.table.value(serial));
    } else if (index > 0)
      this.#append(STATIC_FIELDS[2 * index - 2]!, STATIC_FIELDS[2 * index - 1]!);
    else throw new HpackError("index 0");
  }

  /** Section 6.2. `mask` is the prefix of the index; that of a field with indexing is 0x3f. */
  #literalField(reader: BlockReader, mask: number): void {
    const index = reader.integer(mask);
    const name = index === 0 ? reader.string() : this.#nameAt(index);
    const value = reader.string();
    if (name === undefined || value === undefined) {
      this.#list = undefined;
      // A field that is larger than the table leaves it empty (section 4.4).
      if (mask === 0x3f) this.table.clear();
      return;
    }

    this.#append(name, value);
    if (mask === 0x3f) this.table.insert(name, value);
  }

  /** Section 6.3. */
  #updateSize(reader: BlockReader): void {
    const bytes = reader.integer(0x1f);
    if (bytes > this.#options.maxTableBytes)
      throw new HpackError(`table size update to ${bytes}, above the setting`);
    this.table.setMaxBytes(bytes);
  }

  #append(name: string, value: string): void {
    this.#listBytes += name.length + value.length + FIELD_OVERHEAD_BYTES;
    if (this.#listBytes > this.#options.maxListBytes) this.#list = undefined;
    this.#list?.push(name, value);
  }

  /** The index is not 0. */
  #nameAt(index: number): string {
    if (index <= STATIC_COUNT) return STATIC_FIELDS[2 * index - 2]!;
    return this.table.name(this.#serialOf(index));
  }

  #serialOf(index: number): number {
    const age = index - STATIC_COUNT - 1;
    if (age >= this.table.count) throw new HpackError(`index ${index} is beyond the tables`);
    return this.table.newest - age;
  }
}

// Limits of integers, which section 5.1 leaves to the implementation.
const MAX_INTEGER = 2 ** 28;
const MAX_CONTINUATION_BYTES = 5;

const SCRATCH_BYTES = 4096;
let scratch: Uint8Array | undefined;

// TextDecoder has no latin1: its label "latin1" means windows-1252. The types omit this method.
const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
};

/** Reads integers and strings from a block (section 5). */
class BlockReader {
  readonly #block: Uint8Array;
  readonly #maxStringBytes: number;
  #at = 0;

  constructor(block: Uint8Array, maxStringBytes: number) {
    this.#block = block;
    this.#maxStringBytes = maxStringBytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#block.length;
  }

  /** The byte that is read next; 0 at the end of the block. */
  get nextByte(): number {
    return this.#block[this.#at] ?? 0;
  }

  /** Reads an integer (section 5.1) whose prefix is the bits of `mask`. */
  integer(mask: number): number {
    const prefix = this.#byte() & mask;
    if (prefix < mask) return prefix;

    let value = mask;
    for (let i = 0; i < MAX_CONTINUATION_BYTES; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (value > MAX_INTEGER) break;
      if (byte < 0x80) return value;
    }
    throw new HpackError("integer overflow");
  }

  /** Reads a string (section 5.2). Returns undefined if it is valid and longer than the maximum. */
  string(): string | undefined {
    const isHuffman = this.nextByte >= 0x80;
    const length = this.integer(0x7f);
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#block.length) throw new HpackError("truncated block");

    if (isHuffman) return this.#huffmanString(start);
    return length > this.#maxStringBytes
      ? undefined
      : latin1Slice.call(this.#block, start, this.#at);
  }

  #huffmanString(start: number): string | undefined {
    // The shortest code has 5 bits.
    const longest = Math.floor(((this.#at - start) * 8) / 5);
    let to = (scratch ??= new Uint8Array(SCRATCH_BYTES));
    if (longest > SCRATCH_BYTES) to = new Uint8Array(Math.min(longest, this.#maxStringBytes));
    const length = decodeHuffman(this.#block, start, this.#at, to);
    if (length < 0) throw new HpackError("malformed Huffman string");
    return length > this.#maxStringBytes ? undefined : latin1Slice.call(to, 0, length);
  }

  #byte(): number {
    if (this.isAtEnd) throw new HpackError("truncated block");
    return this.#block[this.#at++]!;
  }
}

const MAX_CACHED_BLOCKS = 64;
const MAX_CACHED_BLOCK_BYTES = 512;
// Limits what one connection can make us keep: blocks and the lists that they decode to.
const MAX_CACHED_BYTES = 32 * 1024;

interface CachedBlock {
  readonly block: Uint8Array;
  readonly list: HeaderList;
}

/** Lists by blocks that did not change the table. gRPC peers repeat the same few. */
class BlockCache {
  /** By hash. Undefined: seen once; most blocks that are not repeated soon never are. */
  readonly #blocks = new Map<number, CachedBlock | undefined>();
  #bytes = 0;

  /** Returns the list of an equal block. */
  find(block: Uint8Array, hash: number): HeaderList | undefined {
    const cached = this.#blocks.get(hash);
    return cached !== undefined && isEqual(cached.block, block) ? cached.list : undefined;
  }

  /** Adds a block that `find()` did not find, the second time that it comes. */
  add(block: Uint8Array, hash: number, list: HeaderList, listBytes: number): void {
    const bytes = block.length + listBytes;
    if (bytes > MAX_CACHED_BYTES) return;

    if (!this.#blocks.has(hash)) {
      if (this.#blocks.size >= MAX_CACHED_BLOCKS) this.clear();
      this.#blocks.set(hash, undefined);
    } else if (this.#blocks.get(hash) === undefined) {
      if (this.#bytes + bytes > MAX_CACHED_BYTES) this.clear();
      // Not slice(), which returns a view if the block is a Buffer.
      this.#blocks.set(hash, { block: new Uint8Array(block), list });
      this.#bytes += bytes;
    }
  }

  /** Forgets all blocks, since the table that they refer to has changed. */
  clear(): void {
    if (this.#blocks.size > 0) this.#blocks.clear();
    this.#bytes = 0;
  }
}

/** FNV-1a. */
function hashOf(block: Uint8Array): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < block.length; i++) hash = Math.imul(hash ^ block[i]!, 0x01000193);
  return hash;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
