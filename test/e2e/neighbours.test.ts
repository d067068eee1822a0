// The compiled gateway among others: the folder it is started in, streams that
// it shares, readers that do not read, files that do not answer, stray signals.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
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

/** A server that sends each client one byte. */
function greeter(): PeerServer {
  const server = closers.add(new PeerServer());
  server.onPeer = (peer) => void peer.send(1);
  return server;
}

async function greeted(port: number): Promise<Peer> {
  const client = await Peer.connect(port);
  closers.defer(() => client.reset());
  await until(() => client.receivedBytes > 0, "the client was served", 60_000);
  return client;
}

describe("where libc's functions cannot be called", () => {
  const withoutExecutableMemory = [
    process.execPath,
    join(import.meta.dir, "../support/no-executable-memory-program.ts"),
  ];
  const kinds: [what: string, wrapper: string[]][] = [
    ["ulimit -v", ["sh", "-c", 'ulimit -v 2000000; exec "$0" "$@"']],
    ["MemoryDenyWriteExecute", withoutExecutableMemory],
  ];
  test.each(kinds)(
    "by %s, the working folder is left alone and one line says what to set",
    async (_, wrapper) => {
      const cwd = await folder();
      // Whatever opens one of these waits for a writer that never comes.
      for (const name of ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"])
        await makeFifo(join(cwd, name));
      const { status, stdout, stderr } = await run([...wrapper, binary, "start", LISTEN], { cwd });
      // The kernel is older than the setting.
      if (status === 77 && wrapper === withoutExecutableMemory) return;
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toMatch(
        /^etcd-gateway: Cannot call the C library .*MemoryDenyWriteExecute=no.*ulimit -v.*\n$/,
      );
    },
  );
});

describe("a stream that others share", () => {
  const NONBLOCK = 0o4000;
  // A second shell reads the flags, on the same pipes, after the command has ended.
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
  ] as string[][])("keeps its flags: %s %s", async (...words) => {
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
  ])("keeps its flags while %s runs", async (command, flags, sign) => {
    const script = `sh -c 'echo "pid $$"; exec "$@"' sh "$@" 2>&1 | cat`;
    const words = ["sh", "-c", script, "sh", binary, command, ...flags];
    const program = closers.add(new Command(words));
    const pid = () => Number(/^pid (\d+)$/m.exec(program.stdout)?.[1]);
    closers.defer(() => process.kill(pid(), "SIGKILL"));
    await until(() => program.stdout.includes(sign), `"${sign}" was printed`, 30_000);
    for (const fd of [0, 1, 2]) {
      const info = readFileSync(`/proc/${pid()}/fdinfo/${fd}`, "utf8");
      const octal = /flags:\s+(\d+)/.exec(info)![1]!;
      expect([fd, Number.parseInt(octal, 8) & NONBLOCK]).toEqual([fd, 0]);
    }
  });

  test("leaves a neighbour alone that writes more than a slow reader takes", async () => {
    const cwd = await folder();
    const port = freePort();
    const server = greeter();
    const waitFor = (file: string) => `until [ -e ${file} ]; do sleep 0.05; done`;
    const script = `{ "$@" & gateway=$!; ${waitFor("go")}; seq 200000; echo $? >status; kill $gateway; wait; } 2>&1 | { ${waitFor("read")}; cat; }`;
    const flags = [`--endpoints=127.0.0.1:${server.port}`, `--listen-addr=127.0.0.1:${port}`];
    const words = ["sh", "-c", script, "sh", binary, "start", ...flags];
    const program = closers.add(new Command(words, { cwd }));
    // It has opened its log by the time that it serves.
    const client = await eventually(() => Peer.connect(port), "it served");
    client.reset();
    await writeFile(join(cwd, "go"), "");
    await Bun.sleep(500); // for seq to meet the full pipe
    await writeFile(join(cwd, "read"), "");
    await program.exited(60_000);
    expect(readFileSync(join(cwd, "status"), "utf8")).toBe("0\n");
    expect(program.stdout.match(/^\d+$/gm)).toHaveLength(200_000);
  });
});

describe("a log without a reader", () => {
  const MESSAGE = "log lines were lost: nobody read them";

  /** A gateway whose standard error is `path`, opened by a shell as any program's. */
  function loggingTo(path: string, port: number, server: PeerServer, ...flags: string[]): Command {
    const words = [
      ...["sh", "-c", 'log=$1; shift; exec "$@" 2>"$log"', "sh", path],
      ...[binary, "start", `--listen-addr=127.0.0.1:${port}`],
      ...[`--endpoints=127.0.0.1:${server.port}`, "--access-log", "--drain-timeout=1s", ...flags],
    ];
    return closers.add(new Command(words));
  }

  const served = (port: number) => eventually(() => greeted(port), "a client was served", 60_000);

  test("a full pipe holds no client up, cuts no line, and counts what was lost", async () => {
    const path = join(await folder(), "log");
    await makeFifo(path);
    const fifo = closers.add(new Fifo(path));
    const filled = fifo.fill();
    const port = freePort();
    const gateway = loggingTo(path, port, greeter());
    let clients = 0;
    const comeAndGo = async () => {
      (await served(port)).reset();
      clients++;
    };
    while (clients < 20) await comeAndGo();
    let text = fifo.read();
    // Each client that goes is a line, of which the first tells how many are missing.
    await eventually(async () => {
      await comeAndGo();
      text += fifo.read();
      return text.includes(MESSAGE) ? text : undefined;
    }, "the loss was logged");
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
    const lost = notices.reduce((sum, notice) => sum + notice.lines, 0);
    expect(lines[0]).toMatchObject({ level: "warn", msg: MESSAGE });
    // One a client, two at the start, three at the end.
    expect(lines.length - notices.length + lost).toBe(clients + 5);
  });

  test("a terminal that was stopped (Ctrl-S) holds no client up", async () => {
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
    }, "the loss was logged");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
  });

  test("a file gets every line, in order, to the last one", async () => {
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

  test("a full pipe delays the reason of a failed start, and does not swallow it", async () => {
    const path = join(await folder(), "log");
    await makeFifo(path);
    const fifo = closers.add(new Fifo(path));
    const filled = fifo.fill();
    const { port } = greeter();
    const gateway = loggingTo(path, port, greeter());
    await Bun.sleep(300);
    expect(fifo.read()).toBe("x".repeat(filled));
    expect(await gateway.exited()).toBe(1);
    expect(fifo.read()).toContain("the address is in use");
  });

  test("a full pipe that is never read delays the end by seconds only", async () => {
    const path = join(await folder(), "log");
    await makeFifo(path);
    closers.add(new Fifo(path)).fill();
    const { port } = greeter();
    expect(await loggingTo(path, port, greeter()).exited(60_000)).toBe(1);
    expect(await loggingTo(path, port, greeter(), "--bogus").exited(60_000)).toBe(2);
  });
});

describe("a file that does not answer", () => {
  test.each([
    ["config-file", 'Cannot read --config-file "PATH"'],
    ["trusted-ca-file", 'Cannot use --trusted-ca-file "PATH"'],
  ])("as --%s ends the start with status 1 after its deadline", async (flag, message) => {
    const path = join(await folder(), "fifo");
    await makeFifo(path);
    const flags = [`--${flag}=${path}`, "--endpoints-auto-sync-interval=1s", LISTEN];
    const { status, stderr } = await run([binary, "start", ...flags]);
    expect(stderr.replaceAll("\\", "")).toContain(message.replace("PATH", path));
    expect(stderr).toContain("it could not be read within 10s");
    expect(status).toBe(1);
  });

  test("at a reload stops nothing, changes nothing, and is given up", async () => {
    const server = greeter();
    const path = join(await folder(), "gw.yaml");
    const text = `endpoints: 127.0.0.1:${server.port}\n`;
    await writeFile(path, text);
    const gateway = closers.add(await GatewayProcess.start([`--config-file=${path}`]));
    await makeFifo(`${path}.fifo`);
    await rename(`${path}.fifo`, path);
    for (let i = 0; i < 3; i++) gateway.signal("SIGHUP");
    for (let i = 0; i < 20; i++) (await greeted(gateway.port)).reset();
    expect(gateway.lines("reload failed, nothing was changed")).toEqual([]);
    const failed = () => gateway.lines("reload failed, nothing was changed");
    await until(() => failed().length > 0, "the reload was given up", 60_000);
    expect(failed()[0]).toMatchObject({
      error: `Cannot read --config-file "${path}": it could not be read within 10s; does a pipe or its mount hang?`,
    });
    await greeted(gateway.port);
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
    gateway.signal("SIGHUP");
    await until(() => gateway.lines("reloaded").length > 0, "it was reloaded", 60_000);
  });

  test("but a pipe that a program writes is read as a file is", async () => {
    const server = greeter();
    const script = `(sleep 0.5; echo "endpoints: 127.0.0.1:${server.port}") | exec "$@" --config-file=/dev/stdin`;
    const words = ["sh", "-c", script, "sh", binary, "check"];
    const { status, stdout } = await run(words);
    expect(stdout).toContain("\nall is well\n");
    expect(status).toBe(0);
  });
});

describe("a signal that means nothing to a gateway", () => {
  const IGNORED = "ignored a signal that means nothing here";

  test.each(["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO"] as const)(
    "%s ends no relay and is logged",
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

  test("is logged once a second, however often it comes", async () => {
    const gateway = closers.add(
      await GatewayProcess.start([`--endpoints=127.0.0.1:${greeter().port}`]),
    );
    const startedAt = performance.now();
    for (let i = 0; i < 300; i++) {
      gateway.signal("SIGUSR1");
      await Bun.sleep(1);
    }
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    const seconds = (performance.now() - startedAt) / 1000;
    expect(gateway.lines(IGNORED).length).toBeGreaterThan(0);
    expect(gateway.lines(IGNORED).length).toBeLessThan(seconds + 3);
  });

  test("SIGQUIT keeps its own", async () => {
    const gateway = closers.add(
      await GatewayProcess.start([`--endpoints=127.0.0.1:${greeter().port}`]),
    );
    gateway.signal("SIGQUIT");
    expect(await gateway.exited()).toBeNull();
  });

  test("SIGTTOU does not stop one in the background that logs to its terminal", async () => {
    const terminal = closers.add(new Terminal());
    const port = freePort();
    const flags = [`--listen-addr=127.0.0.1:${port}`, `--endpoints=127.0.0.1:${greeter().port}`];
    // A session leader gets the first terminal that it opens; job control (set -m)
    // puts the gateway into a process group of its own, in the background.
    const script = `exec <>"$1" >&0 2>&0; shift; set -m; stty tostop; "$@" & echo "gateway $!"; exec sleep 600`;
    const words = ["setsid", "sh", "-c", script, "sh", terminal.path, binary, "start"];
    closers.add(new Command([...words, ...flags]));
    let screen = "";
    const pid = () => Number(/gateway (\d+)/.exec((screen += terminal.read()))?.[1]);
    closers.defer(() => process.kill(pid(), "SIGKILL"));
    (await eventually(() => greeted(port), "it served", 30_000)).reset();
    await until(() => pid() > 0 && screen.includes(READY), "its log was on the terminal", 30_000);
  });
});
