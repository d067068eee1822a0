// Frames that arrive in pieces: wherever they are cut, the same reaches the streams.
import { describe, expect, test } from "bun:test";
import { type FrameHeader, FrameReader, type FrameReceiver } from "../../src/http2/frame-reader.ts";
import { Flag, FrameType, PREFACE } from "../../src/http2/protocol.ts";
import { fuzzWith, seed } from "../support/random-input.ts";
import { frameBytes, RawPeer, REQUEST, RESPONSE, uint32 } from "./raw-peer.ts";

const { CONTINUATION, DATA, HEADERS, PING, SETTINGS } = FrameType;

/** Records frames, and joins the data of each DATA frame. */
class Recording implements FrameReceiver {
  isReading = true;
  readonly frames: string[] = [];
  #data: number[] = [];

  dataStarted({ length, flags, streamId }: FrameHeader, padding: number): void {
    this.frames.push(`DATA ${streamId} ${flags} ${length} ${padding}`);
  }

  data(_: FrameHeader, chunk: Uint8Array, isLast: boolean): void {
    this.#data.push(...chunk);
    if (!isLast) return;
    this.frames.push(`data ${this.#data.join(" ")}`);
    this.#data = [];
  }

  frame({ type, flags, streamId, length }: FrameHeader, payload: Uint8Array): void {
    this.frames.push(`${type} ${flags} ${streamId} ${length}: ${payload.join(" ")}`);
  }
}

function padded(data: readonly number[], padding: number): Uint8Array {
  return new Uint8Array([padding, ...data, ...Array.from({ length: padding }, () => 0)]);
}

const EXAMPLES: readonly (readonly [string, Uint8Array])[] = [
  ["DATA", frameBytes(DATA, 1, 7, Uint8Array.of(1, 2, 3))],
  ["empty DATA", frameBytes(DATA, 1, 7, new Uint8Array(0))],
  ["padded DATA", frameBytes(DATA, Flag.PADDED, 7, padded([1, 2, 3], 4))],
  ["DATA without padding that has its length", frameBytes(DATA, 9, 7, padded([1, 2], 0))],
  ["DATA that is nothing but padding", frameBytes(DATA, 9, 7, padded([], 5))],
  ["DATA that is its padding's length", frameBytes(DATA, 9, 7, padded([], 0))],
  ["PADDED and empty DATA", frameBytes(DATA, 9, 7, new Uint8Array(0))],
  ["HEADERS", frameBytes(HEADERS, 4, 9, new Uint8Array(100).fill(3))],
  ["SETTINGS without payload", frameBytes(SETTINGS, 1, 0, new Uint8Array(0))],
  ["an unknown type", frameBytes(0xfe, 0xff, 0x7fff_ffff, Uint8Array.of(9))],
];

/** Reads bytes in chunks of these sizes; the last takes the rest. */
function read(bytes: Uint8Array, ...sizes: readonly number[]): readonly string[] {
  const recording = new Recording();
  const reader = new FrameReader(recording);
  let at = 0;
  for (const size of [...sizes, bytes.length]) {
    reader.push(bytes.slice(at, at + size));
    at += size;
  }
  expect(reader.isInFrame).toBe(false);
  return recording.frames;
}

describe("FrameReader", () => {
  test.each(EXAMPLES)("reads %s, wherever it is cut", (_, frame) => {
    const both = new Uint8Array([...frame, ...frameBytes(PING, 0, 0, uint32(5))]);
    const whole = read(both);
    expect(whole.at(-1)).toBe("6 0 0 4: 0 0 0 5");
    for (let cut = 0; cut <= both.length; cut++) expect(read(both, cut)).toEqual(whole);
    expect(read(both, ...Array.from(both, () => 1))).toEqual(whole);
  });

  test.each([
    ["padding that is longer than its frame", Uint8Array.of(3, 1, 2), 1],
    ["padding that is as long as its frame", Uint8Array.of(1), 1],
  ])("refuses %s, wherever it is cut", (_, payload, code) => {
    const frame = frameBytes(DATA, Flag.PADDED, 1, payload);
    for (let cut = 0; cut < frame.length; cut++)
      expect(() => read(frame, cut)).toThrow(expect.objectContaining({ code }));
  });

  test("refuses a frame of more than 16 KiB at its header", () => {
    for (const type of [DATA, HEADERS, PING, 200]) {
      const head = frameBytes(type, 0, 1, new Uint8Array(16_385)).subarray(0, 9);
      const largest = frameBytes(type, 0, 1, new Uint8Array(16_384)).subarray(0, 9);
      for (const cut of [0, 4, 9]) {
        expect(() => read(head, cut)).toThrow(expect.objectContaining({ code: 6 }));
        const reader = new FrameReader(new Recording());
        reader.push(largest.slice(0, cut));
        reader.push(largest.slice(cut));
        expect(reader.isInFrame).toBe(true);
      }
    }
  });

  test("drops what follows once its receiver reads no more", () => {
    const recording = new Recording();
    const frame = frameBytes(PING, 0, 0, new Uint8Array(8));
    recording.frame = () => {
      recording.frames.push("ping");
      recording.isReading = false;
    };
    new FrameReader(recording).push(new Uint8Array([...frame, ...frame]));
    expect(recording.frames).toEqual(["ping"]);
  });

  test(`reads random frames in random chunks as in one (FUZZ_SEED=${seed})`, () => {
    fuzzWith(
      300,
      (random) => {
        const bytes = Array.from({ length: 1 + random(8) }, () => {
          const isPadded = random(3) === 0;
          const padding = random(30);
          const data = Array.from({ length: random(5) === 0 ? random(3000) : random(20) }, () =>
            random(256),
          );
          const payload = isPadded ? padded(data, padding) : new Uint8Array(data);
          return [...frameBytes(random(3), isPadded ? Flag.PADDED : random(8), random(9), payload)];
        });
        const sizes = Array.from({ length: 40 }, () => [1, 2, 9, random(100)][random(4)]!);
        return { bytes: new Uint8Array(bytes.flat()), sizes };
      },
      ({ bytes, sizes }) => expect(read(bytes, ...sizes)).toEqual(read(bytes)),
    );
  });
});

describe("a conversation", () => {
  /** The bytes of a client that sends a long header list, padded data and trailers. */
  function conversation(peer: RawPeer): Uint8Array {
    const block = peer.encode([...REQUEST, "x-long", "v".repeat(200)]);
    const [first, second, third] = [block.slice(0, 50), block.slice(50, 51), block.slice(51)];
    return new Uint8Array(
      [
        PREFACE,
        frameBytes(SETTINGS, 0, 0, new Uint8Array(0)),
        frameBytes(HEADERS, Flag.PADDED, 1, padded([...first], 3)),
        frameBytes(CONTINUATION, 0, 1, second),
        frameBytes(CONTINUATION, 0, 1, new Uint8Array(0)),
        frameBytes(CONTINUATION, Flag.END_HEADERS, 1, third),
        frameBytes(DATA, Flag.PADDED, 1, padded([1, 2, 3], 9)),
        frameBytes(PING, 0, 0, new Uint8Array(8)),
        frameBytes(DATA, 0, 1, Uint8Array.of(4, 5)),
        frameBytes(DATA, Flag.PADDED | Flag.END_STREAM, 1, padded([6], 1)),
      ].flatMap((frame) => [...frame]),
    );
  }

  async function run(sizes: readonly number[]): Promise<readonly unknown[]> {
    const peer = new RawPeer("server");
    const bytes = conversation(peer);
    let at = 0;
    for (const size of [...sizes, bytes.length]) {
      if (at < bytes.length) peer.sendBytes(bytes.slice(at, at + size));
      at += size;
    }
    const [{ list, stream, recorder }] = peer.opened as [(typeof peer.opened)[0]];
    stream.consumed(recorder.bytes);
    stream.headers(RESPONSE);
    stream.end();
    expect(recorder.events.at(-1)).toMatch(/ END$/);
    expect(peer.buffered).toBe(0);
    return [list, Buffer.concat(recorder.chunks).toJSON(), await peer.texts()];
  }

  test("is the same, wherever it is cut, and in single bytes", async () => {
    const whole = await run([]);
    const { length } = conversation(new RawPeer("server"));
    for (let cut = 1; cut < length; cut++) expect(await run([cut])).toEqual(whole);
    expect(await run(Array.from({ length }, () => 1))).toEqual(whole);
  });
});
