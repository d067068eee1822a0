// What a connection sends when windows or the kernel are full, and what it keeps meanwhile.
import { describe, expect, test } from "bun:test";
import { FrameType } from "../../src/http2/protocol.ts";
import { encodeSettings } from "../../src/http2/settings.ts";
import { RawPeer, REQUEST, RESPONSE, TRAILERS, uint32 } from "./raw-peer.ts";

const { RST_STREAM, SETTINGS, WINDOW_UPDATE } = FrameType;
const WINDOW = 65_535;

/** A server whose connection window a first stream has used up. */
async function exhausted(): Promise<RawPeer> {
  const peer = await new RawPeer("server", { maxConcurrentStreams: 10_000 }).handshake();
  peer.send(SETTINGS, 0, 0, encodeSettings([[4, 1 << 20]]));
  peer.sendHeaders(1, REQUEST, true);
  const { stream } = peer.opened[0]!;
  stream.headers(RESPONSE);
  stream.write(new Uint8Array(WINDOW + 10));
  await peer.texts();
  return peer;
}

describe("SendQueue", () => {
  test("an end needs no window, and does not wait for streams that do", async () => {
    const peer = await exhausted();
    for (const id of [3, 5]) peer.sendHeaders(id, REQUEST, true);
    const [, plain, trailing] = peer.opened.map(({ stream }) => stream);
    plain!.headers(RESPONSE);
    plain!.end();
    trailing!.headers(RESPONSE);
    trailing!.end(TRAILERS);
    expect(await peer.texts()).toEqual([
      `HEADERS 3 ${RESPONSE.join(" ")}`,
      "DATA 3 0 END",
      `HEADERS 5 ${RESPONSE.join(" ")}`,
      "HEADERS 5 grpc-status 0 END",
    ]);
  });

  test("a stream that is written later waits for its turn", async () => {
    const peer = await exhausted();
    peer.sendHeaders(3, REQUEST, true);
    const { stream } = peer.opened[1]!;
    stream.headers(RESPONSE);
    stream.write(new Uint8Array(3));
    stream.write(new Uint8Array(4), true);
    await peer.texts();
    peer.send(WINDOW_UPDATE, 0, 0, uint32(12));
    expect(await peer.texts()).toEqual(["DATA 1 10", "DATA 3 2"]);
    peer.send(WINDOW_UPDATE, 0, 0, uint32(5));
    expect(await peer.texts()).toEqual(["DATA 3 5 END"]);
    expect(stream.state).toBe("closed");
  });

  test("single bytes that had to wait leave in one frame", async () => {
    const peer = await exhausted();
    peer.sendHeaders(3, REQUEST, true);
    const { stream } = peer.opened[1]!;
    stream.headers(RESPONSE);
    for (let i = 0; i < 1000; i++) stream.write(Uint8Array.of(i));
    await peer.texts();
    peer.send(WINDOW_UPDATE, 0, 0, uint32(100_000));
    const [, frame] = await peer.frames();
    expect(frame!.payload).toEqual(Uint8Array.from({ length: 1000 }, (_, i) => i));
  });

  test("a stream that is reset while it waits is not kept", async () => {
    const peer = await exhausted();
    const streams: WeakRef<object>[] = [];
    for (let id = 3; id < 403; id += 2) {
      peer.sendHeaders(id, REQUEST, true);
      const { stream } = peer.opened.pop()!;
      streams.push(new WeakRef(stream));
      stream.write(new Uint8Array(1000));
      peer.send(RST_STREAM, 0, id, uint32(8));
    }
    await Bun.sleep(0);
    Bun.gc(true);
    const kept = streams.filter((stream) => stream.deref() !== undefined).length;
    // The collector is conservative: it may take a number on the stack for an object.
    expect(kept).toBeLessThan(20);
    expect(peer.connection.streamCount).toBe(1);
  });

  test("a stream whose window shrinks while it waits does not hold up the others", async () => {
    const peer = await exhausted();
    peer.sendHeaders(3, REQUEST, true);
    peer.opened[1]!.stream.write(new Uint8Array(50), true);
    await peer.texts();
    peer.send(SETTINGS, 0, 0, encodeSettings([[4, 40]]));
    peer.send(WINDOW_UPDATE, 0, 0, uint32(1000));
    expect(await peer.texts()).toEqual(["SETTINGS 0 ACK", "DATA 3 40"]);
    peer.send(WINDOW_UPDATE, 0, 3, uint32(10));
    expect(await peer.texts()).toEqual(["DATA 3 10 END"]);
  });

  test("settings are acknowledged before the DATA that they allow", async () => {
    const peer = await new RawPeer("server").handshake(encodeSettings([[4, 0]]));
    peer.sendHeaders(1, REQUEST, true);
    const { stream } = peer.opened[0]!;
    stream.headers(RESPONSE);
    stream.write(new Uint8Array(3), true);
    await peer.texts();
    peer.send(SETTINGS, 0, 0, encodeSettings([[4, 1]]));
    expect(await peer.texts()).toEqual(["SETTINGS 0 ACK", "DATA 1 1"]);
  });

  test("ten thousand streams that wait are served in turn", async () => {
    const peer = await exhausted();
    for (let i = 1; i < 10_000; i++) {
      peer.sendHeaders(2 * i + 1, REQUEST, true);
      peer.opened[i]!.stream.write(Uint8Array.of(1), true);
    }
    await peer.texts();
    peer.send(WINDOW_UPDATE, 0, 0, uint32(100_000));
    const ids = (await peer.frames()).map(({ id }) => id);
    expect(ids).toEqual(Array.from({ length: 10_000 }, (_, i) => 2 * i + 1));
  });
});
