// The life of the compiled gateway: start, systemd notifications, signals, drain, hostile
// environments and descriptor limits.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";
import {
  Closers,
  Command,
  eventually,
  output,
  requireTool,
  run,
} from "../support/gateway-command.ts";
import { NotifySocket } from "../support/gateway-notify-socket.ts";
import { gatewayBinary, GatewayProcess, type GatewayOptions } from "../support/gateway-process.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";

setDefaultTimeout(60_000);

const MIB = 1 << 20;

const closers = new Closers();
afterEach(() => closers.close());

const startServer = () => closers.add(new PeerServer());

/** Starts a server that sends each client one byte. */
function greeter(): PeerServer {
  const server = startServer();
  server.onPeer = (peer) => void peer.send(1);
  return server;
}

/** Starts a gateway with `server` as its endpoint. */
const gatewayTo = async (server: PeerServer, flags: string[] = [], options?: GatewayOptions) =>
  closers.add(
    await GatewayProcess.start([`--endpoints=127.0.0.1:${server.port}`, ...flags], options),
  );

async function connect(port: number): Promise<Peer> {
  const client = await Peer.connect(port);
  closers.defer(() => client.reset());
  return client;
}

/** Returns the descriptor limit of a running gateway, and a function that changes it. */
function descriptorLimitOf({ pid }: GatewayProcess) {
  const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
  const initial = Number(/Max open files\s+(\d+)/.exec(limits)![1]);
  const limitTo = (count: number) =>
    output([requireTool("prlimit"), `--pid=${pid}`, `--nofile=${count}:${initial}`]);
  return { initial, limitTo };
}

interface Visit {
  readonly client: Peer | undefined;
  /** `"served"`, or the errno with which the client was refused. */
  readonly outcome: string;
}

/** Connects a client that stays; resolves once a greeter has served it or it was refused. */
async function visit(port: number): Promise<Visit> {
  try {
    const client = await connect(port);
    const isDecided = () => client.receivedBytes > 0 || client.outcome !== undefined;
    await until(isDecided, "the client was served or refused");
    return { client, outcome: client.outcome ?? "served" };
  } catch (error) {
    // The reset arrived before connect(2) was reported as complete.
    return { client: undefined, outcome: (error as { code: string }).code };
  }
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "etcd-gateway-life-"));
  closers.defer(() => rm(path, { recursive: true }));
  return path;
}

describe("start after SIGTERM or SIGINT", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "finishes a transfer in both directions, and refuses new clients: %s",
    async (signal) => {
      const server = startServer();
      server.onPeer = (peer) => void peer.send(32 * MIB).then(() => peer.shutdown());
      const gateway = await gatewayTo(server, ["--drain-timeout=30s"]);
      const client = await connect(gateway.port);
      await until(() => client.receivedBytes > 0, "the transfer had begun");
      client.pause();
      const peer = await server.peer();

      gateway.signal(signal);
      expect(await gateway.logged("draining: no new clients")).toMatchObject({
        level: "info",
        relays: 1,
        timeout: "30s",
      });
      expect(peer.isSending).toBe(true);
      await expect(Peer.connect(gateway.port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
      client.resume();
      await client.send(MIB);
      client.shutdown();

      expect(await client.gone()).toBe("end");
      expect(await peer.gone()).toBe("end");
      expect([client.receivedBytes, client.firstWrongByte]).toEqual([32 * MIB, undefined]);
      expect([peer.receivedBytes, peer.firstWrongByte]).toEqual([MIB, undefined]);
      expect(await gateway.exited()).toBe(0);
      expect(gateway.lines("stopping")).toMatchObject([{ level: "info", signal }]);
      expect(gateway.log.at(-1)).toMatchObject({ level: "info", msg: "stopped", cut: 0 });
    },
  );

  test("resets the remaining connections after --drain-timeout, and logs their number", async () => {
    const server = startServer();
    const gateway = await gatewayTo(server, ["--drain-timeout=300ms"]);
    const [stuck, ending] = [await connect(gateway.port), await connect(gateway.port)];
    const [stuckServer, endingServer] = [await server.peer(0), await server.peer(1)];
    gateway.signal("SIGTERM");
    expect(await gateway.logged("draining: no new clients")).toMatchObject({ relays: 2 });
    ending.shutdown();
    endingServer.shutdown();
    expect(await ending.gone()).toBe("end");
    expect(await stuck.gone()).toBe("ECONNRESET");
    expect(await stuckServer.gone()).toBe("ECONNRESET");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.log.at(-1)).toMatchObject({ msg: "stopped", cut: 1 });
  });

  test("resets all connections at a second signal", async () => {
    const server = startServer();
    const gateway = await gatewayTo(server, ["--drain-timeout=1h"]);
    const client = await connect(gateway.port);
    await server.peer();
    gateway.signal("SIGTERM");
    await gateway.logged("draining: no new clients");
    expect(client.outcome).toBeUndefined();
    gateway.signal("SIGINT");
    expect(await client.gone()).toBe("ECONNRESET");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.log.at(-1)).toMatchObject({ msg: "stopped", cut: 1 });
  });

  test("exits at once without a client", async () => {
    const gateway = await gatewayTo(startServer(), ["--drain-timeout=1h"]);
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.log.map(({ msg }) => msg)).toEqual([
      "listening",
      "ready to proxy client requests",
      "stopping",
      "draining: no new clients",
      "stopped",
    ]);
    expect(gateway.log.at(-1)).toMatchObject({ cut: 0 });
  });
});

describe("start", () => {
  test("exits with 1 and names the address if it is in use", async () => {
    const { port } = startServer();
    const words = [gatewayBinary(), "start", `--listen-addr=127.0.0.1:${port}`];
    const gateway = closers.add(new GatewayProcess(words));
    expect(await gateway.exited()).toBe(1);
    expect(gateway.stdout).toBe("");
    expect(gateway.log).toMatchObject([
      {
        level: "error",
        msg: `Cannot listen on "127.0.0.1:${port}": the address is in use; stop the other program or choose another --listen-addr`,
      },
    ]);
    expect(gateway.stderr).toBe(`${gateway.stderr.trimEnd()}\n`);
  });

  test("accepts connections, and this test prints how soon", async () => {
    const server = startServer();
    const port = freePort();
    const flags = [`--endpoints=127.0.0.1:${server.port}`, `--listen-addr=127.0.0.1:${port}`];
    const from = performance.now();
    const gateway = closers.add(new GatewayProcess([gatewayBinary(), "start", ...flags]));
    const client = await eventually(() => Peer.connect(port), "the gateway accepted a client");
    const ms = performance.now() - from;
    await server.peer();
    client.reset();
    const figures = `${gateway.residentKib} KiB resident, ${gateway.descriptors} descriptors`;
    console.log(`first connection accepted ${ms.toFixed(1)} ms after the start; ${figures}`);
  });

  test.each(["a file", "an abstract name"])(
    "notifies systemd, over %s, when it is ready and when it stops",
    async (kind) => {
      const path =
        kind === "a file" ? join(await folder(), "notify") : `@etcd-gateway-${crypto.randomUUID()}`;
      const socket = closers.add(new NotifySocket(path));
      const gateway = await gatewayTo(startServer(), [], { env: { NOTIFY_SOCKET: path } });
      await until(() => socket.messages.length > 0, "systemd was notified");
      const ready = "READY=1\nSTATUS=1 of 1 endpoints up, 0 clients";
      expect(socket.messages).toEqual([ready]);
      gateway.signal("SIGTERM");
      expect(await gateway.exited()).toBe(0);
      expect(socket.messages).toEqual([ready, "STOPPING=1\nSTATUS=draining"]);
    },
  );

  test("notifies systemd of reloads, of its status, and for the watchdog", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "400000" };
    const gateway = await gatewayTo(greeter(), [], { env });
    await until(() => socket.messages.length > 0, "systemd was notified");
    gateway.signal("SIGHUP");
    await gateway.logged("reloaded");
    await until(() => socket.messages.includes("READY=1"), "the reload was over");
    const reloading = socket.messages.find((text) => text.startsWith("RELOADING=1"));
    const [, seconds] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)\d{6}$/.exec(reloading!)!;
    const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
    expect(Math.abs(Number(seconds) - uptime)).toBeLessThan(60);
    await visit(gateway.port);
    const status = "STATUS=1 of 1 endpoints up, 1 clients";
    await until(() => socket.messages.includes(status), "the new status arrived");
    const watchdogs = () => socket.messages.filter((text) => text === "WATCHDOG=1").length;
    await until(() => watchdogs() > 2, "three watchdog notifications had arrived");
  });

  test("serves clients and stops while systemd does not read its notifications", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "20000" };
    const gateway = await gatewayTo(greeter(), [], { env });
    await until(() => socket.isFull, "the queue was full", 50_000);
    expect((await visit(gateway.port)).outcome).toBe("served");
    gateway.signal("SIGTERM");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(socket.messages[0]).toStartWith("READY=1\n");
  });

  test("notifies a systemd that was busy of the end of the last reload", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const gateway = await gatewayTo(greeter(), [], { env: { NOTIFY_SOCKET: path } });
    // Read alone, so that RELOADING=1 is the last message for which there is room.
    await until(() => socket.messages.length > 0, "systemd was notified");
    const room = Number(readFileSync("/proc/sys/net/unix/max_dgram_qlen", "utf8"));
    for (let count = 1; count <= room; count++) {
      gateway.signal("SIGHUP");
      await until(() => gateway.lines("reloaded").length >= count, "the gateway had reloaded");
    }
    await until(() => {
      const states = socket.messages.filter((text) => /^(READY|RELOADING)=1/.test(text));
      return states.length > 1 && states.at(-1) === "READY=1";
    }, "systemd was notified that the last reload was over");
  });

  test("does not reload while it drains", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const gateway = await gatewayTo(greeter(), [], { env: { NOTIFY_SOCKET: path } });
    await visit(gateway.port);
    gateway.signal("SIGTERM");
    await gateway.logged("draining: no new clients");
    gateway.signal("SIGHUP");
    await Bun.sleep(200); // Nothing may happen.
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.lines("reloaded")).toEqual([]);
    expect(socket.messages.at(-1)).toBe("STOPPING=1\nSTATUS=draining");
  });

  test("sends no watchdog notifications if WATCHDOG_PID is another process", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "100000", WATCHDOG_PID: "1" };
    await gatewayTo(startServer(), [], { env });
    await Bun.sleep(500); // Nothing may happen: a notification would be due every 50 ms.
    expect(socket.messages).toHaveLength(1);
  });
});

describe("start in a hostile folder or environment", () => {
  const bun = process.execPath;

  /** Creates a folder with a program that writes the file `ran`. */
  async function trap(): Promise<{ path: string; program: string; ran: () => boolean }> {
    const path = await folder();
    const [program, mark] = [join(path, "foreign.ts"), join(path, "ran")];
    const text = `import { writeFileSync } from "node:fs"; writeFileSync("${mark}", "");`;
    await writeFile(program, text);
    return { path, program, ran: () => existsSync(mark) };
  }

  test("ignores .env and bunfig.toml of the working folder", async () => {
    const { path, program, ran } = await trap();
    await writeFile(join(path, "bunfig.toml"), `preload = ["${program}"]\n`);
    await writeFile(join(path, ".env"), "ETCD_GATEWAY_RETRY_DELAY=bogus\n");
    const gateway = await gatewayTo(startServer(), [], { cwd: path });
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.log.filter(({ level }) => level !== "info")).toEqual([]);
    expect(ran()).toBe(false);
    // The control: Bun itself reads both files.
    const read = await output([bun, "-p", "process.env.ETCD_GATEWAY_RETRY_DELAY"], { cwd: path });
    expect([read, ran()]).toEqual(["bogus\n", true]);
  });

  test("exits with 1 if BUN_OPTIONS is set, and does not run the program that it names", async () => {
    const { path, program, ran } = await trap();
    const env = { BUN_OPTIONS: `--preload=${program}` };
    expect((await run([gatewayBinary(), "version"], { cwd: path, env })).status).toBe(1);
    expect(ran()).toBe(false);
    await output([bun, "-p", "1"], { cwd: path, env });
    expect(ran()).toBe(true);
  });

  test("exits with 1 if BUN_INSPECT is set", async () => {
    const port = freePort();
    const env = { BUN_INSPECT: `ws://127.0.0.1:${port}/inspector` };
    expect((await run([gatewayBinary(), "version"], { env })).status).toBe(1);
    // The control: Bun itself opens the port of its inspector.
    closers.add(new Command([bun, "-e", "setInterval(() => {}, 1000)"], { env }));
    await eventually(() => connect(port), "Bun's inspector was open");
  });
});

describe("start with a low descriptor limit", () => {
  // A limit of 128, less a reserve of 64 and one for the endpoint; a client takes two.
  const CAPACITY = 31;

  test("resets clients over its capacity without using CPU, and serves new ones when clients leave", async () => {
    const server = greeter();
    const wrapper = [requireTool("prlimit"), "--nofile=128:128"];
    const gateway = await gatewayTo(server, [], { wrapper });
    const descriptorsBefore = gateway.descriptors;
    expect(gateway.lines("listening")).toMatchObject([{ "max-connections": CAPACITY }]);

    const visits: Visit[] = [];
    for (let i = 0; i < 3 * CAPACITY; i++) visits.push(await visit(gateway.port));
    expect(visits.map(({ outcome }) => outcome)).toEqual([
      ...Array.from({ length: CAPACITY }, () => "served"),
      ...Array.from({ length: 2 * CAPACITY }, () => "ECONNRESET"),
    ]);
    expect(server.accepted).toHaveLength(CAPACITY);
    expect(gateway.descriptors).toBe(descriptorsBefore + 2 * CAPACITY);

    const ticksBefore = gateway.cpuTicks;
    await Bun.sleep(1000); // Nothing may happen: the gateway is idle.
    expect(gateway.cpuTicks - ticksBefore).toBeLessThan(20);
    const refusing = "refusing clients: connection limit reached";
    expect(gateway.lines(refusing)).toMatchObject([{ level: "warn", "max-connections": CAPACITY }]);

    for (const { client } of visits.slice(0, CAPACITY)) client!.reset();
    const again = "serving clients again (was: connection limit reached)";
    expect(await gateway.logged(again)).toMatchObject({ level: "info", refused: 2 * CAPACITY });
    await until(() => gateway.descriptors === descriptorsBefore, "all descriptors were closed");
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("resets a client whose dial exceeds the limit, logs that once, and marks no endpoint down", async () => {
    const server = greeter();
    const gateway = await gatewayTo(server);
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    const { limitTo, initial } = descriptorLimitOf(gateway);
    // One more descriptor: for the client, not for the dial.
    await limitTo(gateway.descriptors + 1);
    for (let i = 0; i < 3; i++)
      expect(await visit(gateway.port)).toMatchObject({ outcome: "ECONNRESET" });
    const error = `dial tcp 127.0.0.1:${server.port}: connect: too many open files`;
    const refusing = "refusing clients: out of file descriptors or memory";
    expect(gateway.lines(refusing)).toMatchObject([{ level: "warn", error }]);
    await limitTo(initial);
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("stops listening if accept(2) fails, without using CPU, and serves connected clients", async () => {
    const server = greeter();
    const gateway = await gatewayTo(server);
    const { client: before } = await visit(gateway.port);
    const { limitTo, initial } = descriptorLimitOf(gateway);
    await limitTo(gateway.descriptors);
    // This client is in the queue when accept(2) fails.
    expect(await visit(gateway.port)).toMatchObject({ outcome: "ECONNRESET" });
    const message = "out of file descriptors: refusing clients";
    expect(await gateway.logged(message)).toMatchObject({ level: "warn", connections: 1 });
    const ticksBefore = gateway.cpuTicks;
    for (let i = 0; i < 10; i++) {
      expect(await visit(gateway.port)).toMatchObject({ outcome: "ECONNREFUSED" });
      await Bun.sleep(200); // Nothing may happen: the gateway is idle, and does not listen.
    }
    expect(gateway.cpuTicks - ticksBefore).toBeLessThan(40);
    await before!.send(1000);
    await until(
      () => server.accepted[0]!.receivedBytes === 1000,
      "the first client was still served",
    );
    await limitTo(initial);
    await gateway.logged("file descriptors available: listening again");
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    expect(gateway.lines(message)).toHaveLength(1);
  });

  test("exits with 1 if the limit is too low for a single client", async () => {
    const wrapper = [requireTool("prlimit"), "--nofile=65:65"];
    const gateway = closers.add(await GatewayProcess.launch("ours", [], { wrapper }));
    expect(gateway.status).toBe(1);
    expect(gateway.log).toMatchObject([
      {
        level: "error",
        msg: "Cannot run with a limit of 65 open files: at least 67 are needed; raise LimitNOFILE or ulimit -n",
      },
    ]);
  });
});
