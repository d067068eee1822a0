// Connections of the compiled gateway, compared with etcd's own gateway: rows of docs/migration.md, and
// behaviours that must be the same.
import { expect, setDefaultTimeout } from "bun:test";
import {
  compareGateways,
  connect,
  greet,
  holds,
  outcomeOfClient,
  serve,
  start,
  startWith,
} from "../support/both-gateways.ts";
import { requireTool } from "../support/gateway-command.ts";
import { Peer, until } from "../support/peer.ts";

setDefaultTimeout(60_000);

const MIB = 1 << 20;

compareGateways([
  {
    name: "a client half-closes and waits for the reply, 20 times",
    ours: "20 of 20 replies arrive",
    etcd: "0 of 20 replies arrive",
    async run(kind) {
      const server = serve((peer) => void replyAtEnd(peer, MIB));
      const gateway = await start(kind, server);
      let whole = 0;
      for (let i = 0; i < 20; i++) {
        const client = await connect(gateway);
        await client.send(1000);
        client.shutdown();
        await client.gone();
        if (client.receivedBytes === MIB && client.firstWrongByte === undefined) whole++;
      }
      return `${whole} of 20 replies arrive`;
    },
  },
  {
    name: "a client sends 64 MiB to an echo server, then half-closes",
    ours: "the whole echo arrives",
    etcd: "the echo is incomplete",
    async run(kind) {
      const server = serve(echo);
      const client = await connect(await start(kind, server));
      // While the client does not read, the echo does not fit into the buffers on its way.
      client.pause();
      await client.send(64 * MIB);
      client.shutdown();
      client.resume();
      await client.gone();
      expect(client.firstWrongByte).toBeUndefined();
      return client.receivedBytes === 64 * MIB
        ? "the whole echo arrives"
        : "the echo is incomplete";
    },
  },
  {
    name: "a server resets a connection",
    ours: "the client sees ECONNRESET",
    etcd: "the client sees end",
    async run(kind) {
      const server = serve();
      const client = await connect(await start(kind, server));
      (await server.peer()).reset();
      return `the client sees ${await client.gone()}`;
    },
  },
  {
    name: "a client resets a connection",
    ours: "the server sees ECONNRESET",
    etcd: "the server sees end",
    async run(kind) {
      const server = serve();
      const client = await connect(await start(kind, server));
      const peer = await server.peer();
      client.reset();
      return `the server sees ${await peer.gone()}`;
    },
  },
  {
    name: "SIGTERM while a client is connected",
    ours: "the client finishes; exit status 0",
    etcd: "the client loses its connection; the signal kills the gateway",
    async run(kind) {
      const server = serve();
      const gateway = await start(kind, server);
      const client = await connect(gateway);
      const peer = await server.peer();
      gateway.signal("SIGTERM");

      const isDraining = () => gateway.lines("draining: no new clients").length > 0;
      const isDecided = () => isDraining() || client.outcome !== undefined;
      await until(isDecided, "the gateway was draining or had lost its client");
      const isLost = client.outcome !== undefined;
      if (!isLost) {
        await peer.send(MIB);
        peer.shutdown();
        client.shutdown();
        expect(await client.gone()).toBe("end");
        expect(client.receivedBytes).toBe(MIB);
      }

      const status = await gateway.exited();
      const outcome = isLost ? "the client loses its connection" : "the client finishes";
      const end = status === null ? "the signal kills the gateway" : `exit status ${status}`;
      return `${outcome}; ${end}`;
    },
  },
  {
    name: "more clients than the descriptor limit allows",
    ours: "keeps running; connected clients go on",
    etcd: "exits with status 0",
    async run(kind) {
      const server = serve(greet);
      const flags = [`--endpoints=127.0.0.1:${server.port}`];
      const unlimited = await startWith(kind, flags);
      expect(await outcomeOfClient(unlimited)).toBe("served");
      await until(() => server.accepted[0]!.outcome !== undefined, "the client had left");
      // A client takes two descriptors, so an even number makes accept(2) fail, not connect(2).
      const limit = unlimited.descriptors + 64;
      const wrapper = [requireTool("prlimit"), `--nofile=${limit}:${limit}`];
      const gateway = await startWith(kind, flags, { wrapper });
      const clients: Peer[] = [];
      for (let i = 0; i < 40 && gateway.status === undefined; i++) {
        const client = await connect(gateway).catch(() => undefined);
        if (client === undefined) continue;
        clients.push(client);
        await until(
          () =>
            client.receivedBytes > 0 ||
            client.outcome !== undefined ||
            gateway.status !== undefined,
          "the client was served or refused",
        );
      }

      const hasExited = () => gateway.status !== undefined;
      // For ours, this waits to see that nothing happens.
      if (await holds(hasExited, kind === "ours" ? 500 : 20_000))
        return `exits with status ${gateway.status}`;
      expect(clients[0]!.outcome).toBeUndefined();
      (await server.peer(1)).shutdown();
      expect(await clients[0]!.gone()).toBe("end");
      return "keeps running; connected clients go on";
    },
  },
]);

async function replyAtEnd(peer: Peer, bytes: number): Promise<void> {
  await peer.gone();
  await peer.send(bytes);
  peer.shutdown();
}

async function echo(peer: Peer): Promise<void> {
  for (;;) {
    const isIdle = () => peer.receivedBytes === peer.sentBytes;
    await until(() => !isIdle() || peer.outcome !== undefined, "bytes or an end arrived");
    if (isIdle()) break;
    // All peers send the same stream, so sending as many bytes echoes those received.
    const before = peer.sentBytes;
    await peer.send(peer.receivedBytes - before);
    if (peer.sentBytes === before) return; // the connection is closed
  }
  peer.shutdown();
}
