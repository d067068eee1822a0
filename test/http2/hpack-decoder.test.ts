import { describe, expect, test } from "bun:test";
import { HpackDecoder, HpackError } from "../../src/http2/hpack-decoder.ts";
import type { DynamicTable } from "../../src/http2/hpack-table.ts";

const bytes = (hex: string) => Buffer.from(hex.replaceAll(/\s/g, ""), "hex");

function decoder({ maxTableBytes = 4096, maxListBytes = 16_384 } = {}): HpackDecoder {
  return new HpackDecoder({ maxTableBytes, maxListBytes });
}

/** Returns the fields of a table, newest first, as RFC 7541 prints them. */
function fieldsOf(table: DynamicTable): string[] {
  return Array.from({ length: table.count }, (_, age) => {
    const serial = table.newest - age;
    return `${table.name(serial)}: ${table.value(serial)}`;
  });
}

/** Encodes an integer as hex (RFC 7541, section 5.1). */
function integer(first: number, mask: number, value: number): string {
  if (value < mask) return Buffer.from([first | value]).toString("hex");
  const all = [first | mask];
  let rest = value - mask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) all.push(128 | (rest % 128));
  return Buffer.from([...all, rest]).toString("hex");
}

const WITH_INDEXING = "40";
const WITHOUT_INDEXING = "00";

/** Encodes a string without Huffman code as hex. */
const raw = (text: string) => integer(0, 127, text.length) + Buffer.from(text).toString("hex");

/** Encodes a string of `length` zeros, whose code is 00000, as hex. */
function huffmanZeros(length: number): string {
  const size = Math.ceil((length * 5) / 8);
  const padding = size * 8 - length * 5;
  return (
    integer(128, 127, size) +
    "00".repeat(size - 1) +
    Buffer.from([2 ** padding - 1]).toString("hex")
  );
}

describe("decode()", () => {
  test.each([
    ["an empty block", "", []],
    ["the last static index", "bd", ["www-authenticate", ""]],
    ["a literal that is never indexed", "10 0178 0179", ["x", "y"]],
    ["empty strings", "00 00 00", ["", ""]],
    ["bytes from 80 to ff", "00 0178 03809fff", ["x", "\u0080\u009f\u00ff"]],
    ["several size updates at the start", "20 3fe11f 20 82", [":method", "GET"]],
    [
      "an integer of 5 continuation bytes",
      "00 0178 7f8080808000 " + "79".repeat(127),
      ["x", "y".repeat(127)],
    ],
  ])("decodes %s", (_, block, want) => {
    expect(decoder().decode(bytes(block))).toEqual(want);
  });

  test.each([
    ["index 0", "80", "index 0"],
    ["an index beyond the tables", "be", "index 62 is beyond the tables"],
    ["an index beyond the dynamic table", "40 0178 0179 bf", "index 63 is beyond the tables"],
    ["a name's index beyond the tables", "7f00 0179", "index 63 is beyond the tables"],
    [
      "the name's index of a literal without indexing",
      "0f2f 0179",
      "index 62 is beyond the tables",
    ],
    [
      "the largest integer as an index",
      integer(128, 127, 2 ** 28),
      "index 268435456 is beyond the tables",
    ],
    ["a larger integer", integer(128, 127, 2 ** 28 + 1), "integer overflow"],
    ["an integer of 6 continuation bytes", "ff808080808000", "integer overflow"],
    ["an integer beyond 32 bits", "ff8080808010", "integer overflow"],
    ["an endless integer", "ff" + "80".repeat(1000), "integer overflow"],
    ["a size update above the setting", "3fe21f", "table size update to 4097, above the setting"],
    ["a size update after an indexed field", "82 20", "table size update after a field"],
    ["a size update after a literal", "00 0178 0179 20", "table size update after a field"],
    [
      "a size update after a literal with indexing",
      "40 0178 0179 20",
      "table size update after a field",
    ],
    ["an integer without its continuation", "ff", "truncated block"],
    ["an integer that ends with a continuation", "ff80", "truncated block"],
    ["a size update without its continuation", "3f", "truncated block"],
    ["a literal without name", "40", "truncated block"],
    ["a name that is cut off", "40 0278", "truncated block"],
    ["a literal without value", "40 0178", "truncated block"],
    ["a value that is cut off", "40 0178 0279", "truncated block"],
    ["a Huffman value that is cut off", "40 0178 821f", "truncated block"],
    ["a literal with an indexed name, without value", "0f12", "truncated block"],
    ["padding of 8 bits", "00 0178 81ff", "malformed Huffman string"],
    ["padding of zeros in a name", "00 8118 0179", "malformed Huffman string"],
    ["EOS", "00 0178 84ffffffff", "malformed Huffman string"],
  ])("rejects %s", (_, block, message) => {
    expect(() => decoder().decode(bytes(block))).toThrow(new HpackError(message));
  });

  test("evicts the oldest fields at a size update", () => {
    const it = decoder();
    it.decode(bytes("40 0161 0131 40 0162 0132"));
    it.decode(bytes(integer(0x20, 31, 67)));
    expect(fieldsOf(it.table)).toEqual(["b: 2"]);
    expect(it.table.bytes).toBe(34);
    it.decode(bytes("20"));
    expect([it.table.count, it.table.bytes]).toEqual([0, 0]);
  });

  test("inserts no field after a size update to 0", () => {
    const it = decoder();
    expect(it.decode(bytes("20 40 0161 0131"))).toEqual(["a", "1"]);
    expect(it.table.count).toBe(0);
  });

  test("accepts a name of the field that the insertion evicts", () => {
    const it = decoder({ maxTableBytes: 64 });
    it.decode(bytes(WITH_INDEXING + raw("n".repeat(20)) + raw("v".repeat(12))));
    const block = bytes(`7e ${raw("w".repeat(12))}`);
    expect(it.decode(block)).toEqual(["n".repeat(20), "w".repeat(12)]);
    expect(fieldsOf(it.table)).toEqual([`${"n".repeat(20)}: ${"w".repeat(12)}`]);
  });

  test("empties the table for a field that is larger, and only then", () => {
    const it = decoder({ maxTableBytes: 64 });
    it.decode(bytes(WITH_INDEXING + raw("n") + raw("v".repeat(31))));
    expect(it.table.count).toBe(1);
    expect(it.decode(bytes(WITH_INDEXING + raw("n") + raw("v".repeat(32))))).toHaveLength(2);
    expect([it.table.count, it.table.bytes]).toEqual([0, 0]);
  });

  test("decodes Huffman strings of any length up to the limit of the list", () => {
    for (const length of [2559, 2560, 2561, 4096, 4097, 16_351]) {
      const block = bytes(WITHOUT_INDEXING + raw("n") + huffmanZeros(length));
      expect(decoder().decode(block)).toEqual(["n", "0".repeat(length)]);
    }
  });
});

describe("decode() with a list above maxListBytes", () => {
  test("returns undefined, and a list of exactly this size", () => {
    const it = decoder({ maxListBytes: 84 });
    expect(it.decode(bytes("82 82"))).toEqual([":method", "GET", ":method", "GET"]);
    expect(it.decode(bytes(`82 00 ${raw("n")} ${raw("v".repeat(9))}`))).toHaveLength(4);
    expect(it.decode(bytes(`82 00 ${raw("n")} ${raw("v".repeat(10))}`))).toBeUndefined();
    expect(it.decode(bytes("82 82 82"))).toBeUndefined();
    expect(it.decode(bytes("82"))).toEqual([":method", "GET"]);
  });

  test("inserts the fields before and after the one that is too much", () => {
    const it = decoder({ maxListBytes: 50 });
    const long = raw("v".repeat(60));
    expect(it.decode(bytes(`40 0161 0131 40 0162 ${long} 40 0163 0133`))).toBeUndefined();
    expect(fieldsOf(it.table)).toEqual(["c: 3", `b: ${"v".repeat(60)}`, "a: 1"]);
    expect(it.decode(bytes("c0"))).toEqual(["a", "1"]);
  });

  test.each([
    ["name", raw("v".repeat(4097)) + raw("n")],
    ["value", raw("n") + raw("v".repeat(4097))],
    ["Huffman name", huffmanZeros(4097) + raw("v")],
    ["Huffman value", raw("n") + huffmanZeros(70_000)],
  ])("handles a %s that is larger than list and table", (_, field) => {
    const it = decoder({ maxListBytes: 1000 });
    it.decode(bytes("40 0161 0131"));
    expect(it.decode(bytes(WITHOUT_INDEXING + field + "40 0162 0132"))).toBeUndefined();
    expect(fieldsOf(it.table)).toEqual(["b: 2", "a: 1"]);
    expect(it.decode(bytes(WITH_INDEXING + field + "40 0163 0133"))).toBeUndefined();
    expect(fieldsOf(it.table)).toEqual(["c: 3"]);
    expect(it.decode(bytes("be"))).toEqual(["c", "3"]);
  });

  test("still rejects what is malformed", () => {
    const it = () => decoder({ maxListBytes: 40 });
    expect(() => it().decode(bytes("82 82 80"))).toThrow(new HpackError("index 0"));
    const unpadded = huffmanZeros(70_001).slice(0, -2) + "00";
    expect(() => it().decode(bytes(`00 0161 ${unpadded}`))).toThrow(HpackError);
    expect(() => it().decode(bytes("82 82 00 0161 81ff"))).toThrow(HpackError);
  });

  test("keeps no list of a block that refers to a large field 100,000 times", () => {
    const it = decoder();
    it.decode(bytes(WITH_INDEXING + raw("n") + raw("v".repeat(4000))));
    expect(it.decode(Buffer.alloc(100_000, 0xbe))).toBeUndefined();
    expect(it.decode(bytes("be"))).toHaveLength(2);
  });
});

describe("decode() of a block that repeats", () => {
  /** Decodes until the decoder remembers the block, and returns the list. */
  function remember(it: HpackDecoder, block: string): readonly string[] {
    it.decode(bytes(block));
    const remembered = it.decode(bytes(block))!;
    expect(it.decode(bytes(block))).toBe(remembered);
    return remembered;
  }

  test("returns the same list from the third time on", () => {
    const it = decoder();
    const first = it.decode(bytes("82 86"));
    const second = it.decode(bytes("82 86"));
    expect(second).not.toBe(first);
    expect(second).toEqual([":method", "GET", ":scheme", "http"]);
    for (let i = 0; i < 3; i++) expect(it.decode(bytes("82 86"))).toBe(second);
  });

  test.each([
    ["an insertion", "40 0162 0132", ["b", "2"]],
    [
      "an insertion in a list that is too large",
      `40 0162 0132 00 00 ${raw("v".repeat(16_384))}`,
      ["b", "2"],
    ],
    [
      "a field that empties the table, and an insertion",
      `40 00 ${raw("v".repeat(4097))} 40 0162 0132`,
      ["b", "2"],
    ],
  ])("returns the field that its index means after %s", (_, change, after) => {
    const it = decoder();
    it.decode(bytes("40 0161 0131"));
    expect(remember(it, "be")).toEqual(["a", "1"]);
    it.decode(bytes(change));
    for (let i = 0; i < 4; i++) expect(it.decode(bytes("be"))).toEqual(after);
  });

  test.each([
    ["a size update", "20"],
    ["a field that empties the table", `40 0161 ${raw("v".repeat(4097))}`],
    ["a field that empties the table and fits into no list", `40 0161 ${raw("v".repeat(16_385))}`],
  ])("rejects its index after %s that evicts the field", (_, change) => {
    const it = decoder();
    it.decode(bytes("40 0161 0131"));
    remember(it, "be");
    it.decode(bytes(change));
    expect(() => it.decode(bytes("be"))).toThrow(new HpackError("index 62 is beyond the tables"));
  });

  test("inserts its field each time", () => {
    const it = decoder();
    for (let i = 1; i <= 4; i++) {
      it.decode(bytes("40 0161 0131"));
      expect(it.table.count).toBe(i);
    }
  });

  test("updates the size each time", () => {
    const it = decoder();
    for (let i = 0; i < 4; i++) {
      expect(it.decode(bytes("20 82"))).toEqual([":method", "GET"]);
      expect(it.table.maxBytes).toBe(0);
      it.decode(bytes("3fe11f 40 0161 0131"));
      expect(it.table.count).toBe(1);
    }
  });

  // Found by search: these two blocks have the same hash, and the third has it with a2 after it.
  const BLOCK = "00 0178 04 66367071";
  const SAME_HASH = "00 0178 04 34796b65";
  const PREFIX = "00 0178 05 3863733369";

  test("tells it from a block with the same hash", () => {
    const it = decoder();
    expect(remember(it, BLOCK)).toEqual(["x", "f6pq"]);
    for (let i = 0; i < 3; i++) expect(it.decode(bytes(SAME_HASH))).toEqual(["x", "4yke"]);
    expect(it.decode(bytes(BLOCK))).toEqual(["x", "f6pq"]);
  });

  test("tells it from a longer block with the same hash", () => {
    const it = decoder();
    expect(remember(it, PREFIX)).toEqual(["x", "8cs3i"]);
    expect(it.decode(bytes(`${PREFIX} a2`))).toHaveLength(4);
  });

  test("keeps nothing of the caller's buffer", () => {
    const it = decoder();
    const buffer = bytes(BLOCK);
    for (let i = 0; i < 3; i++) it.decode(buffer);
    buffer.set(bytes(SAME_HASH));
    expect(it.decode(buffer)).toEqual(["x", "4yke"]);
  });

  test("remembers at most 64 blocks", () => {
    const it = decoder();
    const list = remember(it, "82");
    for (let i = 0; i < 63; i++) it.decode(bytes(`83 00 0178 02 ${(0x4040 + i).toString(16)}`));
    expect(it.decode(bytes("82"))).toBe(list);
    it.decode(bytes("84"));
    expect(it.decode(bytes("82"))).not.toBe(list);
  });

  test("remembers at most 32 KiB of blocks and lists", () => {
    const it = decoder();
    it.decode(bytes(WITH_INDEXING + raw("n") + raw("v".repeat(4000))));
    const list = remember(it, "82");
    for (let i = 1; i <= 8; i++) remember(it, `be ${(0x80 + i).toString(16)}`);
    expect(it.decode(bytes("82"))).toBe(list);
    remember(it, "be 89");
    expect(it.decode(bytes("82"))).not.toBe(list);

    // From here on, there is room for 32 KiB again.
    const again = remember(it, "82");
    remember(it, "be 8a");
    expect(it.decode(bytes("82"))).toBe(again);
  });

  test("remembers only blocks of at most 512 bytes", () => {
    const it = decoder();
    expect(remember(it, `00 0178 ${raw("v".repeat(506))}`)).toHaveLength(2);
    const block = bytes(`00 0178 ${raw("v".repeat(507))}`);
    it.decode(block);
    expect(it.decode(block)).not.toBe(it.decode(block));
  });
});
