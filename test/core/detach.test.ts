import { describe, expect, test } from "bun:test";
import { detach, part } from "../../src/core/detach.ts";

const LARGE = 100_000;

describe("detach()", () => {
  test.each([1, 100, 10_000])("copies %d bytes of a large Uint8Array", (length) => {
    const view = new Uint8Array(LARGE).fill(7).subarray(10, 10 + length);
    expect(detach(view)).toEqual(view);
    expect(detach(view).buffer.byteLength).toBe(length);
  });

  test.each([1, 100, 10_000])("copies %d bytes of a large Buffer", (length) => {
    const view = Buffer.alloc(LARGE, 7).subarray(10, 10 + length);
    expect(Buffer.from(detach(view))).toEqual(view);
    expect(detach(view).buffer.byteLength).toBe(length);
  });

  test("keeps bytes that are more than half of their buffer", () => {
    const view = new Uint8Array(LARGE).subarray(LARGE / 4);
    expect(detach(view)).toBe(view);
  });
});

describe("part()", () => {
  test.each([
    [3, 3],
    [3, 10],
    [0, 50_000],
    [99_999, LARGE],
  ])("returns the bytes from %d to %d", (start, end) => {
    const bytes = new Uint8Array(LARGE).map((_, i) => i % 251);
    expect(part(bytes, start, end)).toEqual(bytes.slice(start, end));
  });

  test("keeps nothing of a large chunk for a few bytes", () => {
    expect(part(new Uint8Array(LARGE), 3, 10).buffer.byteLength).toBe(7);
  });
});
