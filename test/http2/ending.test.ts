// How connections end: what is still written, what is dropped, and when the socket is closed.
import { describe, expect, test } from "bun:test";
import { ErrorCode, FrameType } from "../../src/http2/protocol.ts";
import { RawPeer, Recorder, REQUEST, RESPONSE, TRAILERS, uint32 } from "./raw-peer.ts";

const { GOAWAY, PING } = FrameType;

async function server(): Promise<RawPeer> {
  return await new RawPeer("server").handshake();
}

/** Has the kernel take nothing more, and makes the connection notice. */
async function blocked(): Promise<{ peer: RawPeer; stream: RawPeer["opened"][0]["stream"] }> {
  const peer = await server();
  peer.sendHeaders(1, REQUEST, true);
  const { stream } = peer.opened[0]!;
  peer.capacity = 10;
  stream.headers(RESPONSE);
  await peer.frames();
  return { peer, stream };
}

function unblock(peer: RawPeer): void {
  peer.capacity = Number.POSITIVE_INFINITY;
  peer.connection.writable();
}

describe("Connection", () => {
  test("drain() writes all of the last response before it closes", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST, true);
    peer.connection.drain();
    const [, ping] = await peer.frames();
    peer.send(PING, 1, 0, ping!.payload);
    await peer.frames();

    const { stream } = peer.opened[0]!;
    peer.capacity = 100;
    stream.headers(RESPONSE);
    stream.write(new Uint8Array(10_000));
    stream.end(TRAILERS);
    expect(await peer.frames()).toHaveLength(1);
    expect(peer.isShutDown).toBe(false);
    expect(peer.isReleased).toBe(false);

    unblock(peer);
    expect((await peer.texts()).slice(-3)).toEqual([
      "DATA 1 10000",
      "HEADERS 1 grpc-status 0 END",
      "GOAWAY 1 0 drained",
    ]);
    expect(peer.isShutDown).toBe(true);
    expect(peer.buffered).toBe(0);
    peer.connection.closed(undefined);
    expect(peer.isReleased).toBe(true);
    expect(peer.clock.pending).toBe(0);
  });

  test("close() gives up after a second if the peer does not read, or does not close", async () => {
    const { peer } = await blocked();
    peer.connection.close(ErrorCode.PROTOCOL_ERROR, "fault");
    expect(peer.events.at(-1)).toBe("closed fault");
    peer.clock.advance(999);
    expect(peer.isTerminated).toBe(false);
    peer.clock.advance(1);
    expect([peer.isTerminated, peer.isReleased, peer.buffered]).toEqual([true, true, 0]);

    const other = await server();
    other.connection.close(ErrorCode.PROTOCOL_ERROR, "fault");
    expect(other.isShutDown).toBe(true);
    other.clock.advance(1000);
    expect([other.isTerminated, other.isReleased, other.clock.pending]).toEqual([true, true, 0]);
  });

  test("released() is called when the socket is closed, and once", async () => {
    const peer = await server();
    let count = 0;
    peer.released = () => count++;
    peer.connection.close(0, "done");
    expect(count).toBe(0);
    peer.connection.ended();
    expect(count).toBe(1);
    peer.connection.closed(undefined);
    peer.connection.terminate("again");
    expect(count).toBe(1);
  });

  test("a socket that takes no bytes ends the connection, without another event", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST);
    peer.isDead = true;
    peer.opened[0]!.stream.headers(RESPONSE);
    await peer.frames();
    expect(peer.opened[0]!.recorder.events).toEqual(["closed lost 8"]);
    expect(peer.events.at(-1)).toBe("closed connection reset by peer");
    expect(peer.isTerminated).toBe(true);
  });

  test("a socket that dies while much is written ends it too", async () => {
    const peer = new RawPeer("client");
    await peer.handshake();
    const recorder = new Recorder();
    const stream = peer.connection.open(REQUEST, false, recorder);
    peer.send(FrameType.WINDOW_UPDATE, 0, 0, uint32(10_000_000));
    peer.send(FrameType.WINDOW_UPDATE, 0, 1, uint32(10_000_000));
    await peer.frames();
    peer.isDead = true;
    stream.write(new Uint8Array(1_000_000));
    await peer.frames();
    expect(recorder.events).toEqual(["closed lost 8"]);
    expect(peer.buffered).toBe(0);
  });

  test("a GOAWAY of a client leaves its calls alone; the connection closes after the last", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST, true);
    peer.send(GOAWAY, 0, 0, new Uint8Array(8));
    const { stream, recorder } = peer.opened[0]!;
    expect(recorder.events).toEqual([]);
    stream.headers(RESPONSE);
    stream.end(TRAILERS);
    expect(await peer.texts()).toEqual([
      `HEADERS 1 ${RESPONSE.join(" ")}`,
      "HEADERS 1 grpc-status 0 END",
      "GOAWAY 1 0 drained",
    ]);
  });

  test("drain() announces its end to a client that has announced its own", async () => {
    const peer = await server();
    peer.sendHeaders(1, REQUEST, true);
    peer.send(GOAWAY, 0, 0, new Uint8Array(8));
    peer.connection.drain();
    expect(await peer.texts()).toEqual(["GOAWAY 2147483647 0", "PING 0"]);
  });
});

describe("a connection whose kernel is full", () => {
  test("counts what waits, and no longer when it is written or the connection lost", async () => {
    for (const isLost of [false, true]) {
      const { peer } = await blocked();
      for (let i = 0; i < 300; i++) peer.send(PING, 0, 0, new Uint8Array(8));
      expect(peer.buffered).toBeGreaterThan(3000);
      if (isLost) peer.connection.terminate("lost");
      else unblock(peer);
      expect(peer.buffered).toBe(0);
      if (!isLost) expect((await peer.frames()).length).toBeGreaterThan(299);
    }
  });
});
