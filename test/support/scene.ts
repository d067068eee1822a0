// Servers, gateways and clients of one test in this process, closed behind it.
import { expect } from "bun:test";
import { LocalGateway, type LocalOptions } from "./local-gateway.ts";
import { Peer, PeerServer, until } from "./peer.ts";

/** `close` belongs into the test file's afterEach. */
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

    /** A server that greets each client with one byte. */
    greeter(port?: number, address?: string): PeerServer {
      const server = keep(new PeerServer(port, address));
      server.onPeer = (peer) => void peer.send(1);
      return server;
    },

    /** A client that has been answered through the gateway. */
    async served(gateway: LocalGateway): Promise<Peer> {
      const client = await Peer.connect(gateway.port);
      closers.push(() => client.reset());
      const isSettled = () => client.receivedBytes === 1 || client.outcome !== undefined;
      await until(isSettled, "it was answered");
      expect(client.outcome).toBeUndefined();
      return client;
    },
  };
}

export const local = (port: number) => `127.0.0.1:${port}`;

/** A port at which nobody listens. */
export function deadPort(): number {
  const server = new PeerServer();
  const { port } = server;
  server.close();
  return port;
}
