// Answers that are older than what the client has seen (--experimental-serializable-ordering).
import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { encodeEmbedded, encodeMessage } from "../../src/protobuf/message.ts";
import { type Opened, Recorder, RESPONSE, TRAILERS } from "../http2/raw-peer.ts";
import { CallScene } from "./call-scene.ts";

const KV = "/etcdserverpb.KV/";
const KEY = encodeMessage([[1, "key"]]);
const RANGE_OP = encodeEmbedded(1, KEY);
const PUT_OP = encodeEmbedded(2, KEY);

function framed(payload: Uint8Array, isCompressed = false): Uint8Array {
  const bytes = new Uint8Array(5 + payload.length);
  bytes[0] = Number(isCompressed);
  new DataView(bytes.buffer).setUint32(1, payload.length);
  bytes.set(payload, 5);
  return bytes;
}

/** Returns an answer with this revision in its header, and more bytes in field 2. */
function answer(revision: number, more = new Uint8Array(0)): Uint8Array {
  return Buffer.concat([
    encodeEmbedded(1, encodeMessage([[3, revision]])),
    encodeEmbedded(2, more),
  ]);
}

class Scene extends CallScene {
  readonly opened: Opened[];

  constructor() {
    const opened: Opened[] = [];
    super({
      hasSerializableOrdering: true,
      onRequest: (stream, list, isEnd) => {
        const recorder = new Recorder();
        opened.push({ stream, list, isEnd, recorder });
        return recorder;
      },
    });
    this.opened = opened;
    this.addMember();
  }

  call(method: string, request: Uint8Array) {
    const recorder = new Recorder();
    const list = [
      ...[":method", "POST", ":scheme", "http", ":path", KV + method],
      ...["content-type", "application/grpc", "te", "trailers"],
    ];
    const stream = this.client.connection.open(list, false, recorder);
    stream.write(framed(request), true);
    return { stream, recorder };
  }

  /** Answers the last request of the member. */
  answer(message: Uint8Array): void {
    const { stream } = this.opened.at(-1)!;
    stream.headers(RESPONSE);
    stream.write(message);
    stream.end(TRAILERS);
  }

  /** Has the client see this revision. */
  async see(revision: number): Promise<void> {
    await this.settle();
    this.call("Range", KEY);
    await this.settle();
    this.answer(framed(answer(revision)));
    await this.settle();
  }

  /** Answers with this revision as long as the request is repeated. Returns how often it came. */
  async answerAll(revision: number): Promise<number> {
    const before = this.opened.length;
    await this.settle();
    for (let answered = before; answered < this.opened.length;) {
      answered = this.opened.length;
      this.answer(framed(answer(revision)));
      await this.settle();
    }
    expect(this.calls.count).toBe(0);
    expect(this.calls.bufferLimit.bytes).toBe(0);
    expect(this.endpoint.connections).toBe(0);
    return this.opened.length - before;
  }
}

describe("an answer that is older than what the client has seen", () => {
  test.each([
    ["Put", KEY],
    ["DeleteRange", KEY],
    ["Compact", KEY],
    ["Txn", encodeEmbedded(2, PUT_OP)],
    [
      "Txn",
      Buffer.concat([encodeEmbedded(2, RANGE_OP), encodeEmbedded(3, encodeEmbedded(3, KEY))]),
    ],
    ["Txn", encodeEmbedded(2, encodeEmbedded(4, encodeEmbedded(3, PUT_OP)))],
    ["Txn", Uint8Array.of(0x12, 0xff)],
  ])("of a write (%s) passes: the write is never sent twice", async (method, request) => {
    const scene = new Scene();
    await scene.see(100);
    const { recorder } = scene.call(method, request);
    expect(await scene.answerAll(5)).toBe(1);
    expect(recorder.events.at(-1)).toBe("headers grpc-status 0 END");
    expect(recorder.chunks).toHaveLength(1);
  });

  test.each([
    ["Range", KEY],
    ["Txn", encodeEmbedded(2, RANGE_OP)],
    ["Txn", encodeEmbedded(3, encodeEmbedded(4, encodeEmbedded(2, RANGE_OP)))],
  ])(
    "of a read (%s) is dropped, and the read sent to three members at most",
    async (method, request) => {
      const scene = new Scene();
      await scene.see(100);
      const { recorder } = scene.call(method, request);
      expect(await scene.answerAll(5)).toBe(3);
      expect(recorder.chunks).toEqual([]);
      expect(recorder.events.at(-1)).toMatch(/grpc-status 2 grpc-message etcdclient: no cluster/);
    },
  );

  test("of a read is replaced by a newer one", async () => {
    const scene = new Scene();
    await scene.see(100);
    const { recorder } = scene.call("Range", KEY);
    await scene.settle();
    scene.answer(framed(answer(99)));
    await scene.settle();
    scene.answer(framed(answer(101)));
    await scene.settle();
    expect(recorder.events.at(-1)).toBe("headers grpc-status 0 END");
    expect(Buffer.concat(recorder.chunks).equals(framed(answer(101)))).toBe(true);
    expect(scene.calls.bufferLimit.bytes).toBe(0);
  });
});

describe("a compressed answer", () => {
  test("that is larger than the window passes", async () => {
    const scene = new Scene();
    await scene.see(100);
    const { stream, recorder } = scene.call("Range", KEY);
    await scene.settle();
    const message = framed(gzipSync(answer(100, randomBytes(500_000))), true);
    scene.answer(message);
    for (let round = 0; round < 50; round++) {
      await scene.settle();
      stream.consumed(recorder.bytes);
    }
    expect(Buffer.concat(recorder.chunks).equals(message)).toBe(true);
  });

  test("that is old is dropped", async () => {
    const scene = new Scene();
    await scene.see(100);
    const { recorder } = scene.call("Range", KEY);
    await scene.settle();
    scene.answer(framed(gzipSync(answer(99, randomBytes(5000))), true));
    await scene.settle();
    expect(recorder.events).toEqual([]);
    expect(scene.opened).toHaveLength(3);
  });
});
