// Relays over real loopback sockets, through a gateway in this process.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { LocalGateway } from "../support/local-gateway.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";

const MIB = 1 << 20;

let server: PeerServer;
let gateway: LocalGateway;

beforeEach(async () => {
  server = new PeerServer();
  gateway = await new LocalGateway([`127.0.0.1:${server.port}`]).start();
});

afterEach(() => {
  gateway.close();
  server.close();
});

/** Connects a client, and returns it with the server's end of its relay. */
async function connect(index = 0): Promise<[client: Peer, far: Peer]> {
  const client = await Peer.connect(gateway.port);
  return [client, await server.peer(index)];
}

function expectIntact(peer: Peer, receivedBytes: number) {
  expect([peer.firstWrongByte, peer.receivedBytes]).toEqual([undefined, receivedBytes]);
}

describe("half-close", () => {
  test("a server that reads to EOF and only then replies: 8 MiB up and 1 MiB down arrive", async () => {
    const [client, far] = await connect();
    await client.send(8 * MIB);
    client.shutdown();
    expect(await far.gone()).toBe("end");
    expectIntact(far, 8 * MIB);
    await far.send(MIB);
    far.shutdown();
    expect(await client.gone()).toBe("end");
    expectIntact(client, MIB);
    await until(() => client.isClosed && far.isClosed, "both were closed");
  });

  test("a client can still send 8 MiB after the server's FIN", async () => {
    const [client, far] = await connect();
    await far.send(MIB);
    far.shutdown();
    expect(await client.gone()).toBe("end");
    expectIntact(client, MIB);
    await client.send(8 * MIB);
    client.shutdown();
    expect(await far.gone()).toBe("end");
    expectIntact(far, 8 * MIB);
    await until(() => client.isClosed && far.isClosed, "both were closed");
  });

  test("a half-closed relay with nothing owed outlives the termination delay", async () => {
    // Longer than the kernel may delay the acknowledgement of a FIN, which is owed until then.
    const options = { stallTimeoutMs: 300 };
    const impatient = await new LocalGateway([`127.0.0.1:${server.port}`], options).start();
    const client = await Peer.connect(impatient.port);
    const far = await server.peer();
    await client.send(100);
    client.shutdown();
    expect(await far.gone()).toBe("end");
    await Bun.sleep(1000);
    await far.send(100);
    far.shutdown();
    expect(await client.gone()).toBe("end");
    expectIntact(client, 100);
    impatient.close();
  });
});

describe("close races", () => {
  test("every byte arrives from a server that sends and closes at once, 100 times", async () => {
    server.onPeer = (far) => {
      void far.send(300_000).then(() => far.shutdown());
    };
    for (let i = 0; i < 100; i++) {
      const client = await Peer.connect(gateway.port);
      client.shutdown();
      expect(await client.gone()).toBe("end");
      expectIntact(client, 300_000);
    }
  });

  test("a closed server's last 4 MiB arrive although it resets the client's next bytes", async () => {
    const [client, far] = await connect();
    client.pause();
    await far.send(4 * MIB);
    await far.acknowledgedBytes();
    // The kernel may hold less than 4 MiB for a paused client, which then reads what is too much.
    client.resume();
    await far.acknowledged();
    client.pause();
    far.close();
    for (let i = 0; i < 3; i++) {
      await client.send(1000);
      await Bun.sleep(10);
    }
    client.resume();
    // EPIPE if the server's FIN was read before its reset arrived, ECONNRESET if not.
    await until(() => client.isClosed, "the reset arrived after the FIN");
    expect(["ECONNRESET", "EPIPE"]).toContain(client.outcome!);
    expectIntact(client, 4 * MIB);
  });

  test("both sides can close at once: all bytes arrive and both sockets close", async () => {
    const [client, far] = await connect();
    await Promise.all([client.send(MIB), far.send(MIB)]);
    client.shutdown();
    far.shutdown();
    await until(() => client.isClosed && far.isClosed, "both were closed");
    expectIntact(client, MIB);
    expectIntact(far, MIB);
  });
});

describe("backpressure", () => {
  test("a paused reader stops the sender, then receives all 64 MiB", async () => {
    const [client, far] = await connect();
    far.pause();
    const sent = client.send(64 * MIB);
    // The sender has stopped once its kernel takes no more bytes for 200 ms.
    let before = -1;
    while (client.sentBytes !== before) {
      before = client.sentBytes;
      await Bun.sleep(200);
    }
    expect(client.sentBytes).toBeLessThan(64 * MIB);
    far.resume();
    await sent;
    client.shutdown();
    expect(await far.gone()).toBe("end");
    expectIntact(far, 64 * MIB);
  });

  test("64 MiB arrive in both directions at the same time", async () => {
    const [client, far] = await connect();
    await Promise.all([client.send(64 * MIB), far.send(64 * MIB)]);
    client.shutdown();
    far.shutdown();
    await until(() => client.isClosed && far.isClosed, "both were closed", 30_000);
    expectIntact(client, 64 * MIB);
    expectIntact(far, 64 * MIB);
  });

  test("2000 messages of one byte arrive one by one, each with an answer", async () => {
    const [client, far] = await connect();
    for (let i = 1; i <= 2000; i++) {
      await client.send(1);
      await until(() => far.receivedBytes === i, `message ${i} arrived`);
      await far.send(1);
      await until(() => client.receivedBytes === i, `answer ${i} arrived`);
    }
  });
});

describe("reset", () => {
  test("a client's reset reaches the server as a reset", async () => {
    const [client, far] = await connect();
    await client.send(1000);
    await until(() => far.receivedBytes === 1000, "the bytes arrived");
    client.reset();
    expect(await far.gone()).toBe("ECONNRESET");
  });

  test("a server's reset reaches the client as a reset", async () => {
    const [client, far] = await connect();
    far.reset();
    expect(await client.gone()).toBe("ECONNRESET");
  });

  test.each([1, 4])(
    "a reset does not overtake up to %d MiB that a slow reader has not read yet",
    async (mib) => {
      const [client, far] = await connect();
      client.pause();
      void far.send(mib * MIB);
      const acknowledged = await far.acknowledgedBytes();
      far.reset();
      // The gateway has received the reset but still owes bytes: it must hold the reset back.
      await Bun.sleep(50);
      expect(client.outcome).toBeUndefined();
      client.resume();
      expect(await client.gone()).toBe("ECONNRESET");
      expect(client.firstWrongByte).toBeUndefined();
      expect(client.receivedBytes).toBeGreaterThanOrEqual(acknowledged);
    },
  );

  test("a reset after the other side's FIN is passed on as a reset", async () => {
    const [client, far] = await connect();
    client.shutdown();
    expect(await far.gone()).toBe("end");
    far.reset();
    expect(await client.gone()).toBe("ECONNRESET");
  });
});

describe("termination delay", () => {
  test("a relay whose client is gone ends although the server never reads", async () => {
    const clock = new ManualClock();
    const manual = await new LocalGateway([`127.0.0.1:${server.port}`], { clock }).start();
    server.onPeer = (far) => far.pause();
    const client = await Peer.connect(manual.port);
    const far = await server.peer();
    void client.send(16 * MIB);
    let before = -1;
    while (client.sentBytes !== before) {
      before = client.sentBytes;
      await Bun.sleep(100);
    }
    client.reset();
    // The gateway still owes bytes that it has accepted, so it holds the reset back.
    await Bun.sleep(20);
    expect(far.outcome).toBeUndefined();
    clock.advance(60_000);
    expect(far.outcome).toBeUndefined();
    clock.advance(60_000);
    far.resume();
    expect(await far.gone()).toBe("ECONNRESET");
    expect(await manual.drain(AbortSignal.abort())).toBe(0);
  });
});

describe("descriptors", () => {
  test("2000 connections that end in five ways leak no descriptor", async () => {
    const openDescriptors = () => readdirSync("/proc/self/fd").length;
    const endings: ((client: Peer, far: Peer) => void)[] = [
      (client) => client.shutdown(),
      (client) => client.reset(),
      (client) => client.close(),
      (_, far) => far.shutdown(),
      (_, far) => far.reset(),
    ];
    const before = openDescriptors();
    server.onPeer = (far) => {
      void far.send(10);
    };
    for (let i = 0; i < 2000; i += 50) {
      const clients = await Promise.all(
        Array.from({ length: 50 }, () => Peer.connect(gateway.port)),
      );
      await until(() => server.accepted.length === i + 50, "all were relayed");
      clients.forEach((client, k) => {
        endings[k % endings.length]!(client, server.accepted[i + k]!);
      });
      // A peer that receives a FIN answers with its own.
      await until(() => {
        for (const peer of [...clients, ...server.accepted])
          if (peer.outcome === "end") peer.shutdown();
        return [...clients, ...server.accepted].every((peer) => peer.isClosed);
      }, "all were closed");
    }
    await until(() => openDescriptors() <= before, `descriptors fell back to ${before}`);
    expect(await gateway.drain(AbortSignal.abort())).toBe(0);
  });
});
