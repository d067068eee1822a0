import { describe, expect, test } from "bun:test";
import { FrameWriter } from "../../src/http2/frame-writer.ts";
import { FrameType } from "../../src/http2/protocol.ts";

/** A writer to a socket that takes everything, and the sizes of its writes. */
function started(): { writer: FrameWriter; writes: number[] } {
  const writer = new FrameWriter({ add() {}, mayGrow: true });
  const writes: number[] = [];
  const write = (_data: unknown, _offset?: number, length?: number) => {
    writes.push(length!);
    return length!;
  };
  writer.start({ write } as never, () => {});
  return { writer, writes };
}

const ping = (writer: FrameWriter) => writer.frame(FrameType.PING, 0, 0, new Uint8Array(8));
const PING_BYTES = 17;
const turn = () => new Promise(setImmediate);

describe("FrameWriter", () => {
  test("frame() writes the frames of one turn at its end, at once", async () => {
    const { writer, writes } = started();
    ping(writer);
    await Promise.resolve();
    ping(writer);
    expect(writes).toEqual([]);
    await turn();
    expect(writes).toEqual([2 * PING_BYTES]);

    ping(writer);
    await turn();
    expect(writes).toEqual([2 * PING_BYTES, PING_BYTES]);
  });

  test("frame() of many connections writes earlier ones before the turn's end", async () => {
    const many = Array.from({ length: 100 }, started);
    for (const { writer } of many) ping(writer);
    const isWritten = many.map(({ writes }) => writes.length > 0);
    expect(isWritten.filter(Boolean).length).toBeGreaterThanOrEqual(100 - 32);
    await turn();
    for (const { writes } of many) expect(writes).toEqual([PING_BYTES]);
  });

  test("close() drops the frames of the turn", async () => {
    const { writer, writes } = started();
    ping(writer);
    writer.close();
    await turn();
    expect(writes).toEqual([]);
  });
});
