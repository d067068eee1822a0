import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { MessagePipe, Rejection, type Rewrite } from "../../src/grpc-proxy/message-pipe.ts";
import { fuzzWith, seed } from "../support/random-input.ts";

const MAX_BYTES = 1_000_000;

function framed(payload: Uint8Array, isCompressed = false): Uint8Array {
  const bytes = new Uint8Array(5 + payload.length);
  bytes[0] = Number(isCompressed);
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, 5);
  return bytes;
}

/** Pushes bytes in chunks of these sizes, and returns the payloads that the rewrite got. */
function payloads(bytes: Uint8Array, sizes: readonly number[], encoding?: string): string[] {
  const seen: string[] = [];
  const rewrite: Rewrite = (message) => {
    seen.push(Buffer.from(message).toString("hex"));
    return message;
  };
  const pipe = new MessagePipe(rewrite, encoding, MAX_BYTES);
  const out: Uint8Array[] = [];
  let at = 0;
  for (const size of [...sizes, bytes.length]) {
    out.push(...pipe.push(bytes.slice(at, at + size)));
    at += size;
  }
  expect(pipe.heldBytes).toBe(0);
  if (encoding === undefined) expect(Buffer.concat(out).equals(bytes)).toBe(true);
  return seen;
}

describe("MessagePipe", () => {
  test(`rewrites the same messages, however their bytes are cut (FUZZ_SEED=${seed})`, () => {
    fuzzWith(
      300,
      (random) => ({
        messages: Array.from({ length: 1 + random(6) }, () =>
          new Uint8Array(random(3) === 0 ? random(5000) : random(12)).fill(random(256)),
        ),
        sizes: Array.from({ length: 30 }, () => [1, 4, 5, random(3000)][random(4)]!),
      }),
      ({ messages, sizes }) => {
        const bytes = Buffer.concat(messages.map((message) => framed(message)));
        const expected = messages.map((message) => Buffer.from(message).toString("hex"));
        expect(payloads(bytes, sizes)).toEqual(expected);
        expect(
          payloads(
            bytes,
            Array.from(bytes, () => 1),
          ),
        ).toEqual(expected);
      },
    );
  });

  test("decompresses a message, and passes one that it does not change as it was", () => {
    const message = framed(gzipSync(Uint8Array.of(1, 2, 3)), true);
    expect(payloads(message, [3], "gzip")).toEqual(["010203"]);
  });

  test("counts what it holds, in little more memory than that", () => {
    const pipe = new MessagePipe((message) => message, undefined, MAX_BYTES);
    const bytes = framed(new Uint8Array(100_000));
    for (let i = 0; i < bytes.length - 1; i++) pipe.push(bytes.subarray(i, i + 1));
    expect(pipe.heldBytes).toBe(100_004);
    expect(pipe.push(Uint8Array.of(0))).toHaveLength(1);
    expect(pipe.heldBytes).toBe(0);
  });

  test.each([
    ["an unknown encoding", "br", framed(Uint8Array.of(1), true), 12],
    ["no gzip", "gzip", framed(Uint8Array.of(1), true), 13],
    [
      "gzip of more than the limit",
      "gzip",
      framed(gzipSync(new Uint8Array(MAX_BYTES + 1)), true),
      13,
    ],
  ])("rejects %s", (_, encoding, bytes, code) => {
    const pipe = new MessagePipe((message) => message, encoding, MAX_BYTES);
    expect(() => pipe.push(bytes)).toThrow(Rejection);
    try {
      new MessagePipe((message) => message, encoding, MAX_BYTES).push(bytes);
    } catch (error) {
      expect((error as Rejection).code).toBe(code);
    }
  });
});
