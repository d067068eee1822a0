// The servers, gateways and clients of one test, inside the test's process.
import { expect, onTestFinished } from "bun:test";
import { HeldPort } from "./held-port.ts";
import { LocalGateway, type LocalOptions } from "./local-gateway.ts";
import { Peer, PeerServer, until } from "./peer.ts";

/** Creates a scene. Call its `close` in the test file's afterEach. */
export function createScene() {
  const closers: (() => void)[] = [];

  function keep<T extends { close(): void }>(resource: T): T {
    closers.push(() => resource.close());
    return resource;
  }

  return {
    keep,

    close(): void {
      for (const close of closers.splice(0).reverse()) close();
    },

    gatewayTo: (endpoints: readonly string[], options?: LocalOptions) =>
      keep(new LocalGateway(endpoints, options)).start(),

    /** Starts a server that greets each client with one byte. */
    greeter(port?: number, address?: string): PeerServer {
      const server = keep(new PeerServer(port, address));
      server.onPeer = (peer) => void peer.send(1);
      return server;
    },

    /** Connects a client; resolves when it has received its greeting through the gateway. */
    async served(gateway: LocalGateway): Promise<Peer> {
      const client = await Peer.connect(gateway.port);
      closers.push(() => client.reset());
      const isSettled = () => client.receivedBytes === 1 || client.outcome !== undefined;
      await until(isSettled, "the client was greeted");
      expect(client.outcome).toBeUndefined();
      return client;
    },
  };
}

export const local = (port: number) => `127.0.0.1:${port}`;

/**
 * Returns a port that refuses connections until a server of the test listens on it. It is
 * held until the test ends.
 */
export function deadPort(): number {
  const held = new HeldPort();
  onTestFinished(() => held.close());
  return held.port;
}
