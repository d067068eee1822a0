// --max-buffer-memory, with clients on real sockets that do not read.
import { afterEach, describe, expect, test } from "bun:test";
import type { Clock } from "../../src/core/clock.ts";
import { systemClock } from "../../src/os/clock.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";
import { createScene, local } from "../support/scene.ts";

const MIB = 1 << 20;
const STALLED = 10;
const REPLY_BYTES = 8 * MIB;
// Small steps, so that Bun reads each and a part of the last stays buffered.
const STEP_BYTES = 12 * 1024;
// Less than all stalled clients need together, and more than some of them need.
const LIMIT_BYTES = 16 * 1024;
// Ten times as fast as real time, in which a client counts as stalled after 15 seconds.
const clock: Clock = { ...systemClock, after: (ms, then) => systemClock.after(ms / 10, then) };
const MESSAGE = "reset relays whose peers do not read: --max-buffer-memory reached";

const scene = createScene();
afterEach(() => scene.close());

async function sendInSteps(peer: Peer): Promise<void> {
  while (peer.sentBytes < REPLY_BYTES && !peer.isClosed) {
    await peer.send(Math.min(STEP_BYTES, REPLY_BYTES - peer.sentBytes));
    await Bun.sleep(1);
  }
}

async function readSlowly(peer: Peer): Promise<void> {
  while (peer.outcome === undefined && peer.receivedBytes < REPLY_BYTES) {
    peer.pause();
    await Bun.sleep(50);
    peer.resume();
    await Bun.sleep(5);
  }
}

describe("--max-buffer-memory", () => {
  test("resets clients that do not read, and none that reads", async () => {
    const server = scene.keep(new PeerServer());
    server.onPeer = (peer) => void sendInSteps(peer);
    const gateway = await scene.gatewayTo([local(server.port)], {
      maxBufferBytes: LIMIT_BYTES,
      clock,
    });
    const connect = () => Peer.connect(gateway.port);
    const stalled = await Promise.all(Array.from({ length: STALLED }, connect));
    for (const client of stalled) client.pause();
    const reader = await connect();
    const reading = readSlowly(reader);
    const [line] = await gateway.logged(MESSAGE);
    expect(line!["held-bytes"]).toBeGreaterThan(LIMIT_BYTES);
    const resets = line!["relays"] as number;
    expect(resets).toBeLessThan(STALLED);
    await reading;
    expect([reader.outcome, reader.receivedBytes]).toEqual([undefined, REPLY_BYTES]);
    expect(reader.firstWrongByte).toBeUndefined();
    for (const client of stalled) client.resume();
    const reset = () => stalled.filter(({ outcome }) => outcome === "ECONNRESET");
    await until(() => reset().length >= resets, "all resets had arrived");
    for (const client of [reader, ...stalled]) client.reset();
  }, 30_000);
});
