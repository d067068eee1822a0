import { describe, expect, test } from "bun:test";
import { Flag, FrameType } from "../../src/http2/protocol.ts";
import { encodeSettings } from "../../src/http2/settings.ts";
import { RawPeer, Recorder, REQUEST, RESPONSE, TRAILERS, uint32 } from "./raw-peer.ts";

const { DATA, GOAWAY, SETTINGS, PUSH_PROMISE, RST_STREAM } = FrameType;

async function client(settings?: Uint8Array<ArrayBuffer>): Promise<RawPeer> {
  return await new RawPeer("client").handshake(settings);
}

function open(peer: RawPeer, isEnd = true) {
  const recorder = new Recorder();
  return { stream: peer.connection.open(REQUEST, isEnd, recorder), recorder };
}

function goAway(lastId: number, code: number, text = ""): Uint8Array {
  return new Uint8Array([...uint32(lastId), ...uint32(code), ...new TextEncoder().encode(text)]);
}

describe("a client's connection", () => {
  test("start sends the preface; streams can be opened after the server's SETTINGS", async () => {
    const peer = new RawPeer("client");
    expect(peer.connection.canOpen).toBe(false);
    expect(await peer.texts()).toEqual(["SETTINGS 0", expect.stringMatching(/^WINDOW_UPDATE 0/)]);
    peer.send(SETTINGS, 0, 0);
    expect(peer.connection.canOpen).toBe(true);
  });

  test("open() sends a request, and its listener gets headers, data and trailers", async () => {
    const peer = await client();
    const { stream, recorder } = open(peer, false);
    stream.write(new Uint8Array(3), true);
    expect(await peer.texts()).toEqual([`HEADERS 1 ${REQUEST.join(" ")}`, "DATA 1 3 END"]);
    peer.sendHeaders(1, RESPONSE);
    peer.sendData(1, 10);
    peer.sendHeaders(1, TRAILERS, true);
    expect(recorder.events).toEqual([
      `headers ${RESPONSE.join(" ")}`,
      "data 10",
      "headers grpc-status 0 END",
    ]);
    expect(peer.connection.streamCount).toBe(0);
  });

  test("an interim response is skipped", async () => {
    const peer = await client();
    const { recorder } = open(peer);
    peer.sendHeaders(1, [":status", "103"]);
    peer.sendHeaders(1, RESPONSE);
    expect(recorder.events).toEqual([`headers ${RESPONSE.join(" ")}`]);
  });

  test("canOpen is false at the server's limit of streams", async () => {
    const peer = await client(encodeSettings([[3, 1]]));
    const { stream } = open(peer, false);
    expect(peer.connection.canOpen).toBe(false);
    expect(peer.connection.isFull).toBe(true);
    stream.reset();
    expect(peer.connection.canOpen).toBe(true);
  });

  test("GOAWAY refuses the streams above its last id, and lets the others finish", async () => {
    const peer = await client();
    const first = open(peer);
    const second = open(peer);
    peer.send(GOAWAY, 0, 0, goAway(1, 0, "graceful_stop"));
    expect(second.recorder.events).toEqual(["closed refused 7"]);
    expect(peer.connection.canOpen).toBe(false);
    expect(peer.events).toContain("goneAway 0 graceful_stop");
    peer.sendHeaders(1, [...RESPONSE, ...TRAILERS], true);
    expect(first.recorder.events).toHaveLength(1);
    expect(peer.isShutDown).toBe(true);
  });

  test("a RST_STREAM reports its code, and REFUSED_STREAM that nothing was processed", async () => {
    const peer = await client();
    const [first, second] = [open(peer), open(peer)];
    peer.send(RST_STREAM, 0, 1, uint32(8));
    peer.send(RST_STREAM, 0, 3, uint32(7));
    expect(first.recorder.events).toEqual(["closed reset 8"]);
    expect(second.recorder.events).toEqual(["closed refused 7"]);
  });

  test("a response before the request has ended stops the request", async () => {
    const peer = await client();
    const { stream, recorder } = open(peer, false);
    peer.sendHeaders(1, [...RESPONSE, ...TRAILERS], true);
    peer.send(RST_STREAM, 0, 1, uint32(0));
    expect(recorder.events).toEqual([expect.stringMatching(/END$/)]);
    expect(stream.state).toBe("closed");
    await peer.frames();
    stream.write(new Uint8Array(10));
    expect(await peer.texts()).toEqual([]);
  });

  test("a lost connection ends all streams", async () => {
    const peer = await client();
    const [first, second] = [open(peer), open(peer, false)];
    peer.connection.closed(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
    expect(first.recorder.events).toEqual(["closed lost 8"]);
    expect(second.recorder.events).toEqual(["closed lost 8"]);
    expect(peer.events.at(-1)).toBe("closed connection lost (ECONNRESET)");
  });

  test("an exception of a listener resets that stream alone", async () => {
    const peer = await client();
    const failing = open(peer);
    failing.recorder.headers = () => {
      throw new Error("bug");
    };
    const other = open(peer);
    await peer.frames();
    peer.sendHeaders(1, RESPONSE);
    peer.sendHeaders(3, RESPONSE);
    expect(await peer.texts()).toEqual(["RST_STREAM 1 2"]);
    expect(other.recorder.events).toHaveLength(1);
    expect(peer.events).toContain("faulted bug");
  });

  test.each([
    ["PUSH_PROMISE", (peer: RawPeer) => peer.send(PUSH_PROMISE, Flag.END_HEADERS, 1, uint32(2))],
    ["HEADERS of a stream that was not opened", (peer: RawPeer) => peer.sendHeaders(5, RESPONSE)],
    ["HEADERS of an even stream", (peer: RawPeer) => peer.sendHeaders(2, RESPONSE)],
    ["DATA of a stream that was not opened", (peer: RawPeer) => peer.sendData(7, 1)],
  ])("%s ends the connection with PROTOCOL_ERROR", async (_, send) => {
    const peer = await client();
    open(peer);
    await peer.frames();
    send(peer);
    expect((await peer.texts())[0]).toMatch(/^GOAWAY 0 1 /);
  });

  test("DATA before the response's headers resets the stream", async () => {
    const peer = await client();
    const { recorder } = open(peer);
    peer.send(DATA, 0, 1, new Uint8Array(4));
    expect(recorder.events).toEqual(["closed malformed 1"]);
  });

  test("trailers follow the bytes that wait", async () => {
    const peer = await client(encodeSettings([[4, 5]]));
    const { stream } = open(peer, false);
    stream.write(new Uint8Array(8));
    stream.end();
    expect((await peer.texts()).slice(1)).toEqual(["DATA 1 5"]);
    peer.send(FrameType.WINDOW_UPDATE, 0, 1, uint32(5));
    expect(await peer.texts()).toEqual(["DATA 1 3 END"]);
  });
});
