// The log of the compiled gateway at every kind of standard error: a full pipe, a stopped
// terminal, a file.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../support/free-port.ts";
import { Command, eventually } from "../support/gateway-command.ts";
import { gatewayBinary } from "../support/gateway-process.ts";
import { createGatewayScene } from "../support/gateway-scene.ts";
import type { PeerServer } from "../support/peer.ts";
import { Fifo, makeFifo, Terminal } from "../support/pipe-end.ts";

setDefaultTimeout(120_000);

const scene = createGatewayScene();
const { closers, greeter, greeted, folder } = scene;
afterEach(() => scene.close());

const binary = gatewayBinary();

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
