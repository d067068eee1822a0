// One call at a time: what happens to it, and to what it holds, when one of its sides misbehaves.
import { describe, expect, test } from "bun:test";
import { ErrorCode } from "../../src/http2/protocol.ts";
import type { Rewriter } from "../../src/grpc-proxy/message-pipe.ts";
import { type Opened, Recorder, RESPONSE, TRAILERS } from "../http2/raw-peer.ts";
import { CallScene } from "./call-scene.ts";

const RANGE = "/etcdserverpb.KV/Range";
const PUT = "/etcdserverpb.KV/Put";

function requestOf(path: string, ...fields: readonly string[]): readonly string[] {
  return [
    ...[":method", "POST", ":scheme", "http", ":path", path],
    ...["content-type", "application/grpc", "te", "trailers", ...fields],
  ];
}

function message(bytes: number): Uint8Array {
  const framed = new Uint8Array(5 + bytes).fill(7, 5);
  new DataView(framed.buffer).setUint32(1, bytes);
  return framed;
}

/** A scene that records what the member gets. */
class Recorded extends CallScene {
  readonly opened: Opened[];

  constructor(rewriter?: Rewriter) {
    const opened: Opened[] = [];
    super({
      ...(rewriter === undefined ? {} : { rewriter }),
      onRequest: (stream, list, isEnd) => {
        const recorder = new Recorder();
        opened.push({ stream, list, isEnd, recorder });
        return recorder;
      },
    });
    this.opened = opened;
  }

  static async start(rewriter?: Rewriter): Promise<Recorded> {
    const scene = new Recorded(rewriter);
    scene.addMember();
    await scene.settle();
    return scene;
  }

  call(path: string, ...fields: readonly string[]) {
    const recorder = new Recorder();
    const stream = this.client.connection.open(requestOf(path, ...fields), false, recorder);
    return { stream, recorder };
  }

  /** Expects that nothing is left of the calls, and returns the codes with which they ended. */
  codes(): number[] {
    expect(this.calls.count).toBe(0);
    expect([...this.calls.keys()]).toEqual([]);
    expect(this.calls.bufferLimit.bytes).toBe(0);
    expect(this.endpoint.connections).toBe(0);
    expect(this.proxy.streamCount).toBe(0);
    for (const { session } of this.members) expect(session.connection.streamCount).toBe(0);
    return [...this.calls.methods.all].flatMap(({ handled }) =>
      handled.flatMap((count, code) => Array.from({ length: count }, () => code)),
    );
  }
}

describe("Call", () => {
  test("ends with INTERNAL if an answer cannot be rewritten, whatever is thrown", async () => {
    for (const isLast of [false, true]) {
      const scene = await Recorded.start({
        response: () => {
          throw new TypeError("bug");
        },
      });
      const { stream, recorder } = scene.call(RANGE);
      stream.end();
      await scene.settle();
      const { stream: member } = scene.opened[0]!;
      member.headers(RESPONSE);
      member.write(message(10), isLast);
      await scene.settle();
      expect(recorder.events.at(-1)).toMatch(/grpc-status 13 grpc-message .*internal error END$/);
      expect(scene.faults).toHaveLength(1);
      expect(scene.codes()).toEqual([13]);
    }
  });

  test("ends with INTERNAL if a request cannot be rewritten, whatever is thrown", async () => {
    const scene = await Recorded.start({
      request: () => {
        throw new TypeError("bug");
      },
    });
    const { stream, recorder } = scene.call(PUT);
    stream.write(message(10));
    await scene.settle();
    expect(recorder.events).toEqual(["closed reset 2"]);
    expect(scene.opened[0]!.recorder.events.at(-1)).toMatch(/^closed reset/);
    expect(scene.codes()).toEqual([13]);
  });

  test("holds nothing of a request after an early answer", async () => {
    const scene = await Recorded.start();
    const { stream, recorder } = scene.call(PUT);
    stream.write(message(60_000));
    await scene.settle();
    // The member has read nothing; the proxy has sent what the window allows.
    scene.opened[0]!.stream.end([...RESPONSE, "grpc-status", "8"]);
    await scene.settle();
    expect(recorder.events.at(-1)).toMatch(/grpc-status 8 END$/);
    expect(scene.codes()).toEqual([8]);
  });

  test("holds an answer that its client does not read, also after a deadline, and no longer", async () => {
    const scene = await Recorded.start();
    const { stream, recorder } = scene.call(RANGE, "grpc-timeout", "1S");
    stream.end();
    await scene.settle();
    const { stream: member } = scene.opened[0]!;
    member.headers(RESPONSE);
    for (let i = 0; i < 4; i++) member.write(message(30_000));
    await scene.settle();
    const held = scene.calls.bufferLimit.bytes;
    expect(held).toBeGreaterThan(30_000);
    scene.clock.advance(2000);
    expect(scene.calls.bufferLimit.bytes).toBe(held);
    expect([...scene.calls.keys()]).toHaveLength(1);

    while (scene.calls.bufferLimit.bytes > 0) {
      const before = scene.calls.bufferLimit.bytes;
      stream.consumed(recorder.bytes);
      await scene.settle();
      expect(scene.calls.bufferLimit.bytes).toBeLessThan(before);
    }
    expect(recorder.events.at(-1)).toMatch(/grpc-status 4 .* END$/);
    expect(scene.codes()).toEqual([4]);
  });

  test("is not finished before its client has read the answer, or has gone", async () => {
    for (const isGone of [false, true]) {
      const scene = await Recorded.start();
      const { stream, recorder } = scene.call(RANGE);
      stream.end();
      await scene.settle();
      const { stream: member } = scene.opened[0]!;
      member.headers(RESPONSE);
      member.write(message(100_000));
      member.end(TRAILERS);
      await scene.settle();
      let isFinished = false;
      void scene.calls.whenFinished().then(() => (isFinished = true));
      await Promise.resolve();
      expect([scene.calls.count, scene.calls.finiteCount, isFinished]).toEqual([0, 1, false]);
      if (isGone) stream.reset();
      else stream.consumed(recorder.bytes);
      await scene.settle();
      expect([scene.calls.finiteCount, isFinished]).toEqual([0, true]);
      scene.codes();
    }
  });

  test("that waits holds a request of single bytes in little memory, and sends it whole", async () => {
    const scene = new Recorded();
    await scene.settle();
    const { stream } = scene.call(PUT);
    const framed = message(20_000);
    for (let i = 0; i < framed.length; i++) {
      stream.write(framed.subarray(i, i + 1));
      // Each byte in a frame of its own.
      if (i % 100 === 0) await scene.settle();
    }
    stream.end();
    await scene.settle();
    expect(scene.waiting.size).toBe(1);
    scene.addMember();
    await scene.settle();
    const { recorder, stream: member } = scene.opened[0]!;
    expect(Buffer.concat(recorder.chunks).equals(framed)).toBe(true);
    expect(recorder.chunks.length).toBeLessThan(20);
    member.end([...RESPONSE, ...TRAILERS]);
    await scene.settle();
    expect(scene.codes()).toEqual([0]);
  });

  test("is sent to three members at most", async () => {
    const scene = await Recorded.start();
    const { stream, recorder } = scene.call(PUT);
    stream.write(message(10), true);
    for (let i = 0; i < 3; i++) {
      await scene.settle();
      scene.opened[i]!.stream.reset(ErrorCode.REFUSED_STREAM);
    }
    await scene.settle();
    expect(scene.opened).toHaveLength(3);
    expect(recorder.events.at(-1)).toMatch(/grpc-status 14 .* END$/);
    expect(scene.codes()).toEqual([14]);
  });
});

describe("Call with a rewriter", () => {
  const same: Rewriter = { request: (bytes) => bytes, response: (bytes) => bytes };

  test("holds a request that is larger than the window until it is complete, and counts it", async () => {
    const scene = await Recorded.start(same);
    const { stream } = scene.call(PUT);
    const framed = message(1_000_000);
    for (let at = 0; at < 900_000; at += 10_000) {
      stream.write(framed.subarray(at, at + 10_000));
      await scene.settle();
    }
    expect(scene.calls.bufferLimit.bytes).toBe(900_000);
    expect([...scene.calls.keys()][0]!.bufferedBytes).toBe(900_000);
    const { recorder, stream: member } = scene.opened[0]!;
    expect(recorder.chunks).toEqual([]);

    stream.write(framed.subarray(900_000), true);
    for (let round = 0; round < 100; round++) {
      await scene.settle();
      member.consumed(recorder.bytes);
    }
    expect(Buffer.concat(recorder.chunks).equals(framed)).toBe(true);
    expect(scene.calls.bufferLimit.bytes).toBe(0);
    member.end([...RESPONSE, ...TRAILERS]);
    await scene.settle();
    expect(scene.codes()).toEqual([0]);
  });

  test("holds nothing of messages that were not complete when the call ended", async () => {
    for (const isCancelled of [true, false]) {
      const scene = await Recorded.start(same);
      const { stream } = scene.call(RANGE);
      stream.write(message(100_000).subarray(0, 50_000));
      await scene.settle();
      const { stream: member } = scene.opened[0]!;
      member.headers(RESPONSE);
      member.write(message(100_000).subarray(0, 60_000));
      await scene.settle();
      expect(scene.calls.bufferLimit.bytes).toBe(110_000);
      if (isCancelled) stream.reset();
      else member.end(TRAILERS);
      await scene.settle();
      expect(scene.codes()).toEqual([isCancelled ? 1 : 0]);
    }
  });

  test("a message that is larger than a client's ceiling does not stop its connection", async () => {
    const scene = await Recorded.start(same);
    const framed = message(4_000_000);
    const calls = [scene.call(PUT), scene.call(PUT), scene.call(PUT)];
    for (const { stream } of calls) stream.write(framed, true);
    for (let round = 0; round < 400; round++) {
      await scene.settle();
      for (const { stream, recorder } of scene.opened) stream.consumed(recorder.bytes);
    }
    for (const { recorder } of scene.opened) expect(recorder.bytes).toBe(framed.length);
    for (const { stream } of scene.opened) stream.end([...RESPONSE, ...TRAILERS]);
    await scene.settle();
    expect(scene.codes()).toEqual([0, 0, 0]);
  });
});
