import { describe, expect, test } from "bun:test";
import { ByteQueue } from "../../src/core/byte-queue.ts";
import { fuzzWith, seed } from "../support/random-input.ts";

/** The memory that a queue holds. */
function memoryOf(queue: ByteQueue): number {
  return [...new Set(queue.chunks.map(({ buffer }) => buffer))].reduce(
    (sum, { byteLength }) => sum + byteLength,
    0,
  );
}

describe("ByteQueue", () => {
  test("take() returns what was pushed, in order, and nothing else", () => {
    const queue = new ByteQueue();
    expect(queue.take(10)).toBeUndefined();
    queue.push(Uint8Array.of(1, 2, 3));
    queue.push(new Uint8Array(5000).fill(4));
    queue.push(Uint8Array.of(5));
    expect(queue.bytes).toBe(5004);
    expect(queue.take(2)).toEqual(Uint8Array.of(1, 2));
    expect(queue.take(2)).toEqual(Uint8Array.of(3));
    expect(queue.take(5000)).toHaveLength(5000);
    expect(queue.take(5000)).toEqual(Uint8Array.of(5));
    expect(queue.take(1)).toBeUndefined();
    expect(queue.bytes).toBe(0);
  });

  test("a chunk that was returned does not change when more is pushed", () => {
    const queue = new ByteQueue();
    for (let i = 0; i < 10; i++) queue.push(Uint8Array.of(i));
    const [chunk] = queue.chunks;
    const taken = queue.take(4)!;
    for (let i = 0; i < 100; i++) queue.push(Uint8Array.of(99));
    expect(taken).toEqual(Uint8Array.of(0, 1, 2, 3));
    expect(chunk).toEqual(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  });

  test("single bytes take no more than a few bytes each", () => {
    const queue = new ByteQueue();
    for (let i = 0; i < 100_000; i++) queue.push(Uint8Array.of(i));
    expect(queue.chunks.length).toBeLessThan(50);
    expect(memoryOf(queue)).toBeLessThan(300_000);
  });

  test("a small view of a large buffer does not keep the buffer", () => {
    const queue = new ByteQueue();
    for (let i = 0; i < 4; i++) queue.push(new Uint8Array(512 * 1024).subarray(0, 3000));
    expect(memoryOf(queue)).toBe(12_000);
  });

  test(`random pushes and takes keep every byte (FUZZ_SEED=${seed})`, () => {
    fuzzWith(
      100,
      (random) =>
        Array.from({ length: 100 }, () => ({
          isPush: random(2) === 0,
          bytes: [random(3), random(300), random(10_000)][random(3)]!,
        })),
      (steps) => {
        const queue = new ByteQueue();
        let pushed = 0;
        let taken = 0;
        for (const { isPush, bytes } of steps) {
          if (isPush && bytes > 0) queue.push(Uint8Array.from({ length: bytes }, () => pushed++));
          const chunk = isPush ? undefined : queue.take(bytes);
          for (const byte of chunk ?? [])
            if (byte !== (taken++ & 0xff)) throw new Error(`byte ${taken - 1} is ${byte}`);
          if (queue.bytes !== pushed - taken) throw new Error(`${queue.bytes} bytes`);
        }
      },
    );
  });
});
