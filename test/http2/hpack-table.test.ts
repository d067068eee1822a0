import { describe, expect, test } from "bun:test";
import { headerListBytes, headerValue } from "../../src/http2/header-list.ts";
import {
  DynamicTable,
  FieldIndex,
  STATIC_COUNT,
  STATIC_FIELDS,
} from "../../src/http2/hpack-table.ts";

test("STATIC_FIELDS is appendix A of RFC 7541", () => {
  expect(STATIC_COUNT).toBe(61);
  const field = (index: number) => STATIC_FIELDS.slice(2 * index - 2, 2 * index).join(": ");
  expect([1, 2, 8, 16, 61].map(field)).toEqual([
    ...[":authority: ", ":method: GET", ":status: 200"],
    ...["accept-encoding: gzip, deflate", "www-authenticate: "],
  ]);

  // The hash of the table of golang.org/x/net/http2/hpack, a line for each field.
  const lines = Array.from({ length: 61 }, (_, i) => `${field(i + 1)}\n`).join("");
  expect(new Bun.CryptoHasher("sha256").update(lines).digest("hex")).toBe(
    "e068ed84a5a3d28824dc910d55e700af8236a5744b77f384fb67b7f06b72fbb3",
  );
});

describe("DynamicTable", () => {
  test("keeps the newest fields in order while its ring grows and wraps", () => {
    const table = new DynamicTable(34 * 100);
    for (let i = 1; i <= 1000; i++) {
      table.insert(String(i % 10), String(i % 7));
      expect(table.newest).toBe(i);
      expect(table.count).toBe(Math.min(i, 100));
      expect(table.bytes).toBe(34 * table.count);
      for (let serial = i; serial > i - table.count; serial--) {
        if (table.name(serial) === String(serial % 10)) continue;
        throw new Error(`field ${serial} of ${i} has the name ${table.name(serial)}`);
      }
      expect(table.value(i - table.count + 1)).toBe(String((i - table.count + 1) % 7));
    }
  });

  test("changes its generation with each change", () => {
    const table = new DynamicTable(100);
    const generations = new Set([table.generation]);
    const changes = [
      () => table.insert("a", "1"),
      () => table.insert("a", "1"),
      () => table.insert("a", "v".repeat(100)),
      () => table.setMaxBytes(0),
      () => table.setMaxBytes(100),
      () => table.clear(),
    ];
    for (const change of changes) {
      change();
      generations.add(table.generation);
    }
    expect(generations.size).toBe(1 + changes.length);
  });
});

describe("FieldIndex", () => {
  test("find() returns the field, else minus the last field of the name, else 0", () => {
    const index = new FieldIndex();
    expect(index.find("a", "1")).toBe(0);
    index.add("a", "1", 1);
    index.add("a", "2", 2);
    index.add("b", "1", 3);
    const found = [index.find("a", "1"), index.find("a", "2"), index.find("b", "1")];
    expect(found).toEqual([1, 2, 3]);
    expect([index.find("a", "3"), index.find("b", "2"), index.find("c", "1")]).toEqual([-2, -3, 0]);
  });

  test("remove() removes one field, and the name with its last", () => {
    const index = new FieldIndex();
    for (const [i, value] of ["1", "2", "1", "3"].entries()) index.add("a", value, i + 1);
    // The first field was replaced by the third.
    index.remove("a", "1", 1);
    expect(index.find("a", "1")).toBe(3);
    index.remove("a", "2", 2);
    expect(index.find("a", "2")).toBe(-4);
    index.remove("a", "1", 3);
    expect(index.find("a", "1")).toBe(-4);
    index.remove("a", "3", 4);
    expect(index.find("a", "3")).toBe(0);
  });
});

test("headerValue() returns the first value of a name, and never a name", () => {
  const list = ["a", "b", "b", "1", "b", "2"];
  expect(headerValue(list, "b")).toBe("1");
  expect(headerValue(list, "1")).toBeUndefined();
  expect(headerValue([], "a")).toBeUndefined();
});

test("headerListBytes() counts names, values and 32 bytes for each field", () => {
  expect(headerListBytes([])).toBe(0);
  expect(headerListBytes(["a", "", "name", "value"])).toBe(32 + 1 + 32 + 9);
});
