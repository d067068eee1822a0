import { describe, expect, test } from "bun:test";
import type { HeaderList } from "../../src/http2/header-list.ts";
import { HpackDecoder } from "../../src/http2/hpack-decoder.ts";
import { HpackEncoder, maxEncodedBytes } from "../../src/http2/hpack-encoder.ts";

const OFFSET = 3;
const UNUSED = 0xaa;

/** Returns the block of a list as hex. Checks that nothing outside the block was written. */
function encode(encoder: HpackEncoder, list: HeaderList): string {
  const out = Buffer.alloc(OFFSET + maxEncodedBytes(list) + 1, UNUSED);
  const end = encoder.encode(list, out, OFFSET);
  expect(end).toBeLessThan(out.length);
  for (const byte of [...out.subarray(0, OFFSET), ...out.subarray(end)]) expect(byte).toBe(UNUSED);
  return out.subarray(OFFSET, end).toString("hex");
}

const encoder = (maxTableBytes = 4096) => new HpackEncoder({ maxTableBytes });

/** Returns a list with one field of `bytes`, its overhead of 32 included, and no Huffman string. */
const fieldOf = (bytes: number): HeaderList => ["x", "~".repeat(bytes - 33)];

describe("encode()", () => {
  test.each([
    ["a static field", [":method", "POST"], "83"],
    ["a static field with an empty value", ["user-agent", ""], "ba"],
    ["a static name", ["content-type", "application/grpc"], "5f8b1d75d0620d263d4c4d6564"],
    ["the first static field of a name", [":status", "302"], "48826402"],
    ["a string whose Huffman form is as long", [":status", "999"], "4803393939"],
    ["a string whose Huffman form is longer", ["~", "~"], "40017e017e"],
    ["bytes above 7f", ["x", "\u00e9\u00ff"], "40017802e9ff"],
    ["empty strings", ["", ""], "400000"],
    ["grpc-timeout, without indexing", ["grpc-timeout", "x"], "00899acac8b24d494f6a7f0178"],
    ["grpc-message, without indexing", ["grpc-message", "x"], "00899acac8b5254207317f0178"],
    ["content-length, without indexing", ["content-length", "x"], "0f0d0178"],
    ["authorization, never indexed", ["authorization", "x"], "1f080178"],
    ["cookie, never indexed", ["cookie", "x"], "1f110178"],
    ["token, never indexed", ["token", "x"], "108449fa96af0178"],
  ])("encodes %s", (_, list, hex) => {
    const it = encoder();
    expect(encode(it, list)).toBe(hex);
    expect(
      new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 4096 }).decode(Buffer.from(hex, "hex")),
    ).toEqual(list);
    expect(it.table.count).toBe(hex.startsWith("4") || hex.startsWith("5") ? 1 : 0);
  });

  test("encodes a field by its index once it is in the table", () => {
    const it = encoder();
    expect(encode(it, ["a", "1", "b", "2", "a", "3"])).toBe(
      "4001610131" + "4001620132" + "7f000133",
    );
    expect(encode(it, ["a", "1"])).toBe("c0");
    expect(encode(it, ["b", "2"])).toBe("bf");
    expect(encode(it, ["a", "3"])).toBe("be");
    // A name that is there more than once is taken from its last field.
    expect(encode(it, ["a", "4"])).toBe("7e0134");
  });

  test("takes a name from the static table first", () => {
    const it = encoder();
    expect(encode(it, ["content-type", "x"])).toBe("5f0178");
    expect(encode(it, ["content-type", "z"])).toBe("5f017a");
  });

  test("encodes a name by its index, without indexing the field", () => {
    const it = encoder(256);
    encode(it, ["x", "1"]);
    expect(encode(it, fieldOf(65))).toBe(`0f2f20${"7e".repeat(32)}`);
  });

  test("inserts a field of a quarter of the table, and none that is larger", () => {
    const it = encoder();
    encode(it, fieldOf(1024));
    expect(it.table.bytes).toBe(1024);
    encode(it, fieldOf(1025));
    expect(it.table.bytes).toBe(1024);
  });

  test("inserts a field again after its eviction", () => {
    const it = encoder(160);
    const lists = ["1", "2", "3", "4", "5"].map((value) => ["x", value]);
    for (const list of lists) expect(encode(it, list).replace(/^3f8101/, "")).toMatch(/^(40|7e)/);
    expect(it.table.count).toBe(4);
    expect(encode(it, ["x", "1"])).toBe("7e0131");
    expect(encode(it, ["x", "2"])).toBe("7e0132");
    expect(encode(it, ["x", "5"])).toBe("c0");
  });

  test("finds a field whose name and value were evicted and inserted in another order", () => {
    const it = encoder(128);
    const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 4096 });
    for (const value of "12131223313211233212") {
      const list = ["x", value, "y", value];
      expect(decoder.decode(Buffer.from(encode(it, list), "hex"))).toEqual(list);
    }
  });
});

describe("encode() of a list that repeats", () => {
  test("encodes it by the new indexes after the table has changed", () => {
    const it = encoder();
    const list = ["a", "1"];
    expect(encode(it, list)).toBe("4001610131");
    for (let i = 0; i < 3; i++) expect(encode(it, list)).toBe("be");
    encode(it, ["b", "2"]);
    for (let i = 0; i < 3; i++) expect(encode(it, list)).toBe("bf");
  });

  test("inserts its fields again after the peer has reduced the table", () => {
    const it = encoder();
    const list = ["a", "1"];
    for (let i = 0; i < 3; i++) encode(it, list);
    it.setPeerTableBytes(0);
    it.setPeerTableBytes(4096);
    expect(encode(it, list)).toBe("203fe11f" + "4001610131");
    for (let i = 0; i < 3; i++) expect(encode(it, list)).toBe("be");
  });

  test("does not repeat the size updates that preceded it", () => {
    const it = encoder();
    const list = ["token", "x"];
    it.setPeerTableBytes(100);
    expect(encode(it, list)).toBe("3f45" + "108449fa96af0178");
    for (let i = 0; i < 3; i++) expect(encode(it, list)).toBe("108449fa96af0178");
  });

  test("keeps nothing of the caller's buffer", () => {
    const it = encoder();
    const list = [":method", "GET"];
    const out = Buffer.alloc(100);
    for (let i = 0; i < 3; i++) {
      expect(it.encode(list, out, 0)).toBe(1);
      expect(out[0]).toBe(0x82);
      out.fill(0);
    }
  });

  test("remembers thousands of lists without mixing them up", () => {
    const it = encoder();
    const lists = Array.from({ length: 5000 }, (_, i) => ["token", String(i)]);
    const blocks = lists.map((list) => encode(it, list));
    expect(new Set(blocks).size).toBe(5000);
    expect(lists.map((list) => encode(it, list))).toEqual(blocks);
  });
});

describe("setPeerTableBytes()", () => {
  const LIST = [":method", "GET"];
  const BLOCK = "82";

  test.each([
    ["nothing for the default", 4096, [4096], ""],
    ["nothing for a table that our limit forbids", 4096, [65_536], ""],
    ["nothing above our limit", 100, [4096, 8192], ""],
    ["a smaller size", 4096, [100], "3f45"],
    ["size 0", 4096, [0], "20"],
    ["size 0 before a size that has shrunk and grown", 4096, [1000, 100, 4096], "20" + "3fe11f"],
    ["the last size once, if it is the smallest", 4096, [1000, 30], "3e"],
    ["a larger size that our limit permits", 16_384, [8192], "3fe13f"],
    ["our limit if the peer permits more", 16_384, [2 ** 32 - 1], "3fe17f"],
    ["a reduction to our limit and above", 4096, [65_536, 8192], "3fe11f"],
  ])("has the next block start with %s", (_, limit, sizes, update) => {
    const it = encoder(limit);
    if (limit < 4096) encode(it, LIST);
    for (const size of sizes) it.setPeerTableBytes(size);
    expect(encode(it, LIST)).toBe(update + BLOCK);
    expect(encode(it, LIST)).toBe(BLOCK);
  });

  test("reports a limit of ours below the default in the first block", () => {
    const it = encoder(100);
    expect(encode(it, LIST)).toBe("3f45" + BLOCK);
    expect(encode(it, LIST)).toBe(BLOCK);
  });

  test("has an empty block carry the size updates", () => {
    const it = encoder();
    it.setPeerTableBytes(0);
    expect(encode(it, [])).toBe("20");
    expect(encode(it, [])).toBe("");
  });

  test("evicts at once what does not fit", () => {
    const it = encoder();
    encode(it, ["a", "1", "b", "2"]);
    it.setPeerTableBytes(34);
    expect(it.table.count).toBe(1);
    expect(encode(it, ["b", "2", "a", "1"])).toBe("3f03" + "be" + "0001610131");
  });

  test("empties the table if its size shrinks and grows between two blocks", () => {
    const it = encoder();
    encode(it, ["a", "1", "b", "2"]);
    it.setPeerTableBytes(68);
    it.setPeerTableBytes(4096);
    expect(encode(it, ["b", "2", "a", "1"])).toBe("20" + "3fe11f" + "4001620132" + "4001610131");
    expect(it.table.count).toBe(2);
  });

  test("inserts nothing while the peer permits no table", () => {
    const it = encoder();
    it.setPeerTableBytes(0);
    encode(it, ["a", "1"]);
    expect(encode(it, ["a", "1"])).toBe("0001610131");
    expect(it.table.count).toBe(0);
  });
});

test("maxEncodedBytes() is enough for the longest form of every part", () => {
  const long = "~".repeat(300_000);
  const list = Array.from({ length: 20 }, (_, i) => [`${i}${long}`, long]).flat();
  const it = encoder(1);
  it.setPeerTableBytes(0);
  it.setPeerTableBytes(1);
  const out = new Uint8Array(maxEncodedBytes(list));
  expect(it.encode(list, out, 0)).toBeLessThanOrEqual(out.length);
  expect(maxEncodedBytes([])).toBe(12);
});
