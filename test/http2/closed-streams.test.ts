// Streams that have ended, or that are ended by one side alone: what may still arrive, what is
// counted against a client, and who learns of it.
import { describe, expect, test } from "bun:test";
import { Flag, FrameType } from "../../src/http2/protocol.ts";
import { frameBytes, RawPeer, Recorder, REQUEST, RESPONSE, TRAILERS, uint32 } from "./raw-peer.ts";

const { DATA, PRIORITY, RST_STREAM, WINDOW_UPDATE } = FrameType;

async function server(options?: ConstructorParameters<typeof RawPeer>[1]): Promise<RawPeer> {
  return await new RawPeer("server", options).handshake();
}

async function client(firstStreamId = 1): Promise<RawPeer> {
  return await new RawPeer("client", { firstStreamId }).handshake();
}

function bug(): never {
  throw new Error("bug");
}

describe("a client's connection", () => {
  test("takes the answers to thousands of streams that it has reset", async () => {
    const peer = await client();
    const streams = Array.from({ length: 5000 }, () =>
      peer.connection.open(REQUEST, true, new Recorder()),
    );
    for (const stream of streams) stream.reset();
    await peer.frames();
    for (const { id } of streams) {
      peer.sendHeaders(id, RESPONSE);
      peer.sendData(id, 10);
      peer.sendHeaders(id, TRAILERS, true);
    }
    expect(await peer.texts()).toEqual([]);
    expect(peer.connection.canOpen).toBe(true);
    expect(peer.buffered).toBe(0);
  });

  test("goneAway() is called when no stream ids are left; the last streams go on", async () => {
    const peer = await client(0x7fff_fffd);
    const [first, last] = [new Recorder(), new Recorder()];
    peer.connection.open(REQUEST, true, first);
    expect(peer.events).toEqual(["ready"]);
    expect(peer.connection.open(REQUEST, true, last).id).toBe(0x7fff_ffff);
    expect(peer.events.at(-1)).toBe("goneAway 0 no stream ids are left");
    expect(peer.connection.canOpen).toBe(false);

    peer.sendHeaders(0x7fff_fffd, [...RESPONSE, ...TRAILERS], true);
    expect(peer.isShutDown).toBe(false);
    peer.sendHeaders(0x7fff_ffff, [...RESPONSE, ...TRAILERS], true);
    expect(first.events).toHaveLength(1);
    expect(last.events).toHaveLength(1);
    expect(peer.isShutDown).toBe(true);
  });
});

describe("a response that has ended before its request", () => {
  test.each([
    ["the connection is lost", (peer: RawPeer) => peer.connection.ended()],
    ["the server resets the stream", (peer: RawPeer) => peer.send(RST_STREAM, 0, 1, uint32(8))],
  ])("is the last event of its stream, also when %s", async (_, end) => {
    const peer = await client();
    const recorder = new Recorder();
    const stream = peer.connection.open(REQUEST, false, recorder);
    peer.sendHeaders(1, [...RESPONSE, ...TRAILERS], true);
    end(peer);
    expect(recorder.events).toHaveLength(1);
    expect(stream.state).toBe("closed");
  });
});

describe("an exception of a listener", () => {
  test.each([
    ["headers", (peer: RawPeer) => peer.sendHeaders(1, RESPONSE)],
    ["headers", (peer: RawPeer) => peer.sendHeaders(1, [...RESPONSE, ...TRAILERS], true)],
    [
      "data",
      (peer: RawPeer) => {
        peer.sendHeaders(1, RESPONSE);
        peer.sendData(1, 100);
      },
    ],
    [
      "data",
      (peer: RawPeer) => {
        peer.sendHeaders(1, RESPONSE);
        peer.sendData(1, 100, true);
      },
    ],
  ] as const)("%s ends the stream, and closed() is called once", async (method, send) => {
    const peer = await client();
    const recorder = new Recorder();
    recorder[method] = bug;
    peer.connection.open(REQUEST, true, recorder);
    send(peer);
    expect(recorder.events.at(-1)).toBe("closed faulted 2");
    expect(recorder.events.filter((event) => event.startsWith("closed"))).toHaveLength(1);
    expect(peer.events).toContain("faulted bug");
    expect(peer.connection.streamCount).toBe(0);
    expect(peer.buffered).toBe(0);
    expect(peer.connection.isOpen).toBe(true);
  });

  test("sent ends the stream, and closed() is called once", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST, true);
    const { stream, recorder } = peer.opened[0]!;
    recorder.sent = bug;
    stream.headers(RESPONSE);
    stream.write(new Uint8Array(3));
    expect(recorder.events).toEqual(["closed faulted 2"]);
    expect((await peer.texts()).at(-1)).toBe("RST_STREAM 1 2");
  });

  test("closed is reported, and the other streams get theirs", async () => {
    const peer = await server();
    for (const id of [1, 3]) peer.sendHeaders(id, REQUEST, true);
    peer.opened[0]!.recorder.closed = bug;
    peer.connection.ended();
    expect(peer.events).toContain("faulted bug");
    expect(peer.opened[1]!.recorder.events).toEqual(["closed lost 8"]);
    expect(peer.isTerminated).toBe(true);
  });
});

// CVE-2025-8671, MadeYouReset: frames for which the server resets the stream itself.
describe("a flood of new streams that a server must reset", () => {
  const reset: readonly [string, (peer: RawPeer, id: number) => void][] = [
    ["by the client", (peer, id) => peer.send(RST_STREAM, 0, id, uint32(8))],
    ["for WINDOW_UPDATE of 0", (peer, id) => peer.send(WINDOW_UPDATE, 0, id, uint32(0))],
    [
      "for a window that is too large",
      (peer, id) => peer.send(WINDOW_UPDATE, 0, id, uint32(0x7fff_ffff)),
    ],
    ["for PRIORITY of itself", (peer, id) => peer.send(PRIORITY, 0, id, priority(id))],
    ["for PRIORITY of a wrong length", (peer, id) => peer.send(PRIORITY, 0, id, uint32(0))],
    ["for DATA above its content-length", (peer, id) => peer.sendData(id, 100)],
    ["for a second header list", (peer, id) => peer.sendHeaders(id, REQUEST)],
  ];

  test.each(reset)("%s, ends the connection with ENHANCE_YOUR_CALM", async (_, end) => {
    const peer = await server();
    let count = 0;
    for (let id = 1; peer.connection.isOpen && id < 10_000; id += 2) {
      peer.sendHeaders(id, [...REQUEST, "content-length", "5"]);
      end(peer, id);
      count++;
    }
    expect(count).toBeGreaterThan(900);
    expect(count).toBeLessThan(1100);
    expect((await peer.texts()).at(-1)).toMatch(/^GOAWAY \d+ 11 too many /);
    expect(peer.connection.streamCount).toBe(0);
  });

  test("for a header list that is malformed, too", async () => {
    const peer = await server();
    for (let id = 1; peer.connection.isOpen && id < 10_000; id += 2)
      peer.sendHeaders(id, ["x", "y"], true);
    expect((await peer.texts()).at(-1)).toMatch(/^GOAWAY \d+ 11 too many malformed streams$/);
  });
});

describe("content-length", () => {
  test.each([
    ["several that differ", ["content-length", "4", "content-length", "5"]],
    ["a sign", ["content-length", "+4"]],
    ["a list", ["content-length", "4, 4"]],
    ["nothing", ["content-length", ""]],
  ])("with %s is malformed", async (_, fields) => {
    const peer = await server();
    peer.sendHeaders(1, [...REQUEST, ...fields]);
    expect(await peer.texts()).toEqual(["RST_STREAM 1 1"]);
  });

  test("may be repeated", async () => {
    const peer = await server();
    peer.sendHeaders(1, [...REQUEST, "content-length", "4", "content-length", "4"]);
    peer.sendData(1, 4, true);
    expect(peer.opened[0]!.recorder.events).toEqual(["data 4 END"]);
  });
});

describe("a stream that ends in the middle of a DATA frame", () => {
  test("holds nothing, whatever arrives of the frame", async () => {
    for (let cut = 1; cut < 9 + 20; cut++) {
      const peer = await server();
      peer.sendHeaders(1, REQUEST);
      const { stream, recorder } = peer.opened[0]!;
      const payload = new Uint8Array(20).fill(7);
      payload[0] = 5;
      const frame = frameBytes(DATA, Flag.PADDED | Flag.END_STREAM, 1, payload);
      peer.sendBytes(frame.subarray(0, cut));
      stream.reset();
      stream.release();
      peer.sendBytes(frame.subarray(cut));
      expect(peer.buffered).toBe(0);
      expect(recorder.events.filter((event) => !event.startsWith("data"))).toEqual([]);
      peer.sendHeaders(3, REQUEST, true);
      expect(peer.opened).toHaveLength(2);
    }
  });
});

function priority(id: number): Uint8Array {
  return new Uint8Array([...uint32(id), 0]);
}
