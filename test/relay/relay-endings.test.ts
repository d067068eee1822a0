// Endings that real sockets show too seldom: the order of a socket's last
// events is the kernel's. The fakes have what a relay calls.
import { describe, expect, test } from "bun:test";
import { StallTimeout } from "../../src/relay/stall-timeout.ts";
import { Relay } from "../../src/relay/relay.ts";
import type { SocketOwner, TcpSocket } from "../../src/net/tcp-socket.ts";
import { ManualClock } from "../support/manual-clock.ts";

class FakeSocket {
  data!: SocketOwner;
  readonly calls: string[] = [];
  isDead = false;
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
  let held = 0;
  const client = new FakeSocket(1);
  const server = new FakeSocket(2);
  const relay = new Relay(client as unknown as TcpSocket, {
    clock,
    endings: new StallTimeout(clock, 1000),
    memory: { add: (bytes) => void (held += bytes) },
    system: {
      hasVanished: () => false,
      isReset: (fd) => resets.has(fd),
      unsentBytes: (fd) => unsent.get(fd) ?? 0,
      peek: () => 0,
      skip: () => {},
    },
    onClosed: () => closedRelays++,
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
    held: () => held,
  };
}

const reset = Object.assign(new Error("reset"), { code: "ECONNRESET" });

describe("Relay", () => {
  test("a write that found the socket dead makes a reset of the end behind it", () => {
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

  test("a relay that is over holds no memory", () => {
    const { server, client, held, closed } = setUp();
    client.room = 1;
    server.data.received(Uint8Array.of(1, 2, 3));
    expect(held()).toBe(3); // the whole chunk, of which 2 are owed
    client.data.closed(reset);
    server.data.closed(reset);
    expect([held(), closed()]).toEqual([0, 1]);
  });

  test("is abandoned when its client was reset and nothing is owed to the server", () => {
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

  test("is not abandoned when it is over behind both FINs, which looks the same", () => {
    const { relay, resets, client, server } = setUp();
    server.data.ended();
    expect(client.calls).toEqual(["shutdown"]);
    resets.add(client.fd);
    expect(relay.isAbandoned).toBe(false);
  });

  test("a close behind both FINs passes the second one on", () => {
    const { client, server, closed } = setUp();
    client.data.ended();
    expect(server.calls).toEqual(["shutdown"]);
    server.data.closed(undefined);
    expect(client.calls).toEqual(["shutdown"]);
    client.data.closed(undefined);
    expect(closed()).toBe(1);
  });

  test("a reset waits until everything before it is acknowledged", () => {
    const { clock, unsent, client, server } = setUp();
    unsent.set(client.fd, 5);
    server.data.closed(reset);
    clock.advance(500);
    expect(client.calls).toEqual([]);
    unsent.set(client.fd, 0);
    clock.advance(100);
    expect(client.calls).toEqual(["terminate"]);
  });

  test("a reset whose bytes are never acknowledged comes after the termination delay", () => {
    const { clock, unsent, client, server } = setUp();
    unsent.set(client.fd, 5);
    server.data.closed(reset);
    clock.advance(1999);
    expect(client.calls).toEqual([]);
    clock.advance(1);
    expect(client.calls).toEqual(["terminate"]);
  });

  test("one whose other side is gone is ended though nothing is owed", () => {
    const { clock, client, server, relay } = setUp();
    client.data.ended();
    server.data.closed(undefined);
    expect(client.calls).toEqual(["shutdown"]);
    clock.advance(2000); // and the client's socket never closes
    expect([client.calls.at(-1), relay.end]).toEqual(["terminate", "standstill"]);
  });

  test("one whose peer acknowledges bit by bit has not stood still", () => {
    const { clock, unsent, client, server } = setUp();
    unsent.set(client.fd, 5);
    server.data.closed(reset);
    for (let owed = 5; owed > 0; owed--) {
      unsent.set(client.fd, owed);
      clock.advance(1000);
    }
    expect(client.calls).toEqual([]);
  });

  test("what ended it first is what ended it", () => {
    const { relay, client } = setUp();
    relay.terminate("idle");
    relay.terminate("shutdown");
    client.data.closed(reset);
    expect(relay.end).toBe("idle");
  });

  test("no timer is left when both sockets are closed", () => {
    const { clock, unsent, client, server, closed } = setUp();
    unsent.set(client.fd, 5);
    server.data.closed(reset);
    client.data.closed(undefined);
    clock.advance(10_000);
    expect([clock.pending, closed()]).toEqual([0, 1]);
  });
});
