import { describe, expect, test } from "bun:test";
import { Flag, FrameType, PREFACE } from "../../src/http2/protocol.ts";
import { encodeSettings } from "../../src/http2/settings.ts";
import { frameBytes, RawPeer, REQUEST, RESPONSE, TRAILERS, uint32 } from "./raw-peer.ts";

const { DATA, HEADERS, SETTINGS, PING, CONTINUATION, RST_STREAM, WINDOW_UPDATE } = FrameType;

async function server(options?: ConstructorParameters<typeof RawPeer>[1]): Promise<RawPeer> {
  return await new RawPeer("server", options).handshake();
}

describe("a server's connection: beginning", () => {
  test("start sends SETTINGS and enlarges the connection window", async () => {
    const peer = new RawPeer("server");
    expect(await peer.texts()).toEqual([
      "SETTINGS 0",
      `WINDOW_UPDATE 0 ${4 * 1024 * 1024 - 65_535}`,
    ]);
  });

  test("ready() is called at the peer's SETTINGS, which are acknowledged", async () => {
    const peer = new RawPeer("server");
    await peer.frames();
    peer.sendBytes(PREFACE);
    peer.send(SETTINGS, 0, 0);
    expect(peer.events).toEqual(["ready"]);
    expect(await peer.texts()).toEqual(["SETTINGS 0 ACK"]);
  });

  test("a preface in single bytes is accepted", async () => {
    const peer = new RawPeer("server");
    const bytes = [...PREFACE, ...frameBytes(SETTINGS, 0, 0, new Uint8Array(0))];
    for (const byte of bytes) peer.sendBytes(Uint8Array.of(byte));
    expect(peer.events).toEqual(["ready"]);
  });

  test("another preface ends the connection with PROTOCOL_ERROR", async () => {
    const peer = new RawPeer("server");
    await peer.frames();
    peer.sendBytes(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    expect(await peer.texts()).toEqual(["GOAWAY 0 1 no HTTP/2 preface"]);
    expect(peer.isShutDown).toBe(true);
  });

  test("a client that sends no preface is closed after ten seconds", async () => {
    const peer = new RawPeer("server");
    await peer.frames();
    peer.clock.advance(9_999);
    expect(await peer.texts()).toEqual([]);
    peer.clock.advance(1);
    expect(await peer.texts()).toEqual(["GOAWAY 0 4 no HTTP/2 preface"]);
    peer.clock.advance(1000);
    expect(peer.isTerminated).toBe(true);
    expect(peer.clock.pending).toBe(0);
  });

  test("a first frame other than SETTINGS ends the connection", async () => {
    const peer = new RawPeer("server");
    await peer.frames();
    peer.sendBytes(PREFACE);
    peer.sendHeaders(1, REQUEST, true);
    expect(await peer.texts()).toEqual(["GOAWAY 0 1 the first frame is not SETTINGS"]);
    expect(peer.opened).toEqual([]);
  });
});

describe("a server's connection: streams", () => {
  test("request() gets the header list, and the response goes back with trailers", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    peer.sendData(1, 5, true);
    const [{ stream, list, isEnd, recorder }] = peer.opened as [(typeof peer.opened)[0]];
    expect({ list, isEnd }).toEqual({ list: REQUEST, isEnd: false });
    expect(recorder.events).toEqual(["data 5 END"]);

    stream.headers(RESPONSE);
    stream.write(new Uint8Array(7));
    stream.end(TRAILERS);
    expect(await peer.texts()).toEqual([
      `HEADERS 1 ${RESPONSE.join(" ")}`,
      "DATA 1 7",
      "HEADERS 1 grpc-status 0 END",
    ]);
    expect(recorder.sentBytes).toBe(7);
    expect(stream.state).toBe("closed");
    expect(peer.connection.streamCount).toBe(0);
  });

  test("a response that ends before its request resets the rest with NO_ERROR", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    peer.opened[0]!.stream.end([...RESPONSE, ...TRAILERS]);
    const [, reset] = await peer.texts();
    expect(reset).toBe("RST_STREAM 1 0");
    // What was on its way is dropped without a word.
    peer.sendData(1, 100);
    expect(await peer.texts()).toEqual([]);
    expect(peer.buffered).toBe(0);
  });

  test("an exception of request() resets that stream alone", async () => {
    const peer = await server();
    peer.fault = new Error("bug");
    peer.sendHeaders(1, REQUEST, true);
    peer.fault = undefined;
    peer.sendHeaders(3, REQUEST, true);
    expect(await peer.texts()).toEqual(["RST_STREAM 1 2"]);
    expect(peer.events).toContain("faulted bug");
    expect(peer.opened).toHaveLength(1);
  });

  test("a stream above the limit is refused, and one after that is not", async () => {
    const peer = await server({ maxConcurrentStreams: 1 });
    peer.sendHeaders(1, REQUEST);
    peer.sendHeaders(3, REQUEST);
    expect(await peer.texts()).toEqual(["RST_STREAM 3 7"]);
    peer.send(RST_STREAM, 0, 1, uint32(8));
    peer.sendHeaders(5, REQUEST);
    expect(peer.opened).toHaveLength(2);
  });

  test("a header list that is too large is answered with 431", async () => {
    const peer = await server();
    const large = [...REQUEST];
    for (let i = 0; i < 80; i++) large.push(`x-${i}`, "v".repeat(1000));
    const block = peer.encode(large);
    peer.send(HEADERS, Flag.END_STREAM, 1, block.subarray(0, 16_000));
    for (let at = 16_000; at < block.length; at += 16_000) {
      const isLast = at + 16_000 >= block.length;
      peer.send(CONTINUATION, isLast ? Flag.END_HEADERS : 0, 1, block.subarray(at, at + 16_000));
    }
    expect(await peer.texts()).toEqual(["HEADERS 1 :status 431 END"]);
    // The table of the decoder is intact.
    peer.sendHeaders(3, REQUEST, true);
    expect(peer.opened[0]!.list).toEqual(REQUEST);
  });

  test("a header block of more than 256 KiB ends the connection", async () => {
    const peer = await server();
    peer.send(HEADERS, 0, 1, new Uint8Array(16_384).fill(0x82));
    for (let i = 0; i < 16; i++) peer.send(CONTINUATION, 0, 1, new Uint8Array(16_384).fill(0x82));
    expect(await peer.texts()).toEqual(["GOAWAY 0 11 header block is too large"]);
  });

  test("trailers of a request arrive as headers()", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    peer.sendHeaders(1, ["x-end", "1"], true);
    expect(peer.opened[0]!.recorder.events).toEqual(["headers x-end 1 END"]);
  });

  test.each([
    ["without :path", REQUEST.filter((_, i) => i !== 4 && i !== 5)],
    ["with a second :path", [":path", "/a", ...REQUEST]],
    ["with an upper-case name", [...REQUEST, "X-Big", "1"]],
    ["with connection", [...REQUEST, "connection", "close"]],
    ["with te: gzip", [...REQUEST, "te", "gzip"]],
    ["with a line break in a value", [...REQUEST, "x-a", "1\r\nx-b: 2"]],
    ["with :status", [":status", "200", ...REQUEST]],
    ["with a pseudo field at the end", [...REQUEST.slice(2), ":method", "POST"]],
  ])("a request %s is reset with PROTOCOL_ERROR", async (_, list) => {
    const peer = await server();
    peer.sendHeaders(1, list, true);
    expect(await peer.texts()).toEqual(["RST_STREAM 1 1"]);
    expect(peer.opened).toEqual([]);
  });

  test("a body that differs from its content-length is reset", async () => {
    const peer = await server();
    peer.sendHeaders(1, [...REQUEST, "content-length", "4"]);
    peer.sendData(1, 5);
    peer.sendHeaders(3, [...REQUEST, "content-length", "4"]);
    peer.sendData(3, 3, true);
    expect(await peer.texts()).toEqual(["RST_STREAM 1 1", "RST_STREAM 3 1"]);
    expect(peer.opened[0]!.recorder.events).toEqual(["closed malformed 1"]);
    expect(peer.buffered).toBe(0);
  });
});

describe("a server's connection: flow control", () => {
  test("consumed() returns a stream's window in halves, and doubles it while the reader keeps up", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    const { stream } = peer.opened[0]!;
    peer.sendData(1, 16_000);
    stream.consumed(16_000);
    expect(await peer.texts()).toEqual([]);
    peer.sendData(1, 16_384);
    peer.sendData(1, 1000);
    stream.consumed(17_384);
    expect(await peer.texts()).toEqual([`WINDOW_UPDATE 1 ${33_384 + 65_535}`]);
    expect(peer.buffered).toBe(0);
  });

  test("a reader that lags gets no larger window", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    for (let i = 0; i < 4; i++) peer.sendData(1, 16_000);
    peer.opened[0]!.stream.consumed(33_000);
    expect(await peer.texts()).toEqual(["WINDOW_UPDATE 1 33000"]);
  });

  test("a stream that exceeds its window is reset; the connection goes on", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    for (let i = 0; i < 4; i++) peer.sendData(1, 16_384);
    expect(await peer.texts()).toEqual(["RST_STREAM 1 3"]);
    peer.opened[0]!.stream.release();
    expect(peer.buffered).toBe(0);
    peer.sendHeaders(3, REQUEST, true);
    expect(peer.opened).toHaveLength(2);
  });

  test("streams that are not read do not use up the connection's window", async () => {
    const peer = await server();
    for (let id = 1; id <= 39; id += 2) {
      peer.sendHeaders(id, REQUEST);
      for (let i = 0; i < 3; i++) peer.sendData(id, 16_384);
    }
    expect(peer.buffered).toBe(20 * 3 * 16_384);
    peer.sendHeaders(41, REQUEST);
    peer.sendData(41, 100);
    expect(peer.opened[20]!.recorder.bytes).toBe(100);
    expect(await peer.texts()).toEqual([]);
  });

  test("one client cannot have more than 4 MiB and its window held", async () => {
    const peer = await server({ maxConcurrentStreams: 1000 });
    let id = -1;
    const events: string[] = [];
    // Sends as long as the window that it was given allows.
    for (let window = 4 * 1024 * 1024; window >= 3 * 16_384; window -= 3 * 16_384) {
      id += 2;
      peer.sendHeaders(id, REQUEST);
      for (let i = 0; i < 3; i++) peer.sendData(id, 16_384);
      for (const text of await peer.texts()) {
        events.push(text);
        if (text.startsWith("WINDOW_UPDATE 0")) window += Number(text.split(" ")[2]);
      }
    }
    expect(peer.buffered).toBeLessThanOrEqual(8 * 1024 * 1024);
    expect(events.every((text) => text.startsWith("WINDOW_UPDATE 0"))).toBe(true);

    for (const { stream, recorder } of peer.opened) stream.consumed(recorder.bytes);
    expect((await peer.texts()).some((text) => text.startsWith("WINDOW_UPDATE 0"))).toBe(true);
  });

  test("padding is returned at once", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    for (let i = 0; i < 200; i++) {
      const payload = new Uint8Array(256);
      payload[0] = 255; // no data
      peer.send(DATA, Flag.PADDED, 1, payload);
    }
    expect(await peer.texts()).toEqual([expect.stringMatching(/^WINDOW_UPDATE 1 /)]);
    expect(peer.opened[0]!.recorder.events).toEqual([]);
  });

  test("write() sends no more than the stream's window, and goes on at WINDOW_UPDATE", async () => {
    const peer = await server();
    peer.send(SETTINGS, 0, 0, encodeSettings([[4, 10]]));
    peer.sendHeaders(1, REQUEST, true);
    await peer.frames();
    const { stream, recorder } = peer.opened[0]!;
    stream.headers(RESPONSE);
    stream.write(new Uint8Array(25));
    stream.end(TRAILERS);
    expect((await peer.texts()).slice(1)).toEqual(["DATA 1 10"]);
    expect(recorder.sentBytes).toBe(10);
    peer.send(WINDOW_UPDATE, 0, 1, uint32(10));
    expect(await peer.texts()).toEqual(["DATA 1 10"]);
    peer.send(WINDOW_UPDATE, 0, 1, uint32(100));
    expect(await peer.texts()).toEqual(["DATA 1 5", "HEADERS 1 grpc-status 0 END"]);
    expect(recorder.sentBytes).toBe(25);
  });

  test("a smaller initial window makes a window negative, and nothing is sent until it is positive", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST, true);
    const { stream } = peer.opened[0]!;
    stream.headers(RESPONSE);
    stream.write(new Uint8Array(1000));
    await peer.frames();
    peer.send(SETTINGS, 0, 0, encodeSettings([[4, 900]]));
    stream.write(new Uint8Array(50));
    expect(await peer.texts()).toEqual(["SETTINGS 0 ACK"]);
    peer.send(WINDOW_UPDATE, 0, 1, uint32(100));
    expect(await peer.texts()).toEqual([]);
    peer.send(WINDOW_UPDATE, 0, 1, uint32(1));
    expect(await peer.texts()).toEqual(["DATA 1 1"]);
  });

  test("streams share the connection's window frame by frame", async () => {
    const peer = await server();
    peer.send(SETTINGS, 0, 0, encodeSettings([[4, 1 << 20]]));
    for (const id of [1, 3]) peer.sendHeaders(id, REQUEST, true);
    await peer.frames();
    for (const { stream } of peer.opened) stream.headers(RESPONSE);
    for (const { stream } of peer.opened) stream.write(new Uint8Array(64 * 1024));
    const first = (await peer.texts()).slice(2);
    expect(first).toEqual(["DATA 1 16384", "DATA 1 16384", "DATA 1 16384", "DATA 1 16383"]);
    peer.send(WINDOW_UPDATE, 0, 0, uint32(32_768 + 1));
    expect(await peer.texts()).toEqual(["DATA 1 1", "DATA 3 16384", "DATA 3 16384"]);
  });

  test("a stalled stream does not delay another", async () => {
    const peer = await server();
    peer.send(SETTINGS, 0, 0, encodeSettings([[4, 100]]));
    for (const id of [1, 3]) peer.sendHeaders(id, REQUEST, true);
    await peer.frames();
    const [stalled, other] = peer.opened.map(({ stream }) => stream);
    stalled!.headers(RESPONSE);
    stalled!.write(new Uint8Array(1000));
    other!.headers(RESPONSE);
    other!.write(new Uint8Array(90), true);
    expect((await peer.texts()).filter((text) => text.startsWith("DATA"))).toEqual([
      "DATA 1 100",
      "DATA 3 90 END",
    ]);
  });

  test("while the socket is full nothing is written, and afterwards everything in order", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST, true);
    const { stream } = peer.opened[0]!;
    peer.capacity = 20;
    stream.headers(RESPONSE);
    stream.write(new Uint8Array(30_000));
    await peer.frames();
    stream.write(new Uint8Array(1000), true);
    expect(await peer.frames()).toEqual([]);
    peer.capacity = Number.POSITIVE_INFINITY;
    peer.connection.writable();
    expect(await peer.texts()).toEqual([
      `HEADERS 1 ${RESPONSE.join(" ")}`,
      "DATA 1 16384",
      "DATA 1 13616",
      "DATA 1 1000 END",
    ]);
  });
});

describe("a server's connection: abuse", () => {
  test("resets of new streams are limited; the connection ends with ENHANCE_YOUR_CALM", async () => {
    const peer = await server();
    let id = 1;
    for (; peer.events.length < 2 && id < 10_000; id += 2) {
      peer.sendHeaders(id, REQUEST);
      peer.send(RST_STREAM, 0, id, uint32(8));
      if (peer.events.at(-1) === "emptied") peer.events.pop();
    }
    expect((await peer.texts()).at(-1)).toMatch(/^GOAWAY \d+ 11 too many resets of new streams$/);
    expect(id / 2).toBeGreaterThan(999);
    expect(id / 2).toBeLessThan(1100);
  });

  test("resets of streams that are older than a second are not", async () => {
    const peer = await server({ maxConcurrentStreams: 5000 });
    for (let i = 0; i < 3000; i++) peer.sendHeaders(2 * i + 1, REQUEST);
    peer.clock.advance(1000);
    for (let i = 0; i < 3000; i++) peer.send(RST_STREAM, 0, 2 * i + 1, uint32(8));
    expect(peer.connection.isOpen).toBe(true);
    expect(peer.connection.streamCount).toBe(0);
  });

  test.each([
    ["SETTINGS", (peer: RawPeer) => peer.send(SETTINGS, 0, 0), "SETTINGS frames"],
    ["PING", (peer: RawPeer) => peer.send(PING, 0, 0, new Uint8Array(8)), "PING frames"],
    ["empty DATA", (peer: RawPeer) => peer.send(DATA, 0, 1), "empty DATA frames"],
  ])("a flood of %s frames ends the connection", async (_, send, what) => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    peer.sendHeaders(3, REQUEST, true);
    peer.opened[1]!.stream.end(RESPONSE);
    for (let i = 0; i < 1100 && peer.connection.isOpen; i++) send(peer);
    expect((await peer.texts()).at(-1)).toBe(`GOAWAY 3 11 too many ${what}`);
    expect(peer.opened[0]!.recorder.events).toEqual(["closed lost 8"]);
  });

  test("DATA of a closed stream is answered once", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST, true);
    peer.opened[0]!.stream.end(RESPONSE);
    await peer.frames();
    for (let i = 0; i < 10; i++) peer.sendData(1, 100);
    expect(await peer.texts()).toEqual(["RST_STREAM 1 5"]);
  });

  test("HEADERS of a closed stream end the connection with STREAM_CLOSED", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST, true);
    peer.opened[0]!.stream.end(RESPONSE);
    await peer.frames();
    peer.sendHeaders(1, REQUEST, true);
    expect(await peer.texts()).toEqual(["GOAWAY 1 5 HEADERS of a closed stream"]);
  });

  test("the third early PING ends the connection with too_many_pings", async () => {
    const peer = await server({ minPingMs: 5000 });
    const ping = () => peer.send(PING, 0, 0, new Uint8Array(8));
    ping();
    peer.clock.advance(5000);
    for (let i = 0; i < 3; i++) ping();
    expect(peer.connection.isOpen).toBe(true);
    ping();
    expect((await peer.texts()).at(-1)).toBe("GOAWAY 0 11 too_many_pings");
  });

  test("a client may answer each response with a PING", async () => {
    const peer = await server({ minPingMs: 5000 });
    peer.sendHeaders(1, REQUEST);
    const { stream } = peer.opened[0]!;
    stream.headers(RESPONSE);
    for (let i = 0; i < 2000; i++) {
      stream.write(new Uint8Array(1));
      peer.send(PING, 0, 0, new Uint8Array(8));
    }
    expect(peer.connection.isOpen).toBe(true);
  });

  test("a peer that has us answer and does not read is closed", async () => {
    const peer = await server({ maxConcurrentStreams: 1 });
    peer.capacity = 0;
    peer.sendHeaders(1, REQUEST);
    const { stream } = peer.opened[0]!;
    stream.headers(RESPONSE);
    await peer.frames();
    for (let i = 0; i < 100_000 && peer.connection.isOpen; i++) {
      stream.write(new Uint8Array(1));
      peer.send(PING, 0, 0, new Uint8Array(8));
      if (i % 1000 === 0) peer.clock.advance(10_000);
    }
    expect(peer.events.at(-1)).toBe("closed the peer does not read");
  });
});

describe("a server's connection: the end", () => {
  test("drain() announces it twice, serves what was on its way, and closes after the last stream", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST, true);
    peer.connection.drain();
    const [goAway, ping] = await peer.frames();
    expect(new DataView(goAway!.payload.buffer).getUint32(0)).toBe(0x7fff_ffff);
    peer.sendHeaders(3, REQUEST, true);
    peer.send(PING, Flag.ACK, 0, ping!.payload);
    expect(await peer.texts()).toEqual(["GOAWAY 3 0"]);
    peer.sendHeaders(5, REQUEST, true);
    expect(peer.opened).toHaveLength(2);

    for (const { stream } of peer.opened) stream.end(RESPONSE);
    const texts = await peer.texts();
    expect(texts.at(-1)).toBe("GOAWAY 5 0 drained");
    expect(peer.isShutDown).toBe(true);
    peer.connection.closed(undefined);
    expect(peer.events.at(-1)).toBe("closed drained");
    expect(peer.clock.pending).toBe(0);
  });

  test("a FIN ends the connection and its streams", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    peer.connection.ended();
    expect(peer.opened[0]!.recorder.events).toEqual(["closed lost 8"]);
    expect(peer.events.filter((event) => event.startsWith("closed"))).toEqual([
      "closed closed by peer",
    ]);
    expect(peer.isTerminated).toBe(true);
  });

  test("terminate() and close() may be called twice", async () => {
    const peer = await server();
    peer.connection.close(0, "done");
    peer.connection.close(0, "again");
    peer.connection.terminate("again");
    peer.connection.terminate("again");
    expect(peer.events.filter((event) => event.startsWith("closed"))).toEqual(["closed done"]);
    expect(peer.clock.pending).toBe(0);
  });
});
