import { describe, expect, test } from "bun:test";
import { LENGTH_DELIMITED, WireError, WireReader } from "../../src/protobuf/wire-reader.ts";
import { field, message, tag, varint, varintField } from "../support/wire-format.ts";

/** Reads all fields as "number:wire type", and length-delimited ones with their values. */
function read(bytes: Uint8Array): string[] {
  const reader = new WireReader();
  reader.open(bytes);
  const fields: string[] = [];
  while (reader.next("Test")) {
    const { number, wireType } = reader;
    if (wireType === LENGTH_DELIMITED) {
      reader.readLength();
      const value = Buffer.from(bytes.subarray(reader.valueAt, reader.valueEnd));
      fields.push(`${number}:2:${value.toString("latin1")}`);
    } else {
      reader.skip();
      fields.push(`${number}:${wireType}`);
    }
  }
  expect(reader.at).toBe(bytes.length);
  return fields;
}

const fixed = (number: number, wireType: number, bytes: number) =>
  message(tag(number, wireType), new Uint8Array(bytes).fill(0xff));
const group = (number: number, ...fields: Uint8Array[]) =>
  message(tag(number, 3), ...fields, tag(number, 4));
const nested = (levels: number): Buffer =>
  levels === 0 ? message() : group(9, nested(levels - 1));

describe("WireReader reads", () => {
  const rows: [what: string, bytes: Uint8Array, fields: string[]][] = [
    ["an empty message", message(), []],
    ["a string", field(1, "abc"), ["1:2:abc"]],
    ["an empty string", field(1, ""), ["1:2:"]],
    ["a varint of ten bytes", varintField(2, -1n), ["2:0"]],
    ["fixed numbers", message(fixed(3, 1, 8), fixed(4, 5, 4)), ["3:1", "4:5"]],
    ["a field number of two bytes", field(64, "x"), ["64:2:x"]],
    ["the largest field number", field(2 ** 29 - 1, "x"), ["536870911:2:x"]],
    ["a padded tag", message(varint(10, 8), "\x01a"), ["1:2:a"]],
    ["a padded length", message("\x0a", varint(1, 8), "a"), ["1:2:a"]],
    ["a length of two bytes", field(1, "x".repeat(128)), [`1:2:${"x".repeat(128)}`]],
    ["an empty group", group(5), ["5:3"]],
    ["a group with fields", group(5, field(5, "x"), varintField(1, 1), fixed(1, 1, 8)), ["5:3"]],
    ["groups in groups", message(nested(100), field(1, "a")), ["9:3", "1:2:a"]],
    [
      "several fields",
      message(field(2, "b"), varintField(1, 300), field(2, "c")),
      ["2:2:b", "1:0", "2:2:c"],
    ],
  ];
  test.each(rows)("%s", (_, bytes, fields) => {
    expect(read(bytes)).toEqual(fields);
  });
});

describe("WireReader refuses", () => {
  const rows: [what: string, bytes: Uint8Array, error: string][] = [
    ["half a tag", message("\x80"), "unexpected EOF"],
    ["a missing length", message("\x0a"), "unexpected EOF"],
    ["half a length", message("\x0a\x80"), "unexpected EOF"],
    ["a short value", message("\x0a\x02a"), "unexpected EOF"],
    [
      "a length of 2^63 - 1",
      message("\x0a", varint(2n ** 63n - 1n)),
      "proto: negative length found during unmarshaling",
    ],
    ["a length of 2^62", message("\x0a", varint(2n ** 62n)), "unexpected EOF"],
    ["a length of 2^32", message("\x0a", varint(2n ** 32n), "a"), "unexpected EOF"],
    [
      "a negative length",
      message("\x0a", varint(-1n)),
      "proto: negative length found during unmarshaling",
    ],
    ["a missing varint", message("\x08"), "unexpected EOF"],
    ["half a varint", message("\x08\xff"), "unexpected EOF"],
    [
      "a varint of more than 64 bits",
      message("\x08", "\xff".repeat(9), "\x02"),
      "proto: integer overflow",
    ],
    ["a varint of eleven bytes", message("\x08", varint(-1n, 1)), "proto: integer overflow"],
    [
      "a length of more than 64 bits",
      message("\x0a", "\x81".repeat(9), "\x02"),
      "proto: integer overflow",
    ],
    ["a tag of 33 bits", message(varint(2n ** 32n + 10n), "\x01a"), "proto: integer overflow"],
    [
      "a tag that gogo/protobuf truncates to field 1",
      message(varint(2n ** 35n + 10n), "\x01a"),
      "proto: integer overflow",
    ],
    [
      "a tag of more than 64 bits",
      message("\x8a", "\x80".repeat(8), "\x02\x01a"),
      "proto: integer overflow",
    ],
    ["seven bytes of a fixed number of eight", fixed(1, 1, 7), "unexpected EOF"],
    ["three bytes of a fixed number of four", fixed(1, 5, 3), "unexpected EOF"],
    ["wire type 6", message("\x0e"), "proto: illegal wireType 6"],
    ["wire type 7", message("\x0f"), "proto: illegal wireType 7"],
    ["field 0", message("\x02\x00"), "proto: Test: illegal tag 0 (wire type 2)"],
    [
      "the end of a group outside of one",
      message("\x0c"),
      "proto: Test: wiretype end group for non-group",
    ],
    ["a group without an end", message("\x0b"), "unexpected EOF"],
    ["a group with the end of another", message("\x0b\x14"), "proto: unexpected end of group"],
    ["a group with field 0", message("\x0b\x00\x00\x0c"), "proto: unexpected end of group"],
    ["a broken field in a group", message("\x0b\x12\x05a\x0c"), "unexpected EOF"],
    ["more than 100 groups in groups", nested(101), "proto: exceeded maximum recursion depth"],
    [
      "100,000 groups in groups",
      message("\x0b".repeat(100_000)),
      "proto: exceeded maximum recursion depth",
    ],
  ];
  test.each(rows)("%s", (_, bytes, error) => {
    expect(() => read(bytes)).toThrow(new WireError(error));
  });
});

describe("WireReader", () => {
  test("enter() confines reading to the embedded message, leave() continues after it", () => {
    const bytes = message(field(1, field(2, "a"), field(3, "b")), field(4, "c"));
    const reader = new WireReader();
    reader.open(bytes);
    expect(reader.next("Outer")).toBe(true);
    reader.readLength();
    const outerEnd = reader.enter(reader.valueAt, reader.valueEnd);
    const inner: number[] = [];
    while (reader.next("Inner")) {
      inner.push(reader.number);
      reader.skip();
    }
    reader.leave(outerEnd);
    expect(inner).toEqual([2, 3]);
    expect(reader.next("Outer")).toBe(true);
    expect([reader.number, reader.tagAt]).toEqual([4, 8]);
  });

  test("a value that ends after its embedded message is refused", () => {
    const reader = new WireReader();
    reader.open(message(field(1, "\x12\x02a"), "b"));
    reader.next("Outer");
    reader.readLength();
    reader.enter(reader.valueAt, reader.valueEnd);
    reader.next("Inner");
    expect(() => reader.skip()).toThrow(new WireError("unexpected EOF"));
  });

  test("readVarint() is exact up to 2^53 and refuses more than 64 bits", () => {
    const reader = new WireReader();
    for (const value of [0, 1, 127, 128, 2 ** 32, 2 ** 53]) {
      reader.open(varint(value));
      expect(reader.readVarint()).toBe(value);
    }
    reader.open(message("\xff".repeat(9), "\x01"));
    expect(reader.readVarint()).toBe(2 ** 64);
    reader.open(message("\xff".repeat(9), "\x02"));
    expect(() => reader.readVarint()).toThrow(new WireError("proto: integer overflow"));
  });

  test("open() after an error starts again, and close() leaves nothing to read", () => {
    const reader = new WireReader();
    reader.open(message("\x0f"));
    reader.next("Test");
    expect(() => reader.skip()).toThrow(WireError);
    reader.open(field(1, "a"));
    expect(reader.next("Test")).toBe(true);
    reader.close();
    expect(reader.next("Test")).toBe(false);
  });
});
