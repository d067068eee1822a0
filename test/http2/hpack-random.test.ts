// Random header lists, table sizes and damaged blocks: the decoder restores each list that was
// encoded, and rejects whatever is not a header block.
import { describe, expect, test } from "bun:test";
import { type HeaderList, headerListBytes } from "../../src/http2/header-list.ts";
import { HpackDecoder, HpackError } from "../../src/http2/hpack-decoder.ts";
import { HpackEncoder, maxEncodedBytes } from "../../src/http2/hpack-encoder.ts";
import { DynamicTable, STATIC_FIELDS } from "../../src/http2/hpack-table.ts";
import { oneOf, type Random, randomFrom, seed } from "../support/random-input.ts";

const CONNECTIONS = 300;
const LISTS_PER_CONNECTION = 80;
const MAX_LIST_BYTES = 1200;

const NAMES = [
  ...[":method", ":path", ":status", ":authority", "content-type", "user-agent", "content-length"],
  ...["te", "grpc-status", "grpc-message", "grpc-timeout", "authorization", "cookie", "token"],
  ...["x", "y", "\u00ff-bin"],
];
const VALUES = ["", "GET", "/", "200", "0", "gzip", "trailers", "application/grpc", "5S", "\u0000"];

function randomText(random: Random, maxLength: number): string {
  const alphabet = oneOf(random, ["01", "abcdefghijklmnop-/.", "\u0000\n~\\\u0080\u00ff"]);
  return Array.from(
    { length: random(maxLength + 1) },
    () => alphabet[random(alphabet.length)],
  ).join("");
}

function randomField(random: Random): readonly [string, string] {
  if (random(6) === 0) {
    const at = 2 * random(STATIC_FIELDS.length / 2);
    return [STATIC_FIELDS[at]!, STATIC_FIELDS[at + 1]!];
  }
  const name = random(8) === 0 ? randomText(random, 200) : oneOf(random, NAMES);
  const isLong = random(10) === 0;
  return [name, random(2) === 0 ? oneOf(random, VALUES) : randomText(random, isLong ? 2000 : 12)];
}

const randomList = (random: Random): HeaderList =>
  Array.from({ length: random(12) }, () => randomField(random)).flat();

function fieldsOf(table: DynamicTable): string[] {
  return Array.from({ length: table.count }, (_, age) => {
    const serial = table.newest - age;
    return `${table.name(serial)}: ${table.value(serial)}`;
  });
}

const tableBytes = (table: DynamicTable) =>
  fieldsOf(table).reduce((sum, field) => sum + field.length - 2 + 32, 0);

/** Calls `check` for each connection; a failure names the seed. */
function forEachConnection(check: (random: Random) => void): void {
  for (let i = 0; i < CONNECTIONS; i++) {
    try {
      check(randomFrom(seed + i));
    } catch (error) {
      throw new Error(`connection ${i} of FUZZ_SEED=${seed}: ${error}`, { cause: error });
    }
  }
}

/** Encodes a list after random bytes, so that what was there before must not matter. */
function encode(encoder: HpackEncoder, list: HeaderList, random: Random): Uint8Array {
  const offset = random(5);
  const out = Buffer.alloc(offset + maxEncodedBytes(list), random(256));
  const end = encoder.encode(list, out, offset);
  expect(end).toBeLessThanOrEqual(out.length);
  return out.subarray(offset, end);
}

/** The two ends of a connection. The table of the encoder changes its size from time to time. */
class Ends {
  readonly encoder: HpackEncoder;
  readonly decoder: HpackDecoder;
  readonly #setting: number;
  readonly #sizes: readonly number[];
  readonly #lists: HeaderList[] = Array.from({ length: 6 }, () => []);

  constructor(random: Random) {
    this.#setting = oneOf(random, [4096, 4096, 16_384]);
    this.#sizes = [0, 1, 33, 64, 100, 256, 1000, 4096, this.#setting];
    this.encoder = new HpackEncoder({ maxTableBytes: oneOf(random, this.#sizes) });
    this.decoder = new HpackDecoder({
      maxTableBytes: this.#setting,
      maxListBytes: MAX_LIST_BYTES,
    });
  }

  /** Returns a new list, or one of the last lists, as the same object or as another. */
  list(random: Random): HeaderList {
    const list = random(3) === 0 ? randomList(random) : oneOf(random, this.#lists);
    this.#lists[random(6)] = list;
    return random(4) === 0 ? [...list] : list;
  }

  resize(random: Random): void {
    for (let left = random(4); left > 0; left--)
      this.encoder.setPeerTableBytes(oneOf(random, this.#sizes));
  }
}

describe(`${CONNECTIONS * LISTS_PER_CONNECTION} random lists (FUZZ_SEED=${seed})`, () => {
  test("decode() restores each list, and the table of the encoder", () => {
    const counts = { tooLarge: 0, evicted: 0, remembered: 0 };
    forEachConnection((random) => {
      const ends = new Ends(random);
      const { encoder, decoder } = ends;
      const seen = new Set<HeaderList>();
      for (let i = 0; i < LISTS_PER_CONNECTION; i++) {
        if (random(8) === 0) ends.resize(random);
        const list = ends.list(random);
        const decoded = decoder.decode(encode(encoder, list, random));
        if (headerListBytes(list) > MAX_LIST_BYTES) {
          counts.tooLarge++;
          expect(decoded).toBeUndefined();
        } else expect(decoded).toEqual([...list]);

        // Until the first size update, the decoder's table may be larger.
        const fields = fieldsOf(encoder.table);
        expect(fieldsOf(decoder.table).slice(0, fields.length)).toEqual(fields);
        for (const table of [encoder.table, decoder.table]) {
          expect(table.bytes).toBe(tableBytes(table));
          expect(table.bytes).toBeLessThanOrEqual(table.maxBytes);
        }
        if (decoded !== undefined && seen.has(decoded)) counts.remembered++;
        else if (decoded !== undefined) seen.add(decoded);
      }
      counts.evicted += encoder.table.newest - encoder.table.count;
    });
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(CONNECTIONS / 3);
  });

  test("decode() returns the same list from memory as without it", () => {
    const counts = { remembered: 0, rejected: 0 };
    forEachConnection((random) => {
      const blocks = Array.from({ length: 12 }, () => randomBlock(random));
      const seen = new Set<HeaderList>();
      let [decoder, other] = [startedDecoder(), startedDecoder()];
      for (let i = 0; i < LISTS_PER_CONNECTION; i++) {
        const block = oneOf(random, random(2) === 0 ? blocks : blocks.slice(0, 2));
        // A block with a size update is never remembered. This one changes nothing.
        const update = sizeUpdate(other.table.maxBytes);
        const want = outcome(other, Buffer.concat([update, block]));
        const got = outcome(decoder, block);
        expect(got).toEqual(want);
        if (got instanceof HpackError) {
          counts.rejected++;
          [decoder, other] = [startedDecoder(), startedDecoder()];
        } else if (seen.has(got!)) counts.remembered++;
        else seen.add(got!);
      }
    });
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(CONNECTIONS / 3);
  });
});

/** Returns a decoder whose table has room for four short fields and holds two. */
function startedDecoder(): HpackDecoder {
  const decoder = new HpackDecoder({ maxTableBytes: 150, maxListBytes: MAX_LIST_BYTES });
  decoder.decode(Buffer.from("4001610131" + "4001620132", "hex"));
  return decoder;
}

/** Encodes a size below 158 (RFC 7541, section 6.3). */
const sizeUpdate = (bytes: number) => Buffer.from(bytes < 31 ? [0x20 | bytes] : [0x3f, bytes - 31]);

/** Returns a block of a few fields, many of them from the dynamic table. */
function randomBlock(random: Random): Buffer {
  const parts = random(12) === 0 ? [sizeUpdate(oneOf(random, [0, 34, 80, 150]))] : [];
  for (let left = 1 + random(3); left > 0; left--) {
    const kind = random(10);
    if (kind < 4) parts.push(Buffer.from([0x80 | (1 + random(61))]));
    else if (kind < 7) parts.push(Buffer.from([0x80 | (62 + random(2))]));
    else
      parts.push(
        Buffer.from([oneOf(random, [0x40, 0, 0x10]), 1, 97 + random(3), 1, 48 + random(9)]),
      );
  }
  return Buffer.concat(parts);
}

function outcome(decoder: HpackDecoder, block: Uint8Array): HeaderList | HpackError | undefined {
  try {
    return decoder.decode(block);
  } catch (error) {
    if (error instanceof HpackError) return error;
    throw error;
  }
}

/** Changes, removes, repeats or inserts bytes. */
function damaged(block: Uint8Array, random: Random): Buffer {
  let bytes = Buffer.from(block);
  for (let changes = random(4); changes > 0; changes--) {
    const at = random(bytes.length || 1);
    const kind = random(6);
    if (kind === 0) bytes = bytes.subarray(0, at);
    else if (kind === 1)
      bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(at + 1))]);
    else if (kind === 2) {
      const special = [[0xff], [0x3f], [0x80], [0x7f, 0xff, 0xff], [0x82], [0x20], [0, 0x80]];
      const inserted = Buffer.from(oneOf(random, special));
      bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]);
    } else if (at < bytes.length)
      bytes[at] = kind < 5 ? bytes[at]! ^ (1 << random(8)) : random(256);
  }
  return bytes;
}

const noise = (random: Random) =>
  Buffer.from(Array.from({ length: random(300) }, () => random(256)));

describe(`${CONNECTIONS * LISTS_PER_CONNECTION} damaged blocks (FUZZ_SEED=${seed})`, () => {
  test("decode() throws nothing but HpackError and keeps its limits", () => {
    const counts = { decoded: 0, rejected: 0, tooLarge: 0 };
    forEachConnection((random) => {
      const ends = new Ends(random);
      let { decoder } = ends;
      for (let i = 0; i < LISTS_PER_CONNECTION; i++) {
        const valid = encode(ends.encoder, ends.list(random), random);
        const block = random(10) === 0 ? noise(random) : damaged(valid, random);
        const got = outcome(decoder, block);
        expect(decoder.table.bytes).toBe(tableBytes(decoder.table));
        expect(decoder.table.bytes).toBeLessThanOrEqual(decoder.table.maxBytes);
        if (got instanceof HpackError) {
          counts.rejected++;
          ({ decoder } = new Ends(random));
        } else if (got === undefined) counts.tooLarge++;
        else {
          counts.decoded++;
          expect(headerListBytes(got)).toBeLessThanOrEqual(MAX_LIST_BYTES);
        }
      }
    });
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(CONNECTIONS / 3);
  });
});
