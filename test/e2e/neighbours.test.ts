// The compiled gateway and its surroundings: the working folder, streams shared with other
// programs, and files that block.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";
import { Command, eventually, run } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../support/gateway-process.ts";
import { createGatewayScene } from "../support/gateway-scene.ts";
import { Peer, until } from "../support/peer.ts";
import { makeFifo } from "../support/pipe-end.ts";

setDefaultTimeout(120_000);

const scene = createGatewayScene();
const { closers, greeter, greeted, folder } = scene;
afterEach(() => scene.close());

const binary = gatewayBinary();
const LISTEN = "--listen-addr=127.0.0.1:0";
const READY = "ready to proxy client requests";

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
