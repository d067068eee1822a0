import { describe, expect, test } from "bun:test";
import type { Stream } from "../../src/http2/stream.ts";
import { type HttpAnswer, textAnswer } from "../../src/grpc-proxy/http-answer.ts";
import { PlainRequest } from "../../src/grpc-proxy/plain-request.ts";
import { FrameType } from "../../src/http2/protocol.ts";
import { encodeSettings } from "../../src/http2/settings.ts";
import { RawPeer, uint32 } from "../http2/raw-peer.ts";

const GET = [":method", "GET", ":scheme", "http", ":path", "/metrics?x"];
const OK = "HEADERS 1 :status 200 content-type text/plain; charset=utf-8";

/** A connection that serves plain requests; `answer` makes the answers. */
async function serve(answer: (method: string, path: string) => Promise<HttpAnswer>) {
  const peer = await new RawPeer("server").handshake();
  const buffered = { add: (bytes: number) => (peer.buffered += bytes), mayGrow: true };
  const faults: string[] = [];
  peer.request = (stream: Stream, list, isEnd) => {
    const plain = new PlainRequest(stream, list, {
      routes: { answer } as never,
      buffered: buffered as never,
      faulted: (error) => faults.push(String(error)),
    });
    if (isEnd) plain.ended();
    return plain;
  };
  return { peer, faults };
}

describe("PlainRequest", () => {
  test("is answered when it is complete, whatever body it has", async () => {
    const asked: string[] = [];
    const { peer } = await serve(async (method, path) => {
      asked.push(`${method} ${path}`);
      return textAnswer(200, "hello");
    });
    peer.sendHeaders(1, GET);
    peer.sendData(1, 16_000);
    peer.sendHeaders(3, GET);
    await Bun.sleep(0);
    expect(asked).toEqual([]);
    peer.sendData(1, 5, true);
    peer.sendHeaders(3, ["x", "y"], true);
    await Bun.sleep(0);
    expect(asked).toEqual(["GET /metrics", "GET /metrics"]);
    expect(await peer.texts()).toEqual([
      ...[OK, "DATA 1 5 END"],
      ...[OK.replace("1", "3"), "DATA 3 5 END"],
    ]);
    expect(peer.buffered).toBe(0);
  });

  test("counts an answer that is not read, until it is read or the client is gone", async () => {
    const { peer } = await serve(async () => textAnswer(200, "x".repeat(1000)));
    peer.send(FrameType.SETTINGS, 0, 0, encodeSettings([[4, 100]]));
    for (const id of [1, 3]) peer.sendHeaders(id, GET, true);
    await Bun.sleep(0);
    expect(peer.buffered).toBe(1800);
    peer.send(FrameType.WINDOW_UPDATE, 0, 1, uint32(900));
    expect(peer.buffered).toBe(900);
    peer.connection.ended();
    expect(peer.buffered).toBe(0);
  });

  test("holds nothing for a client that vanishes while the answer is made", async () => {
    const { promise, resolve } = Promise.withResolvers<HttpAnswer>();
    const { peer, faults } = await serve(() => promise);
    peer.sendHeaders(1, GET, true);
    peer.send(FrameType.RST_STREAM, 0, 1, uint32(8));
    resolve(textAnswer(200, "late"));
    await Bun.sleep(0);
    expect([peer.buffered, await peer.texts(), faults]).toEqual([0, [], []]);
  });

  test("is reset, and reported, if no answer can be made", async () => {
    const { peer, faults } = await serve(() => Promise.reject(new Error("bug")));
    peer.sendHeaders(1, GET, true);
    await Bun.sleep(0);
    expect([await peer.texts(), faults]).toEqual([["RST_STREAM 1 8"], ["Error: bug"]]);
  });
});
