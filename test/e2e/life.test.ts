// The compiled gateway's life: start, limits, signals, end.
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

const serverOf = () => closers.add(new PeerServer());

/** A server that sends each client one byte. */
function greeter(): PeerServer {
  const server = serverOf();
  server.onPeer = (peer) => void peer.send(1);
  return server;
}

/** A gateway in front of a server of the test's own. */
const gatewayTo = async (server: PeerServer, flags: string[] = [], options?: GatewayOptions) =>
  closers.add(
    await GatewayProcess.start([`--endpoints=127.0.0.1:${server.port}`, ...flags], options),
  );

async function connect(port: number): Promise<Peer> {
  const client = await Peer.connect(port);
  closers.defer(() => client.reset());
  return client;
}

/** Of a process that runs. */
function descriptorLimitOf({ pid }: GatewayProcess) {
  const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
  const usual = Number(/Max open files\s+(\d+)/.exec(limits)![1]);
  const limitTo = (count: number) =>
    output([requireTool("prlimit"), `--pid=${pid}`, `--nofile=${count}:${usual}`]);
  return { usual, limitTo };
}

interface Visit {
  readonly client: Peer | undefined;
  /** `"served"`, or how it was refused. */
  readonly outcome: string;
}

/** A new client, who stays, and what becomes of it in front of a greeter. */
async function visit(port: number): Promise<Visit> {
  try {
    const client = await connect(port);
    const isDecided = () => client.receivedBytes > 0 || client.outcome !== undefined;
    await until(isDecided, "the client was served or refused");
    return { client, outcome: client.outcome ?? "served" };
  } catch (error) {
    // A reset may be faster than the news of the connection.
    return { client: undefined, outcome: (error as { code: string }).code };
  }
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "etcd-gateway-life-"));
  closers.defer(() => rm(path, { recursive: true }));
  return path;
}

describe("a signal", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s in the middle of a transfer lets it finish, in both directions, and refuses new clients",
    async (signal) => {
      const server = serverOf();
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

  test("resets what has not ended after --drain-timeout, and says how many that were", async () => {
    const server = serverOf();
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

  test("that comes a second time ends it at once", async () => {
    const server = serverOf();
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

  test("without a client ends it with nothing cut", async () => {
    const gateway = await gatewayTo(serverOf(), ["--drain-timeout=1h"]);
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
  test("on an address that is in use ends with status 1 and names it", async () => {
    const { port } = serverOf();
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

  test("accepts its first connection; how soon is printed", async () => {
    const server = serverOf();
    const port = freePort();
    const flags = [`--endpoints=127.0.0.1:${server.port}`, `--listen-addr=127.0.0.1:${port}`];
    const from = performance.now();
    const gateway = closers.add(new GatewayProcess([gatewayBinary(), "start", ...flags]));
    const tryConnect = () => Peer.connect(port).catch(() => undefined);
    let client: Peer | undefined;
    while ((client = await tryConnect()) === undefined && performance.now() - from < 5000)
      await Bun.sleep(1);
    const ms = performance.now() - from;
    expect(client).toBeDefined();
    await server.peer();
    client!.reset();
    const figures = `${gateway.residentKib} KiB resident, ${gateway.descriptors} descriptors`;
    console.log(`first connection accepted ${ms.toFixed(1)} ms after the start; ${figures}`);
  });

  test.each(["a file", "an abstract name"])(
    "tells systemd, over %s, when it is ready and when it stops",
    async (kind) => {
      const path =
        kind === "a file" ? join(await folder(), "notify") : `@etcd-gateway-${crypto.randomUUID()}`;
      const socket = closers.add(new NotifySocket(path));
      const gateway = await gatewayTo(serverOf(), [], { env: { NOTIFY_SOCKET: path } });
      await until(() => socket.messages.length > 0, "systemd was told");
      const ready = "READY=1\nSTATUS=1 of 1 endpoints up, 0 clients";
      expect(socket.messages).toEqual([ready]);
      gateway.signal("SIGTERM");
      expect(await gateway.exited()).toBe(0);
      expect(socket.messages).toEqual([ready, "STOPPING=1\nSTATUS=draining"]);
    },
  );

  test("tells systemd of each reload, that it lives, and how it is", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "400000" };
    const gateway = await gatewayTo(greeter(), [], { env });
    await until(() => socket.messages.length > 0, "systemd was told");
    gateway.signal("SIGHUP");
    await gateway.logged("reloaded");
    await until(() => socket.messages.includes("READY=1"), "the reload was over");
    const reloading = socket.messages.find((text) => text.startsWith("RELOADING=1"));
    const [, seconds] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)\d{6}$/.exec(reloading!)!;
    const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
    expect(Math.abs(Number(seconds) - uptime)).toBeLessThan(60);
    await visit(gateway.port);
    const status = "STATUS=1 of 1 endpoints up, 1 clients";
    await until(() => socket.messages.includes(status), "the news was told");
    const alive = socket.messages.filter((text) => text === "WATCHDOG=1");
    expect(alive.length).toBeGreaterThan(2);
  });

  test("does not wait for a systemd that does not read", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "20000" };
    const gateway = await gatewayTo(greeter(), [], { env });
    const room = Number(readFileSync("/proc/sys/net/unix/max_dgram_qlen", "utf8"));
    await Bun.sleep(10 * (room + 20));
    expect((await visit(gateway.port)).outcome).toBe("served");
    gateway.signal("SIGTERM");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(socket.messages[0]).toStartWith("READY=1\n");
  });

  test("reloads no more once it stops", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const gateway = await gatewayTo(greeter(), [], { env: { NOTIFY_SOCKET: path } });
    await visit(gateway.port);
    gateway.signal("SIGTERM");
    await gateway.logged("draining: no new clients");
    gateway.signal("SIGHUP");
    await Bun.sleep(200);
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.lines("reloaded")).toEqual([]);
    expect(socket.messages.at(-1)).toBe("STOPPING=1\nSTATUS=draining");
  });

  test("feeds no watchdog that is another process'", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "100000", WATCHDOG_PID: "1" };
    await gatewayTo(serverOf(), [], { env });
    await Bun.sleep(500);
    expect(socket.messages).toHaveLength(1);
  });
});

describe("a hostile folder or environment", () => {
  const bun = process.execPath;

  /** A folder with a program that writes the file `ran`. */
  async function trap(): Promise<{ path: string; program: string; ran: () => boolean }> {
    const path = await folder();
    const [program, mark] = [join(path, "foreign.ts"), join(path, "ran")];
    const text = `import { writeFileSync } from "node:fs"; writeFileSync("${mark}", "");`;
    await writeFile(program, text);
    return { path, program, ran: () => existsSync(mark) };
  }

  test("nothing of the working folder's .env and bunfig.toml is read or run", async () => {
    const { path, program, ran } = await trap();
    await writeFile(join(path, "bunfig.toml"), `preload = ["${program}"]\n`);
    await writeFile(join(path, ".env"), "ETCD_GATEWAY_RETRY_DELAY=bogus\n");
    const gateway = await gatewayTo(serverOf(), [], { cwd: path });
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.log.filter(({ level }) => level !== "info")).toEqual([]);
    expect(ran()).toBe(false);
    // The traps are good: Bun itself walks into both.
    const read = await output([bun, "-p", "process.env.ETCD_GATEWAY_RETRY_DELAY"], { cwd: path });
    expect([read, ran()]).toEqual(["bogus\n", true]);
  });

  test("a program that BUN_OPTIONS names is not run; the gateway does not start", async () => {
    const { path, program, ran } = await trap();
    const env = { BUN_OPTIONS: `--preload=${program}` };
    expect((await run([gatewayBinary(), "version"], { cwd: path, env })).status).toBe(1);
    expect(ran()).toBe(false);
    await output([bun, "-p", "1"], { cwd: path, env });
    expect(ran()).toBe(true);
  });

  test("BUN_INSPECT opens no port; the gateway does not start", async () => {
    const port = freePort();
    const env = { BUN_INSPECT: `ws://127.0.0.1:${port}/inspector` };
    expect((await run([gatewayBinary(), "version"], { env })).status).toBe(1);
    // Bun itself opens it.
    closers.add(new Command([bun, "-e", "setInterval(() => {}, 1000)"], { env }));
    await eventually(() => connect(port), "Bun's inspector was open");
  });
});

describe("a low limit of descriptors", () => {
  // 128, without a reserve of 64 and one for the endpoint, at two descriptors each.
  const ROOM = 31;

  test("with three times the clients leaves it alive, idle, and serving again when clients leave", async () => {
    const server = greeter();
    const wrapper = [requireTool("prlimit"), "--nofile=128:128"];
    const gateway = await gatewayTo(server, [], { wrapper });
    const descriptorsBefore = gateway.descriptors;
    expect(gateway.lines("listening")).toMatchObject([{ "max-connections": ROOM }]);

    const visits: Visit[] = [];
    for (let i = 0; i < 3 * ROOM; i++) visits.push(await visit(gateway.port));
    expect(visits.map(({ outcome }) => outcome)).toEqual([
      ...Array.from({ length: ROOM }, () => "served"),
      ...Array.from({ length: 2 * ROOM }, () => "ECONNRESET"),
    ]);
    expect(server.accepted).toHaveLength(ROOM);
    expect(gateway.descriptors).toBe(descriptorsBefore + 2 * ROOM);

    const ticksBefore = gateway.cpuTicks;
    await Bun.sleep(1000);
    expect(gateway.cpuTicks - ticksBefore).toBeLessThan(20);
    const refusing = "refusing clients: connection limit reached";
    expect(gateway.lines(refusing)).toMatchObject([{ level: "warn", "max-connections": ROOM }]);

    for (const { client } of visits.slice(0, ROOM)) client!.reset();
    const again = "serving clients again (was: connection limit reached)";
    expect(await gateway.logged(again)).toMatchObject({ level: "info", refused: 2 * ROOM });
    await until(() => gateway.descriptors === descriptorsBefore, "all descriptors were given back");
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("that a dial reaches refuses the client, is said once, and no endpoint is blamed", async () => {
    const server = greeter();
    const gateway = await gatewayTo(server);
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    const { limitTo, usual } = descriptorLimitOf(gateway);
    // Room for an accepted client, and none for its server.
    await limitTo(gateway.descriptors + 1);
    for (let i = 0; i < 3; i++)
      expect(await visit(gateway.port)).toMatchObject({ outcome: "ECONNRESET" });
    const error = `dial tcp 127.0.0.1:${server.port}: connect: too many open files`;
    const refusing = "refusing clients: out of file descriptors or memory";
    expect(gateway.lines(refusing)).toMatchObject([{ level: "warn", error }]);
    await limitTo(usual);
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("that is lowered to nothing refuses clients, idle in CPU, and harms nobody served", async () => {
    const server = greeter();
    const gateway = await gatewayTo(server);
    const { client: before } = await visit(gateway.port);
    const { limitTo, usual } = descriptorLimitOf(gateway);
    await limitTo(gateway.descriptors);
    // Who comes before that is noticed waits for it.
    expect(await visit(gateway.port)).toMatchObject({ outcome: "ECONNRESET" });
    const message = "out of file descriptors: refusing clients";
    expect(await gateway.logged(message)).toMatchObject({ level: "warn", relays: 1 });
    const ticksBefore = gateway.cpuTicks;
    for (let i = 0; i < 10; i++) {
      expect(await visit(gateway.port)).toMatchObject({ outcome: "ECONNREFUSED" });
      await Bun.sleep(200);
    }
    expect(gateway.cpuTicks - ticksBefore).toBeLessThan(40);
    await before!.send(1000);
    await until(() => server.accepted[0]!.receivedBytes === 1000, "the first client is served on");
    await limitTo(usual);
    await gateway.logged("file descriptors available: listening again");
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    expect(gateway.lines(message)).toHaveLength(1);
  });

  test("too low for a single client ends the start with status 1", async () => {
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
