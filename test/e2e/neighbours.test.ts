// The compiled gateway and its surroundings: the working folder, streams shared with other
// programs, a log without a reader, files that block, and stray signals.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";
import { Closers, Command, eventually, run } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../support/gateway-process.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";
import { Fifo, makeFifo, Terminal } from "../support/pipe-end.ts";

setDefaultTimeout(120_000);

const closers = new Closers();
afterEach(() => closers.close());

const binary = gatewayBinary();
const LISTEN = "--listen-addr=127.0.0.1:0";
const READY = "ready to proxy client requests";

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "etcd-gateway-neighbours-"));
  closers.defer(() => rm(path, { recursive: true }));
  return path;
}

/** Starts a server that sends each client one byte. */
function greeter(): PeerServer {
  const server = closers.add(new PeerServer());
  server.onPeer = (peer) => void peer.send(1);
  return server;
}

/** Connects a client that stays; resolves once it has received its byte. */
async function greeted(port: number): Promise<Peer> {
  const client = await Peer.connect(port);
  closers.defer(() => client.reset());
  await until(() => client.receivedBytes > 0, "the client was served", 60_000);
  return client;
}

describe("start where libc's functions cannot be called", () => {
  const withoutExecutableMemory = [
    process.execPath,
    join(import.meta.dir, "../support/no-executable-memory-program.ts"),
  ];
  const kinds: [what: string, wrapper: string[]][] = [
    ["ulimit -v", ["sh", "-c", 'ulimit -v 2000000; exec "$0" "$@"']],
    ["MemoryDenyWriteExecute", withoutExecutableMemory],
  ];
  test.each(kinds)(
    "under %s, opens nothing in the working folder and prints one line with what to set",
    async (_, wrapper) => {
      const cwd = await folder();
      // An open of one of these would block, because no program writes to them.
      for (const name of ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"])
        await makeFifo(join(cwd, name));
      const { status, stdout, stderr } = await run([...wrapper, binary, "start", LISTEN], { cwd });
      // Status 77: the kernel is too old for the setting.
      if (status === 77 && wrapper === withoutExecutableMemory) return;
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toMatch(
        /^etcd-gateway: Cannot call the C library .*MemoryDenyWriteExecute=no.*ulimit -v.*\n$/,
      );
    },
  );
});

describe("a stream shared with other programs", () => {
  const NONBLOCK = 0o4000;
  // After the command has exited, sed reads the flags of the same pipes.
  const SHARED = `{ "$@"; for fd in 0 1 2; do sed -n 's/^flags:[[:space:]]*//p' /proc/self/fdinfo/$fd; done >flags; } 2>&1 | cat`;

  test.each([
    ["help", "start"],
    ["version", "--help"],
    ["completion", "bash"],
    ["check", "--endpoints=127.0.0.1:1"],
    ["status", "--metrics-addr=127.0.0.1:1"],
    ["healthcheck", "--metrics-addr=127.0.0.1:1"],
    ["start", LISTEN, "--endpoints=gone.invalid:1"],
    ["start", LISTEN, "--bogus"],
  ] as string[][])("keeps its flags after %s %s", async (...words) => {
    const cwd = await folder();
    await run(["sh", "-c", SHARED, "sh", binary, ...words], {
      cwd,
    });
    const flags = readFileSync(join(cwd, "flags"), "utf8").trim().split("\n");
    expect(flags).toHaveLength(3);
    expect(flags.filter((octal) => Number.parseInt(octal, 8) & NONBLOCK)).toEqual([]);
  });

  test.each([
    ["start", [LISTEN, "--endpoints=127.0.0.1:1"], READY],
    ["status", ["--watch", "--metrics-addr=127.0.0.1:1"], "Cannot ask the gateway"],
  ])("keeps its flags while %s runs", async (command, flags, text) => {
    const script = `sh -c 'echo "pid $$"; exec "$@"' sh "$@" 2>&1 | cat`;
    const words = ["sh", "-c", script, "sh", binary, command, ...flags];
    const program = closers.add(new Command(words));
    const pid = () => Number(/^pid (\d+)$/m.exec(program.stdout)?.[1]);
    closers.defer(() => process.kill(pid(), "SIGKILL"));
    await until(() => program.stdout.includes(text), `"${text}" was printed`, 30_000);
    for (const fd of [0, 1, 2]) {
      const info = readFileSync(`/proc/${pid()}/fdinfo/${fd}`, "utf8");
      const octal = /flags:\s+(\d+)/.exec(info)![1]!;
      expect([fd, Number.parseInt(octal, 8) & NONBLOCK]).toEqual([fd, 0]);
    }
  });

  test("takes all output of a program that shares it with start and a slow reader", async () => {
    const cwd = await folder();
    const port = freePort();
    const server = greeter();
    const waitFor = (file: string) => `until [ -e ${file} ]; do sleep 0.05; done`;
    const script = `{ "$@" & gateway=$!; ${waitFor("go")}; seq 200000 & echo $! >pid; wait $!; echo $? >status; kill $gateway; wait; } 2>&1 | { ${waitFor("read")}; cat; }`;
    const flags = [`--endpoints=127.0.0.1:${server.port}`, `--listen-addr=127.0.0.1:${port}`];
    const words = ["sh", "-c", script, "sh", binary, "start", ...flags];
    const program = closers.add(new Command(words, { cwd }));
    // Once the gateway serves clients, it has opened its log.
    const client = await eventually(() => Peer.connect(port), "the gateway served a client");
    client.reset();
    await writeFile(join(cwd, "go"), "");
    await until(() => isBlocked(join(cwd, "pid")), "the pipe was full or seq had exited");
    await writeFile(join(cwd, "read"), "");
    await program.exited(60_000);
    expect(readFileSync(join(cwd, "status"), "utf8")).toBe("0\n");
    expect(program.stdout.match(/^\d+$/gm)).toHaveLength(200_000);
  });
});

/** Whether the process whose id a file has is not running: it sleeps, or has exited. */
function isBlocked(pidFile: string): boolean {
  const pid = existsSync(pidFile) ? readFileSync(pidFile, "utf8").trim() : "";
  if (pid === "") return false;
  const stat = `/proc/${pid}/stat`;
  return !existsSync(stat) || /\) [SZ] /.test(readFileSync(stat, "utf8"));
}

describe("the standard error of start", () => {
  const MESSAGE = "dropped log lines";

  /** Starts a gateway whose standard error a shell redirects to `path`. */
  function loggingTo(path: string, port: number, server: PeerServer, ...flags: string[]): Command {
    const words = [
      ...["sh", "-c", 'log=$1; shift; exec "$@" 2>"$log"', "sh", path],
      ...[binary, "start", `--listen-addr=127.0.0.1:${port}`],
      ...[`--endpoints=127.0.0.1:${server.port}`, "--access-log", "--drain-timeout=1s", ...flags],
    ];
    return closers.add(new Command(words));
  }

  const served = (port: number) => eventually(() => greeted(port), "a client was served", 60_000);

  test("that is a full pipe delays no client, tears no line, and logs the number of dropped lines", async () => {
    const path = join(await folder(), "log");
    await makeFifo(path);
    const fifo = closers.add(new Fifo(path));
    const filled = fifo.fill();
    const port = freePort();
    const gateway = loggingTo(path, port, greeter());
    let clients = 0;
    const visit = async () => {
      (await served(port)).reset();
      clients++;
    };
    while (clients < 20) await visit();
    let text = fifo.read();
    // The first line that is written again follows one with the number of dropped lines.
    await eventually(async () => {
      await visit();
      text += fifo.read();
      return text.includes(MESSAGE) ? text : undefined;
    }, "the dropped lines were logged");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    text += fifo.read();
    expect(text).toStartWith("x".repeat(filled));
    const lines = text
      .slice(filled)
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const notices = lines.filter(({ msg }) => msg === MESSAGE);
    const dropped = notices.reduce((sum, notice) => sum + notice.count, 0);
    expect(lines[0]).toMatchObject({ level: "warn", msg: MESSAGE });
    // One line per client, two for the start, three for the end.
    expect(lines.length - notices.length + dropped).toBe(clients + 5);
  });

  test("that is a stopped terminal (Ctrl-S) delays no client", async () => {
    const terminal = closers.add(new Terminal());
    const port = freePort();
    const gateway = loggingTo(terminal.path, port, greeter());
    await served(port);
    terminal.stop();
    for (let i = 0; i < 200; i++) (await served(port)).reset();
    terminal.goOn();
    let text = "";
    await eventually(async () => {
      (await served(port)).reset();
      text += terminal.read();
      return text.includes(MESSAGE) ? text : undefined;
    }, "the dropped lines were logged");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
  });

  test("that is a file gets every line, in order", async () => {
    const path = join(await folder(), "log");
    const port = freePort();
    const gateway = loggingTo(path, port, greeter(), "--log-level=debug");
    for (let i = 0; i < 50; i++) (await served(port)).reset();
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    const lines = readFileSync(path, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const times = lines.map(({ ts }) => ts);
    expect(times).toEqual(times.toSorted());
    expect(lines.filter(({ msg }) => msg === "relaying")).toHaveLength(50);
    expect(lines.at(-1)).toMatchObject({ msg: "stopped" });
  });

  test("that is a full pipe gets the error of a failed start once it is read", async () => {
    const path = join(await folder(), "log");
    await makeFifo(path);
    const fifo = closers.add(new Fifo(path));
    const filled = fifo.fill();
    const { port } = greeter();
    const gateway = loggingTo(path, port, greeter());
    await Bun.sleep(300); // Nothing may happen: the pipe is full.
    expect(fifo.read()).toBe("x".repeat(filled));
    expect(await gateway.exited()).toBe(1);
    expect(fifo.read()).toContain("the address is in use");
  });

  test("that is a full pipe delays the exit only until a deadline", async () => {
    const path = join(await folder(), "log");
    await makeFifo(path);
    closers.add(new Fifo(path)).fill();
    const { port } = greeter();
    expect(await loggingTo(path, port, greeter()).exited(60_000)).toBe(1);
    expect(await loggingTo(path, port, greeter(), "--bogus").exited(60_000)).toBe(2);
  });
});

describe("start with a file that blocks", () => {
  test.each([
    ["config-file", 'Cannot read --config-file "PATH"'],
    ["trusted-ca-file", 'Cannot use --trusted-ca-file "PATH"'],
  ])("exits with 1 after a deadline if it is --%s", async (flag, message) => {
    const path = join(await folder(), "fifo");
    await makeFifo(path);
    const flags = [`--${flag}=${path}`, "--endpoints-auto-sync-interval=1s", LISTEN];
    const { status, stderr } = await run([binary, "start", ...flags]);
    expect(stderr.replaceAll("\\", "")).toContain(message.replace("PATH", path));
    expect(stderr).toContain("it could not be read within 10s");
    expect(status).toBe(1);
  });

  test("serves clients while a reload blocks, and fails the reload after a deadline", async () => {
    const server = greeter();
    const path = join(await folder(), "gw.yaml");
    const text = `endpoints: 127.0.0.1:${server.port}\n`;
    await writeFile(path, text);
    const gateway = closers.add(await GatewayProcess.start([`--config-file=${path}`]));
    await makeFifo(`${path}.fifo`);
    await rename(`${path}.fifo`, path);
    for (let i = 0; i < 3; i++) gateway.signal("SIGHUP");
    for (let i = 0; i < 20; i++) (await greeted(gateway.port)).reset();
    const failed = () => gateway.lines("reload failed, nothing was changed");
    expect(failed()).toEqual([]);
    await until(() => failed().length > 0, "the reload had failed", 60_000);
    expect(failed()[0]).toMatchObject({
      error: `Cannot read --config-file "${path}": it could not be read within 10s; does a pipe or its mount hang?`,
    });
    await greeted(gateway.port);
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
    gateway.signal("SIGHUP");
    await until(() => gateway.lines("reloaded").length > 0, "the gateway had reloaded", 60_000);
  });

  test("reads a config file from a pipe that another program writes", async () => {
    const server = greeter();
    const script = `(sleep 0.5; echo "endpoints: 127.0.0.1:${server.port}") | exec "$@" --config-file=/dev/stdin`;
    const words = ["sh", "-c", script, "sh", binary, "check"];
    const { status, stdout } = await run(words);
    expect(stdout).toContain("\nall is well\n");
    expect(status).toBe(0);
  });
});

describe("start with a stray signal", () => {
  const IGNORED = "ignored a signal that means nothing here";

  test.each(["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO"] as const)(
    "logs %s and keeps its relays",
    async (signal) => {
      const gateway = closers.add(
        await GatewayProcess.start([`--endpoints=127.0.0.1:${greeter().port}`]),
      );
      const client = await greeted(gateway.port);
      gateway.signal(signal);
      expect(await gateway.logged(IGNORED)).toMatchObject({ level: "warn", signal, count: 1 });
      await greeted(gateway.port);
      expect(client.outcome).toBeUndefined();
    },
  );

  test("logs stray signals at most once per second", async () => {
    const gateway = closers.add(
      await GatewayProcess.start([`--endpoints=127.0.0.1:${greeter().port}`]),
    );
    const startedAt = performance.now();
    const isLoggedThreeTimes = () => {
      gateway.signal("SIGUSR1");
      return gateway.lines(IGNORED).length >= 3;
    };
    await until(isLoggedThreeTimes, "three lines were logged", 60_000);
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);

    const seconds = (performance.now() - startedAt) / 1000;
    const counts = gateway.lines(IGNORED).map(({ count }) => count as number);
    expect(counts.length).toBeLessThan(seconds + 3);
    // A later line counts the signals since the line before.
    expect(Math.max(...counts)).toBeGreaterThan(1);
  });

  test("exits at SIGQUIT, as by default", async () => {
    const gateway = closers.add(
      await GatewayProcess.start([`--endpoints=127.0.0.1:${greeter().port}`]),
    );
    gateway.signal("SIGQUIT");
    expect(await gateway.exited()).toBeNull();
  });

  test("is not stopped by SIGTTOU when it logs to a terminal from the background", async () => {
    const terminal = closers.add(new Terminal());
    const port = freePort();
    const flags = [`--listen-addr=127.0.0.1:${port}`, `--endpoints=127.0.0.1:${greeter().port}`];
    // A session leader gets the first terminal that it opens as its controlling terminal. Job
    // control (set -m) runs the gateway in a background process group.
    const script = `exec <>"$1" >&0 2>&0; shift; set -m; stty tostop; "$@" & echo "gateway $!"; exec sleep 600`;
    const words = ["setsid", "sh", "-c", script, "sh", terminal.path, binary, "start"];
    closers.add(new Command([...words, ...flags]));
    let screen = "";
    const pid = () => Number(/gateway (\d+)/.exec((screen += terminal.read()))?.[1]);
    closers.defer(() => process.kill(pid(), "SIGKILL"));
    (await eventually(() => greeted(port), "the gateway served a client", 30_000)).reset();
    await until(() => pid() > 0 && screen.includes(READY), "its log was on the terminal", 30_000);
  });
});
