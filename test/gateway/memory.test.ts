// Peers that do not read, on real sockets: what is held for them, and its limit.
import { afterEach, describe, expect, test } from "bun:test";
import { Peer, PeerServer, until } from "../support/peer.ts";
import { createScene, local } from "../support/scene.ts";

const MIB = 1 << 20;
const STALLED = 40;
const REPLY_BYTES = 16 * MIB;
// Less than they hold together, and more than some of them.
const LIMIT_BYTES = 256 * 1024;
const MESSAGE = "reset relays whose peers do not read: --max-buffer-memory is reached";

const scene = createScene();
afterEach(() => scene.close());

describe("--max-buffer-memory", () => {
  test("resets those who do not read, and nobody who does", async () => {
    const server = scene.keep(new PeerServer());
    server.onPeer = (peer) => void peer.send(REPLY_BYTES);
    const gateway = await scene.gatewayTo([local(server.port)], { maxBufferBytes: LIMIT_BYTES });
    const connect = () => Peer.connect(gateway.port);
    const stalled = await Promise.all(Array.from({ length: STALLED }, connect));
    for (const client of stalled) client.pause();
    const reader = await connect();
    const readSlowly = async () => {
      while (reader.outcome === undefined && reader.receivedBytes < REPLY_BYTES) {
        reader.pause();
        await Bun.sleep(50);
        reader.resume();
        await Bun.sleep(1);
      }
    };
    const reading = readSlowly();
    const [line] = await gateway.logged(MESSAGE);
    expect(line!["held-bytes"]).toBeGreaterThan(LIMIT_BYTES);
    const reset = line!["relays"] as number;
    await reading;
    expect([reader.outcome, reader.receivedBytes]).toEqual([undefined, REPLY_BYTES]);
    expect(reader.firstWrongByte).toBeUndefined();
    for (const client of stalled) client.resume();
    const isDone = ({ outcome, receivedBytes }: Peer) =>
      outcome !== undefined || receivedBytes === REPLY_BYTES;
    await until(() => stalled.every(isDone), "the others were told, or served");
    const told = stalled.filter(({ outcome }) => outcome === "ECONNRESET");
    expect(told.length).toBeGreaterThanOrEqual(reset);
    expect(told.length).toBeLessThan(STALLED);
    expect(stalled.every(({ firstWrongByte }) => firstWrongByte === undefined)).toBe(true);
    for (const client of [reader, ...stalled]) client.reset();
  });
});
