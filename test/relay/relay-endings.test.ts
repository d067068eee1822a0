// Endings that are rare on real sockets, where the kernel decides the order of a
// socket's last events. The fake sockets have only what a relay calls.
import { describe, expect, test } from "bun:test";
import { StallTimeout } from "../../src/relay/stall-timeout.ts";
import { Relay } from "../../src/relay/relay.ts";
import type { SocketOwner, TcpSocket } from "../../src/net/tcp-socket.ts";
import { ManualClock } from "../support/manual-clock.ts";

class FakeSocket {
  data!: SocketOwner;
  readonly calls: string[] = [];
  isDead = false;
  /** Bytes that each write takes at most. */
  room = Number.POSITIVE_INFINITY;

  constructor(readonly fd: number) {}

  write(chunk: Uint8Array): number {
    return this.isDead ? -1 : Math.min(this.room, chunk.length);
  }

  pause = () => void this.calls.push("pause");
  resume = () => void this.calls.push("resume");
  shutdown = () => void this.calls.push("shutdown");
  terminate = () => void this.calls.push("terminate");
}

function setUp() {
  const clock = new ManualClock();
  const unsent = new Map<number, number>();
  const resets = new Set<number>();
  let closedRelays = 0;
  let bufferedBytes = 0;
  const client = new FakeSocket(1);
  const server = new FakeSocket(2);
  const relay = new Relay(client as unknown as TcpSocket, {
    clock,
    stallTimeout: new StallTimeout(clock, 1000),
    bufferLimit: { add: (bytes) => void (bufferedBytes += bytes) },
    system: {
      hasVanished: () => false,
      isReset: (fd) => resets.has(fd),
      unsentBytes: (fd) => unsent.get(fd) ?? 0,
      peek: () => 0,
      skip: () => {},
    },
    listener: { closed: () => closedRelays++ },
  });
  relay.join(server as unknown as TcpSocket);

  return {
    clock,
    unsent,
    resets,
    relay,
    client,
    server,
    closed: () => closedRelays,
    bufferedBytes: () => bufferedBytes,
  };
}

const reset = Object.assign(new Error("reset"), { code: "ECONNRESET" });

describe("Relay", () => {
  test("a FIN from a socket that a write found dead is passed on as a reset", () => {
    const { client, server } = setUp();
    server.isDead = true;
    client.data.received(Uint8Array.of(1));
    server.data.received(Uint8Array.of(2));
    server.data.ended();
    expect(client.calls).toEqual([]);
    expect(server.calls).toEqual(["terminate"]);
    server.data.closed(undefined);
    expect(client.calls).toEqual(["terminate"]);
  });

  test("a closed relay buffers nothing", () => {
    const { server, client, bufferedBytes, closed } = setUp();
    client.room = 1;
    server.data.received(Uint8Array.of(1, 2, 3));
    expect(bufferedBytes()).toBe(3); // the whole chunk, of which 2 bytes are pending
    client.data.closed(reset);
    server.data.closed(reset);
    expect([bufferedBytes(), closed()]).toEqual([0, 1]);
  });

  test("isAbandoned is true once the client has reset and nothing is owed to the server", () => {
    const { relay, resets, unsent, client, server } = setUp();
    expect(relay.isAbandoned).toBe(false);
    resets.add(client.fd);
    expect(relay.isAbandoned).toBe(true);
    unsent.set(server.fd, 1);
    expect(relay.isAbandoned).toBe(false);
    unsent.clear();
    server.room = 0;
    client.data.received(Uint8Array.of(1));
    expect(relay.isAbandoned).toBe(false);
  });

  test("isAbandoned is false after both FINs, which look the same as a reset", () => {
    const { relay, resets, client, server } = setUp();
    server.data.ended();
    expect(client.calls).toEqual(["shutdown"]);
    resets.add(client.fd);
    expect(relay.isAbandoned).toBe(false);
  });

  test("a close without an error, after our FIN, is passed on as a FIN", () => {
    const { client, server, closed } = setUp();
    client.data.ended();
    expect(server.calls).toEqual(["shutdown"]);
    server.data.closed(undefined);
    expect(client.calls).toEqual(["shutdown"]);
    client.data.closed(undefined);
    expect(closed()).toBe(1);
  });

  test("a reset is passed on once all bytes before it are acknowledged", () => {
    const { clock, unsent, client, server } = setUp();
    unsent.set(client.fd, 5);
    server.data.closed(reset);
    clock.advance(500);
    expect(client.calls).toEqual([]);
    unsent.set(client.fd, 0);
    clock.advance(100);
    expect(client.calls).toEqual(["terminate"]);
  });

  test("a reset whose bytes are never acknowledged is passed on after the termination delay", () => {
    const { clock, unsent, client, server } = setUp();
    unsent.set(client.fd, 5);
    server.data.closed(reset);
    clock.advance(1999);
    expect(client.calls).toEqual([]);
    clock.advance(1);
    expect(client.calls).toEqual(["terminate"]);
  });

  test("a relay with one closed socket is terminated even if nothing is owed", () => {
    const { clock, client, server, relay } = setUp();
    client.data.ended();
    server.data.closed(undefined);
    expect(client.calls).toEqual(["shutdown"]);
    clock.advance(2000); // the client's socket never closes
    expect([client.calls.at(-1), relay.end]).toEqual(["terminate", "standstill"]);
  });

  test("a relay whose peer acknowledges slowly is not terminated", () => {
    const { clock, unsent, client, server } = setUp();
    unsent.set(client.fd, 5);
    server.data.closed(reset);
    for (let owed = 5; owed > 0; owed--) {
      unsent.set(client.fd, owed);
      clock.advance(1000);
    }
    expect(client.calls).toEqual([]);
  });

  test("end keeps the first reason", () => {
    const { relay, client } = setUp();
    relay.terminate("idle");
    relay.terminate("shutdown");
    client.data.closed(reset);
    expect(relay.end).toBe("idle");
  });

  test("no timer is left once both sockets are closed", () => {
    const { clock, unsent, client, server, closed } = setUp();
    unsent.set(client.fd, 5);
    server.data.closed(reset);
    client.data.closed(undefined);
    clock.advance(10_000);
    expect([clock.pending, closed()]).toEqual([0, 1]);
  });
});
