// What a connection holds of frames and header blocks that are not complete counts as held.
import { describe, expect, test } from "bun:test";
import { Flag, FrameType } from "../../src/http2/protocol.ts";
import { frameBytes, RawPeer, REQUEST } from "./raw-peer.ts";

const { CONTINUATION, HEADERS } = FrameType;

describe("Connection", () => {
  test("counts a frame that is not complete, until it is", async () => {
    const peer = await new RawPeer("server").handshake();
    const frame = frameBytes(HEADERS, Flag.END_HEADERS, 1, peer.encode(REQUEST));
    peer.sendBytes(frame.subarray(0, 30));
    expect(peer.buffered).toBe(30);
    peer.sendBytes(frame.subarray(30));
    expect(peer.buffered).toBe(0);
    expect(peer.opened).toHaveLength(1);
  });

  test("counts a header block that is not complete, until it is or the connection is lost", async () => {
    for (const isLost of [false, true]) {
      const peer = await new RawPeer("server").handshake();
      const block = peer.encode([...REQUEST, "x", "v".repeat(10_000)]);
      peer.send(HEADERS, 0, 1, block.subarray(0, 100));
      for (let at = 100; at < 1100; at += 100)
        peer.send(CONTINUATION, 0, 1, block.subarray(at, at + 100));
      expect(peer.buffered).toBe(1100);
      if (isLost) peer.connection.ended();
      else peer.send(CONTINUATION, Flag.END_HEADERS, 1, block.subarray(1100));
      expect(peer.buffered).toBe(0);
    }
  });
});
