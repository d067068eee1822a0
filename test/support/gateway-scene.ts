// The servers, clients and folders of tests that run the compiled gateway. scene.ts has
// those of a gateway inside the test's process.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Closers } from "./gateway-command.ts";
import { GatewayProcess, type GatewayOptions } from "./gateway-process.ts";
import { Peer, PeerServer, until } from "./peer.ts";

export interface Visit {
  readonly client: Peer | undefined;
  /** `"served"`, or the errno with which the client was refused. */
  readonly outcome: string;
}

/** Creates a scene. Call its `close` in the test file's afterEach. */
export function createGatewayScene() {
  const closers = new Closers();
  const startServer = () => closers.add(new PeerServer());

  async function connect(port: number): Promise<Peer> {
    const client = await Peer.connect(port);
    closers.defer(() => client.reset());
    return client;
  }

  return {
    closers,
    close: () => closers.close(),
    startServer,
    connect,

    /** Starts a server that sends each client one byte. */
    greeter(): PeerServer {
      const server = startServer();
      server.onPeer = (peer) => void peer.send(1);
      return server;
    },

    /** Starts a gateway with `server` as its endpoint. */
    async gatewayTo(server: PeerServer, flags: string[] = [], options?: GatewayOptions) {
      const words = [`--endpoints=127.0.0.1:${server.port}`, ...flags];
      return closers.add(await GatewayProcess.start(words, options));
    },

    /** Connects a client that stays; resolves once a greeter has served it or it was refused. */
    async visit(port: number): Promise<Visit> {
      try {
        const client = await connect(port);
        const isDecided = () => client.receivedBytes > 0 || client.outcome !== undefined;
        await until(isDecided, "the client was served or refused");
        return { client, outcome: client.outcome ?? "served" };
      } catch (error) {
        // The reset arrived before connect(2) was reported as complete.
        return { client: undefined, outcome: (error as { code: string }).code };
      }
    },

    /** Connects a client that stays; resolves once a greeter has served it. */
    async greeted(port: number): Promise<Peer> {
      const client = await connect(port);
      await until(() => client.receivedBytes > 0, "the client was served", 60_000);
      return client;
    },

    /** Creates a folder that is removed with the scene. */
    async folder(): Promise<string> {
      const path = await mkdtemp(join(tmpdir(), "etcd-gateway-test-"));
      closers.defer(() => rm(path, { recursive: true }));
      return path;
    },
  };
}
