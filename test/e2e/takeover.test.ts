// A new gateway takes over from an old one under load, and no client is refused: by
// --reuse-port, and by a listening socket that systemd keeps open.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { openSync } from "node:fs";
import { ListeningSocket } from "../support/blackhole.ts";
import { freePort } from "../support/free-port.ts";
import { Closers, output, requireTool } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";

setDefaultTimeout(60_000);

const WORKERS = 8;

const closers = new Closers();
afterEach(() => closers.close());

/** Workers that connect clients one after the other, each with a request and its response. */
class Load {
  served = 0;
  readonly failures: string[] = [];
  #isOver = false;
  readonly #workers: Promise<void[]>;

  constructor(port: number) {
    this.#workers = Promise.all(Array.from({ length: WORKERS }, () => this.#work(port)));
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#workers;
  }

  async #work(port: number): Promise<void> {
    while (!this.#isOver) {
      try {
        const client = await Peer.connect(port);
        await client.send(100);
        await until(
          () => client.receivedBytes === 100 || client.outcome !== undefined,
          "the response arrived",
        );
        if (client.receivedBytes < 100) throw new Error(client.outcome);
        client.shutdown();
        await until(() => client.isClosed, "the connection was closed");
        this.served++;
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }

  /** Resolves when `count` more clients have been served, or one has failed. */
  async more(count: number): Promise<void> {
    const target = this.served + count;
    await until(
      () => this.served >= target || this.failures.length > 0,
      "more clients were served",
      30_000,
    );
  }
}

function echoServer(): PeerServer {
  const server = closers.add(new PeerServer());
  server.onPeer = async (peer) => {
    await until(() => peer.receivedBytes === 100 || peer.isClosed, "the request had arrived");
    await peer.send(100);
    peer.shutdown();
  };
  return server;
}

describe("--reuse-port", () => {
  test("refuses no client during five takeovers under load", async () => {
    const port = freePort();
    const endpoint = `--endpoints=127.0.0.1:${echoServer().port}`;
    const flags = [endpoint, `--listen-addr=127.0.0.1:${port}`, "--reuse-port"];
    let current = closers.add(await GatewayProcess.start(flags));
    const load = new Load(port);
    await load.more(100);
    for (let i = 0; i < 5; i++) {
      const next = closers.add(await GatewayProcess.start(flags));
      await load.more(50);
      current.signal("SIGTERM");
      expect(await current.exited()).toBe(0);
      expect(current.lines("stopped")).toMatchObject([{ cut: 0 }]);
      await load.more(50);
      current = next;
    }
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  test("refuses no client if the old gateway listened again after the new one", async () => {
    const port = freePort();
    const endpoint = `--endpoints=127.0.0.1:${echoServer().port}`;
    const flags = [endpoint, `--listen-addr=127.0.0.1:${port}`, "--reuse-port"];
    const old = closers.add(await GatewayProcess.start([...flags, "--access-log"]));
    closers.add(await GatewayProcess.start(flags));
    const limitTo = (count: string) =>
      output([requireTool("prlimit"), `--pid=${old.pid}`, `--nofile=${count}`]);
    await limitTo("3:");
    await old.logged("out of file descriptors: refusing clients");
    await limitTo("1000:");
    await old.logged("file descriptors available: listening again");
    const load = new Load(port);
    await load.more(200);
    old.signal("SIGTERM");
    expect(await old.exited()).toBe(0);
    expect(old.lines("stopped")).toMatchObject([{ cut: 0 }]);
    await load.more(50);
    await load.stop();
    expect(load.failures).toEqual([]);

    // It closed its socket only once no clients came to it, so none was in its queue.
    const closedAt = Date.parse(String(old.lines("draining: no new clients")[0]!.ts));
    const arrivals = old
      .lines("client served")
      .map((line) => Date.parse(String(line.ts)) - (line["total-ms"] as number));
    expect(arrivals.length).toBeGreaterThan(0);
    expect(arrivals.filter((at) => at > closedAt - 50)).toEqual([]);
  });

  test("is needed by both: a gateway without it exits with 1", async () => {
    const port = freePort();
    const flags = [`--endpoints=127.0.0.1:${echoServer().port}`, `--listen-addr=127.0.0.1:${port}`];
    closers.add(await GatewayProcess.start([...flags, "--reuse-port"]));
    const second = closers.add(await GatewayProcess.launch("ours", flags));
    expect(second.status).toBe(1);
    expect(second.log.at(-1)!.msg).toContain("the address is in use");
  });
});

describe("start with LISTEN_FDS (socket activation)", () => {
  // As for a systemd socket unit: the test keeps the socket, and each gateway inherits it.
  const wrapper = [requireTool("sh"), "-c", 'LISTEN_PID=$$ exec "$0" "$@"'];

  test("serves on the inherited socket, and refuses no client during restarts", async () => {
    const socket = closers.add(new ListeningSocket());
    const flags = [`--endpoints=127.0.0.1:${echoServer().port}`, "--listen-addr=127.0.0.1:1"];
    const start = async () => {
      const options = { wrapper, env: { LISTEN_FDS: "1" }, inherited: socket.fd };
      return closers.add(await GatewayProcess.start(flags, options));
    };
    let gateway = await start();
    expect(gateway.lines("listening")).toMatchObject([{ address: `127.0.0.1:${socket.port}` }]);
    const load = new Load(socket.port);
    await load.more(100);
    for (let i = 0; i < 3; i++) {
      gateway.signal("SIGTERM");
      expect(await gateway.exited()).toBe(0);
      expect(gateway.lines("stopped")).toMatchObject([{ cut: 0 }]);
      gateway = await start();
      await load.more(50);
    }
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  test("keeps clients waiting while it has no descriptors, then serves them", async () => {
    const socket = closers.add(new ListeningSocket());
    const flags = [`--endpoints=127.0.0.1:${echoServer().port}`];
    const options = { wrapper, env: { LISTEN_FDS: "1" }, inherited: socket.fd };
    const gateway = closers.add(await GatewayProcess.start(flags, options));
    const limitTo = (count: string) =>
      output([requireTool("prlimit"), `--pid=${gateway.pid}`, `--nofile=${count}`]);
    await limitTo("3:");
    await gateway.logged("out of file descriptors: clients wait");
    const load = new Load(socket.port);
    await limitTo("1000:");
    await load.more(50);
    await load.stop();
    expect(load.failures).toEqual([]);
  });

  const wrong: [what: string, sockets: string, fd: () => number, message: string][] = [
    ["two sockets", "2", () => closers.add(new ListeningSocket()).fd, "Cannot serve 2 sockets (LISTEN_FDS): one is served; leave one ListenStream= in the socket unit ([::]:PORT takes IPv4 clients too)"], // prettier-ignore
    ["a file", "1", () => openSync("/dev/null", "r"), "Cannot listen on the inherited socket (LISTEN_FDS): it is not a listening TCP socket (getsockname: ENOTSOCK); correct the socket unit"], // prettier-ignore
  ];
  test.each(wrong)("exits with 1 if it inherits %s", async (_, sockets, fd, message) => {
    const options = { wrapper, env: { LISTEN_FDS: sockets }, inherited: fd() };
    const flags = [`--endpoints=127.0.0.1:${echoServer().port}`];
    const gateway = closers.add(await GatewayProcess.launch("ours", flags, options));
    expect([gateway.status, gateway.log.at(-1)!.msg]).toEqual([1, message]);
  });

  test("ignores LISTEN_FDS if LISTEN_PID is another process", async () => {
    const env = { LISTEN_FDS: "1", LISTEN_PID: "1" };
    const flags = [`--endpoints=127.0.0.1:${echoServer().port}`];
    const gateway = closers.add(await GatewayProcess.start(flags, { env }));
    const load = new Load(gateway.port);
    await load.more(10);
    await load.stop();
    expect(load.failures).toEqual([]);
  });
});
