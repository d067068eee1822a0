import { describe, expect, test } from "bun:test";
import { NO_VARINT, Splices } from "../../src/protobuf/splices.ts";
import { encodeHead, varintSize, writeVarint } from "../../src/protobuf/varint.ts";
import { randomFrom, seed } from "../support/random-input.ts";
import { bytesOf, field, varint } from "../support/wire-format.ts";

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

describe("varints", () => {
  const values = [0, 1, 127, 128, 300, 2 ** 14 - 1, 2 ** 14, 2 ** 21 - 1, 2 ** 21, 2 ** 28 - 1];
  test.each([...values, 2 ** 28, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1])(
    "writeVarint() writes %d in varintSize() bytes, and returns the offset after them",
    (value) => {
      const bytes = new Uint8Array(8);
      const end = writeVarint(value, bytes, 1);
      expect(text(bytes.subarray(1, end))).toBe(text(varint(value)));
      expect(varintSize(value)).toBe(end - 1);
    },
  );

  test.each([
    [1, 0],
    [15, 127],
    [16, 128],
    [64, 300],
    [2 ** 29 - 1, 2 ** 21],
  ])("encodeHead(%d, %d) is a tag and a length", (number, length) => {
    const whole = field(number, new Uint8Array(length));
    expect(text(encodeHead(number, length))).toBe(text(whole.subarray(0, whole.length - length)));
  });
});

describe("Splices", () => {
  test("without a splice, the result equals the message", () => {
    const splices = new Splices();
    expect(splices.isEmpty).toBe(true);
    expect(text(splices.applyTo(bytesOf("abc")))).toBe("abc");
  });

  test("add() replaces, inserts and removes; it returns by how much the message grows", () => {
    const splices = new Splices();
    expect(splices.add(0, 0, NO_VARINT, bytesOf("<<"))).toBe(2);
    expect(splices.add(1, 2, 300, bytesOf("xyz"))).toBe(4);
    expect(splices.add(3, 5, NO_VARINT, undefined)).toBe(-2);
    expect(splices.add(6, 6, 5, undefined)).toBe(1);
    expect(splices.isEmpty).toBe(false);
    expect(text(splices.applyTo(bytesOf("abcdef")))).toBe("<<a\xac\x02xyzcf\x05");
  });

  test("the result has the exact size and shares no memory with the message", () => {
    const splices = new Splices();
    splices.add(0, 1, NO_VARINT, bytesOf("z"));
    const source = bytesOf("a".repeat(1000));
    const result = splices.applyTo(source);
    expect([result.length, result.byteOffset, result.buffer.byteLength]).toEqual([1000, 0, 1000]);
    source.fill(0);
    expect(text(result)).toBe(`z${"a".repeat(999)}`);
  });

  test("reserve() keeps a place before later splices; fill() takes it, or it stays unused", () => {
    const splices = new Splices();
    const first = splices.reserve();
    splices.reserve();
    splices.add(2, 3, NO_VARINT, bytesOf("X"));
    expect(splices.fill(first, 0, 1, 7, undefined)).toBe(0);
    expect(text(splices.applyTo(bytesOf("abcd")))).toBe("\x07bXd");
  });

  test("only reserved places leave the list empty, and clear() empties it", () => {
    const splices = new Splices();
    splices.reserve();
    expect(splices.isEmpty).toBe(true);
    splices.add(0, 1, NO_VARINT, undefined);
    splices.clear();
    expect(splices.isEmpty).toBe(true);
    expect(text(splices.applyTo(bytesOf("abc")))).toBe("abc");
    splices.reserve();
    splices.add(1, 2, NO_VARINT, bytesOf("-"));
    expect(text(splices.applyTo(bytesOf("abc")))).toBe("a-c");
  });

  test(`random splices give what slices give (FUZZ_SEED=${seed})`, () => {
    const splices = new Splices();
    for (let i = 0; i < 300; i++) {
      const random = randomFrom(seed + i);
      // Up to more splices than are kept from one message to the next.
      const count = i % 100 === 0 ? 5000 : random(200);
      const step = 1 + random(150);
      const source = Buffer.from(Array.from({ length: count * step + 9 }, () => random(256)));
      const parts: Uint8Array[] = [];
      let from = 0;
      let growth = 0;
      for (let n = 0; n < count; n++) {
        const start = n * step + random(step);
        const end = Math.max(start, n * step + random(step + 1));
        if (start < from) continue;
        const isVarint = random(2) === 0;
        const value = random(2 ** 31) >>> random(31);
        const inserted = random(2) === 0 ? undefined : bytesOf("+".repeat(random(5)));
        if (random(5) === 0) splices.reserve();
        growth += splices.add(start, end, isVarint ? value : NO_VARINT, inserted);
        parts.push(source.subarray(from, start), isVarint ? varint(value) : new Uint8Array(0));
        parts.push(inserted ?? new Uint8Array(0));
        from = end;
      }
      parts.push(source.subarray(from));
      const result = splices.applyTo(source);
      if (!Buffer.concat(parts).equals(result)) throw new Error(`FUZZ_SEED=${seed}, input ${i}`);
      expect(result.length).toBe(source.length + growth);
      splices.clear();
    }
  });
});
