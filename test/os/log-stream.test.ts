import { afterEach, describe, expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileLog, openLogStream, PipeLog } from "../../src/os/log-stream.ts";
import { Closers } from "../support/gateway-command.ts";
import { Fifo, makeFifo } from "../support/pipe-end.ts";
import { startConnect } from "../../src/os/tcp.ts";
import { until } from "../support/peer.ts";

const closers = new Closers();
afterEach(() => closers.close());

const NONBLOCK = 0o4000;

const flagsOf = (fd: number) =>
  Number.parseInt(/flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1]!, 8);

/** Creates a FIFO, and opens a blocking descriptor of its writing end. */
async function pipe() {
  const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-log-"));
  closers.defer(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "fifo");
  await makeFifo(path);
  const fifo = closers.add(new Fifo(path));
  const fd = openSync(path, constants.O_WRONLY);
  closers.defer(() => closeSync(fd));
  return { fifo, fd };
}

const line = (i: number, length = 200) => `${String(i).padStart(length - 1, "0")}\n`;

describe("openLogStream()", () => {
  // The second kind cannot be reopened, as in a container that runs under another user.
  const kinds = [
    ["that it reopens", (fd: number) => openLogStream(fd)],
    ["that it cannot reopen", (fd: number) => new PipeLog(fd, () => undefined)],
  ] as const;

  test.each(kinds)("drops whole lines if a pipe %s is full, and never waits", async (_, open) => {
    const { fifo, fd } = await pipe();
    const log = closers.add(open(fd));
    const sent: string[] = [];
    let dropped = 0;
    for (let i = 0; i < 1000; i++) {
      const text = line(i, i % 7 === 0 ? 9000 : 200);
      if (log.write(text)) sent.push(text);
      else dropped++;
    }
    expect(dropped).toBeGreaterThan(0);
    let read = fifo.read();
    expect(log.write(line(1001))).toBe(true);
    await log.flush(1000);
    read += fifo.read();
    expect(read).toBe([...sent, line(1001)].join(""));
    expect(flagsOf(fd) & NONBLOCK).toBe(0);
  });

  test.each(kinds)("flush() waits for room in a pipe %s until its timeout", async (_, open) => {
    const { fifo, fd } = await pipe();
    const log = closers.add(open(fd));
    fifo.fill();
    await log.flush(100);
    const flushed = log.flush(30_000);
    fifo.read();
    await flushed;
    expect(log.write(line(1))).toBe(true);
  });

  test("drops whole lines if the peer of a socket does not read, and keeps the socket's flags", async () => {
    const server = createServer((peer) => peer.pause());
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.defer(() => server.close());
    const fd = startConnect("127.0.0.1", (server.address() as { port: number }).port);
    closers.defer(() => closeSync(fd));
    const before = flagsOf(fd);
    const log = closers.add(openLogStream(fd));
    await log.flush(1000); // until it is connected
    let accepted = 0;
    while (log.write(line(accepted, 4096)) && accepted < 100_000) accepted++;
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(100_000);
    expect(flagsOf(fd)).toBe(before);
  });

  test("flush() waits for a reader of a full socket", async () => {
    const peers: Socket[] = [];
    const server = createServer((peer) => peers.push(peer.pause()));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.defer(() => server.close());
    const fd = startConnect("127.0.0.1", (server.address() as { port: number }).port);
    closers.defer(() => closeSync(fd));
    const log = closers.add(openLogStream(fd));
    await log.flush(1000); // until it is connected
    while (log.write(line(0, 4096)));
    let isFlushed = false;
    const flushed = log.flush(60_000).then(() => (isFlushed = true));
    await Bun.sleep(200);
    expect(isFlushed).toBe(false);
    peers[0]!.resume();
    await flushed;
    expect(log.write(line(1))).toBe(true);
    peers[0]!.destroy();
  });
});

describe("FileLog", () => {
  test("never waits for a disk that hangs, queues up to 1 MiB, and keeps the order", async () => {
    const written: string[] = [];
    let release: (() => void) | undefined;
    const log = new FileLog(2, (bytes, done) => {
      release = () => {
        // A write may be partial.
        const count = Math.min(bytes.length, 100_001);
        written.push(Buffer.from(bytes.subarray(0, count)).toString());
        done(null, count);
      };
    });
    const sent: string[] = [];
    for (let i = 0; i < 10_000; i++) if (log.write(line(i))) sent.push(line(i));
    expect(sent.length).toBe(Math.floor((1 << 20) / 200));
    while (release !== undefined) {
      const finishWrite = release;
      release = undefined;
      finishWrite();
    }
    await log.flush(0);
    expect(written.join("")).toBe(sent.join(""));
    expect(log.write(line(1))).toBe(true);
  });

  test("keeps lines that a full disk refused, and writes them with the next line", () => {
    const written: string[] = [];
    let isFull = true;
    const log = new FileLog(2, (bytes, done) => {
      if (isFull) return done(new Error("ENOSPC"), 0);
      written.push(Buffer.from(bytes).toString());
      done(null, bytes.length);
    });
    log.write("1\n");
    log.write("2\n");
    isFull = false;
    log.write("3\n");
    expect(written.join("")).toBe("1\n2\n3\n");
  });

  test("writes in another thread, so that a blocking pipe does not block the caller", async () => {
    const { fifo, fd } = await pipe();
    const filled = fifo.fill();
    const log = new FileLog(fd);
    expect(log.write(line(1))).toBe(true);
    await log.flush(100);
    let read = "";
    await until(() => (read += fifo.read()).length > filled, "the line was written");
    expect(read).toBe("x".repeat(filled) + line(1));
  });
});
