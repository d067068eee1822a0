// The real sockets and files of the stub resolver: pins the behaviour of Bun's UDP sockets,
// and covers hostile and absent servers.
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import {
  exchangeTcp,
  exchangeUdp,
  fileVersion,
  getaddrinfoLimit,
  prefersGetaddrinfo,
  randomId,
  readFileStart,
  sourceAddress,
} from "../../src/os/dns.ts";
import { Blackhole } from "../support/blackhole.ts";
import { Closers, output } from "../support/gateway-command.ts";
import { PeerServer, until } from "../support/peer.ts";

const closers = new Closers();
afterEach(() => closers.close());

const never = new AbortController().signal;
const query = Buffer.from("query");
const all = () => true;
const descriptors = () => readdirSync("/proc/self/fd").length;

type Udp = Bun.udp.Socket<"buffer">;

/** Starts a UDP server on loopback that passes each datagram to `receive`. */
async function udpServer(
  hostname: string,
  receive: (socket: Udp, data: Buffer, port: number, address: string) => void = () => {},
): Promise<Udp> {
  // The kernel refuses answers that are not from the client's server. The sender ignores that error.
  const socket = await Bun.udpSocket({ hostname, port: 0, socket: { data: receive, error() {} } });
  return closers.add(socket);
}

const at = ({ port }: { port: number }, host = "127.0.0.1") => ({ host, port });

describe("exchangeUdp()", () => {
  test.each(["127.0.0.1", "::1"])("sends to %s and resolves with the answer", async (host) => {
    const server = await udpServer(host, (socket, data, port, address) => {
      socket.send(Buffer.concat([data, Buffer.from(" answered")]), port, address);
    });
    const answer = await exchangeUdp(at(server, host), query, all, never);
    expect(Buffer.from(answer).toString()).toBe("query answered");
  });

  test("ignores answers that `accepts` rejects", async () => {
    const server = await udpServer("127.0.0.1", (socket, _, port, address) => {
      for (const text of ["no", "nor this", "yes", "late"]) socket.send(text, port, address);
    });
    const accepts = (bytes: Uint8Array) => Buffer.from(bytes).toString() === "yes";
    expect(Buffer.from(await exchangeUdp(at(server), query, accepts, never)).toString()).toBe(
      "yes",
    );
  });

  test("receives nothing from another address or port than the server's", async () => {
    const others = [await udpServer("127.0.0.2"), await udpServer("127.0.0.1")];
    const seen: string[] = [];
    const server = await udpServer("127.0.0.1", (socket, _, port, address) => {
      for (const other of others) other.send("forged", port, address);
      socket.send("right", port, address);
    });
    const accepts = (bytes: Uint8Array) => seen.push(Buffer.from(bytes).toString()) > 0;
    await exchangeUdp(at(server), query, accepts, never);
    expect(seen).toEqual(["right"]);
  });

  test("rejects at once with ECONNREFUSED if nothing listens", async () => {
    const gone = await udpServer("127.0.0.1");
    const { port } = gone;
    gone.close();
    const lookup = exchangeUdp(at({ port }), query, all, never);
    await expect(lookup).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("rejects with ECANCELLED if the signal aborts, before and during the exchange", async () => {
    const server = await udpServer("127.0.0.1");
    const before = exchangeUdp(at(server), query, all, AbortSignal.abort());
    await expect(before).rejects.toMatchObject({ code: "ECANCELLED" });
    const controller = new AbortController();
    const during = exchangeUdp(at(server), query, all, controller.signal);
    setTimeout(() => controller.abort(), 20);
    await expect(during).rejects.toMatchObject({ code: "ECANCELLED" });
  });

  test("leaves no descriptor open after 100 concurrent exchanges, answered or aborted", async () => {
    const server = await udpServer("127.0.0.1", (socket, data, port, address) => {
      if (data[0]! % 2 === 0) socket.send(data, port, address);
    });
    const before = descriptors();
    const controller = new AbortController();
    let answered = 0;
    const exchanges = Array.from({ length: 100 }, async (_, i) => {
      await exchangeUdp(at(server), Uint8Array.of(i), all, controller.signal);
      answered++;
    });
    await until(() => answered === 50, "half of the exchanges were answered");
    controller.abort();
    await Promise.allSettled(exchanges);
    await until(() => descriptors() <= before, "all sockets were closed");
  });

  test("uses a different, unpredictable port for each exchange", async () => {
    const ports: number[] = [];
    const server = await udpServer("127.0.0.1", (socket, data, port, address) => {
      ports.push(port);
      socket.send(data, port, address);
    });
    for (let i = 0; i < 40; i++) await exchangeUdp(at(server), query, all, never);
    expect(new Set(ports).size).toBeGreaterThan(35);
    const steps = ports.slice(1).map((port, i) => port - ports[i]!);
    expect(new Set(steps).size).toBeGreaterThan(30);
  });
});

describe("exchangeTcp()", () => {
  /** Starts a server that answers with these chunks, 5 ms apart. */
  function tcpServer(...chunks: Uint8Array[]) {
    const received: Buffer[] = [];
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        async data(socket, chunk) {
          received.push(Buffer.from(chunk));
          for (const each of chunks) {
            socket.write(each);
            await Bun.sleep(5);
          }
          if (chunks.length > 0) socket.shutdown();
        },
      },
    });
    closers.defer(() => server.stop(true));
    return { server, received };
  }

  test("sends and receives messages with a length prefix, in chunks of any size", async () => {
    const bytes = Buffer.concat([Uint8Array.of(0, 6), Buffer.from("answer and more")]);
    const pieces = [
      bytes.subarray(0, 1),
      bytes.subarray(1, 2),
      bytes.subarray(2, 5),
      bytes.subarray(5),
    ];
    const { server, received } = tcpServer(...pieces);
    const answer = await exchangeTcp(at(server), query, never);
    expect(Buffer.from(answer).toString()).toBe("answer");
    expect(Buffer.concat(received)).toEqual(Buffer.concat([Uint8Array.of(0, 5), query]));
  });

  test("receives 65,535 bytes and no more", async () => {
    const { server } = tcpServer(
      Uint8Array.of(255, 255),
      Buffer.alloc(40_000, "a"),
      Buffer.alloc(60_000, "b"),
    );
    const answer = await exchangeTcp(at(server), query, never);
    expect(answer.length).toBe(65_535);
  });

  test("rejects with ECONNRESET if the server closes in the middle of a message", async () => {
    const { server } = tcpServer(Uint8Array.of(0, 9), Buffer.from("short"));
    await expect(exchangeTcp(at(server), query, never)).rejects.toMatchObject({
      code: "ECONNRESET",
    });
  });

  test("rejects with ECONNREFUSED if nothing listens", async () => {
    const gone = new PeerServer();
    const { port } = gone;
    gone.close();
    const lookup = exchangeTcp(at({ port }), query, never);
    await expect(lookup).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("leaves no descriptor open after an aborted connect", async () => {
    const hole = closers.add(new Blackhole());
    const before = descriptors();
    const controller = new AbortController();
    const exchanges = Array.from({ length: 20 }, () =>
      exchangeTcp(at(hole), query, controller.signal),
    );
    setTimeout(() => controller.abort(), 50);
    for (const exchange of await Promise.allSettled(exchanges))
      expect(exchange).toMatchObject({ status: "rejected", reason: { code: "ECANCELLED" } });
    await until(() => descriptors() <= before, "all sockets were closed");
  });

  test("waits for a silent server until the signal aborts", async () => {
    const { server } = tcpServer();
    const controller = new AbortController();
    const exchange = exchangeTcp(at(server), query, controller.signal);
    setTimeout(() => controller.abort(), 50);
    await expect(exchange).rejects.toMatchObject({ code: "ECANCELLED" });
  });
});

describe("sourceAddress()", () => {
  test.each<[address: string, source: string | undefined]>([
    ["127.0.0.1", "127.0.0.1"],
    ["127.9.9.9", "127.0.0.1"],
    ["::1", "::1"],
    ["fe80::1%nosuchzone", undefined],
  ])("of %p is %p", (address, source) => {
    const before = descriptors();
    expect(sourceAddress(address)).toBe(source);
    expect(descriptors()).toBe(before);
  });
});

describe("files", () => {
  test("fileVersion() changes with the file, and readFileStart() reads up to 16 MiB", async () => {
    const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-files-"));
    closers.defer(() => rm(folder, { recursive: true }));
    const path = join(folder, "hosts");
    await writeFile(path, "127.0.0.1 a\n");
    const first = await fileVersion(path);
    expect(await fileVersion(path)).toBe(first);
    await writeFile(path, "127.0.0.1 a b\n");
    expect(await fileVersion(path)).not.toBe(first);
    expect(await readFileStart(path)).toBe("127.0.0.1 a b\n");
    await writeFile(path, Buffer.alloc((16 << 20) + 100_000, "x"));
    expect((await readFileStart(path)).length).toBeLessThan((16 << 20) + 65_537);
    await expect(readFileStart(join(folder, "none"))).rejects.toMatchObject({ code: "ENOENT" });
    await expect(fileVersion(join(folder, "none"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("readFileStart() does not block on a FIFO without a writer", async () => {
    const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-files-"));
    closers.defer(() => rm(folder, { recursive: true }));
    const path = join(folder, "fifo");
    await output(["mkfifo", path]);
    expect(await readFileStart(path)).toBe("");
  });
});

describe("environment variables", () => {
  test.each<[environment: Record<string, string>, expected: boolean]>([
    [{}, process.platform === "darwin"],
    [{ LOCALDOMAIN: "" }, true],
    [{ RES_OPTIONS: "" }, process.platform === "darwin"],
    [{ RES_OPTIONS: "ndots:3" }, true],
    [{ HOSTALIASES: "/tmp/aliases" }, true],
  ])("prefersGetaddrinfo(%j) is %p", (environment, expected) => {
    expect(prefersGetaddrinfo(environment)).toBe(expected);
  });

  test.each<[environment: Record<string, string>, poolSize: number]>([
    [{}, Math.max(2, availableParallelism())],
    [{ UV_THREADPOOL_SIZE: "1" }, 2],
    [{ UV_THREADPOOL_SIZE: "3", GOMAXPROCS: "8" }, 3],
    [{ GOMAXPROCS: "8" }, 8],
  ])(
    "getaddrinfoLimit(%j) is at most 4 and leaves one of Bun's %d threads",
    async (env, poolSize) => {
      // Starts 40 lookups, each of which occupies a thread, and prints the highest number of threads.
      const program = `
      import dns from "node:dns";
      import { readdirSync, readFileSync } from "node:fs";
      for (let i = 0; i < 40; i++) dns.promises.lookup(\`n\${i}.test\`).catch(() => {});
      const names = () => readdirSync("/proc/self/task").map((task) => {
        try { return readFileSync(\`/proc/self/task/\${task}/comm\`, "utf8"); } catch { return ""; }
      });
      let most = 0;
      for (let i = 0; i < 50; i++) {
        most = Math.max(most, names().filter((name) => name.startsWith("Bun Pool")).length);
        await Bun.sleep(10);
      }
      console.log(most);
      process.exit(0);`;
      expect(Number(await output([process.execPath, "-e", program], { env }))).toBe(poolSize);
      expect(getaddrinfoLimit(env)).toBe(Math.min(4, poolSize - 1));
    },
  );
});

test("randomId() returns 16 bits, each of which is set in about half of the ids", () => {
  const ids = Array.from({ length: 1000 }, randomId);
  expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < 65_536)).toBe(true);
  for (let bit = 0; bit < 16; bit++) {
    const set = ids.filter((id) => (id >> bit) & 1).length;
    expect(set > 300 && set < 700).toBe(true);
  }
});
