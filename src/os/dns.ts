// What the stub resolver needs from the system: files, the host name, random numbers,
// and getaddrinfo for sources that only the C library implements.
import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { availableParallelism, hostname } from "node:os";
import { isDarwin } from "./abi.ts";

export { exchangeTcp, exchangeUdp } from "./dns-sockets.ts";
export { sourceAddress } from "./tcp.ts";

// Larger than any hosts file with a block list in common use; the rest is not read.
const MAX_FILE_BYTES = 16 << 20;

/**
 * Returns a file's inode, modification time and size as text, which differs once the file
 * has changed. Rejects with a `code` such as ENOENT.
 */
export async function fileVersion(path: string): Promise<string> {
  const { mtimeNs, size, ino } = await stat(path, { bigint: true });
  return `${ino} ${mtimeNs} ${size}`;
}

/** Reads the first 16 MiB of a file as UTF-8 text. Rejects with a `code` such as ENOENT. */
export async function readFileStart(path: string): Promise<string> {
  // Without O_NONBLOCK, opening a FIFO would block a thread of the pool forever.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const chunks: Buffer[] = [];
    for (let total = 0; total < MAX_FILE_BYTES;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(64 << 10), 0, 64 << 10, null);
      if (bytesRead === 0) break;
      chunks.push(buffer.subarray(0, bytesRead));
      total += bytesRead;
    }
    return Buffer.concat(chunks).toString("utf8");
  } finally {
    await file.close();
  }
}

const id = new Uint16Array(1);

/** Returns an unpredictable number from 0 to 65535. */
export function randomId(): number {
  return crypto.getRandomValues(id)[0]!;
}

/** Returns the host name of this machine; undefined if it has none. */
export function machineName(): string | undefined {
  return hostname() || undefined;
}

/**
 * Reports whether getaddrinfo must do all lookups: on macOS, and if a variable is set
 * that only the C library supports.
 *
 * @see Go net/conf.go, initConfVal
 */
export function prefersGetaddrinfo(environment: Readonly<Record<string, string | undefined>>) {
  const { LOCALDOMAIN, RES_OPTIONS, HOSTALIASES } = environment;
  return isDarwin || LOCALDOMAIN !== undefined || Boolean(RES_OPTIONS || HOSTALIASES);
}

/**
 * Returns the maximum number of concurrent getaddrinfo calls. Each call occupies a thread
 * of Bun's pool, which also reads files, so at least one thread stays free.
 */
export function getaddrinfoLimit(environment: Readonly<Record<string, string | undefined>>) {
  const { UV_THREADPOOL_SIZE, GOMAXPROCS } = environment;
  // Bun 1.4.5 sizes its pool in this way, but starts at least two threads.
  const threads = Number(UV_THREADPOOL_SIZE) || Number(GOMAXPROCS) || availableParallelism();
  return Math.max(1, Math.min(4, threads - 1));
}

/**
 * Looks up a host with the C library, which also sorts the addresses. Returns at least
 * one. The call cannot be cancelled and occupies a thread until it ends.
 *
 * @throws {Error} with a `code` such as ENOTFOUND.
 */
export async function getaddrinfo(host: string): Promise<readonly string[]> {
  // Imported on first use: node:dns takes 3 MB and is seldom needed.
  const dns = await import("node:dns");
  const found = await dns.promises.lookup(host, { all: true, order: "verbatim" });
  return found.map(({ address }) => address);
}
