// What the machine lends to the stub resolver: its files, its name, random
// numbers, and getaddrinfo for sources that only the C library knows.
import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { availableParallelism, hostname } from "node:os";
import { isDarwin } from "./abi.ts";

export { exchangeTcp, exchangeUdp } from "./dns-sockets.ts";
export { sourceAddress } from "./tcp.ts";

// Larger than any list of blocked names in use; what comes after it is not read.
const MAX_FILE_BYTES = 16 << 20;

/** Resolves with a text that differs when the file has changed. Rejects with a `code` such as ENOENT. */
export async function fileVersion(path: string): Promise<string> {
  const { mtimeNs, size, ino } = await stat(path, { bigint: true });
  return `${ino} ${mtimeNs} ${size}`;
}

/** Reads the first 16 MiB of a file as UTF-8 text. Rejects with a `code` such as ENOENT. */
export async function readFileStart(path: string): Promise<string> {
  // Without O_NONBLOCK a FIFO in the file's place would hold a thread of the pool for good.
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

/** Returns a number from 0 to 65535 that cannot be predicted. */
export function randomId(): number {
  return crypto.getRandomValues(id)[0]!;
}

/** Returns the name of this machine; undefined if it has none. */
export function machineName(): string | undefined {
  return hostname() || undefined;
}

/**
 * Returns whether getaddrinfo does all lookups: on macOS, and where variables are set
 * that only the C library obeys.
 *
 * @see Go net/conf.go, initConfVal
 */
export function prefersGetaddrinfo(environment: Readonly<Record<string, string | undefined>>) {
  const { LOCALDOMAIN, RES_OPTIONS, HOSTALIASES } = environment;
  return isDarwin || LOCALDOMAIN !== undefined || Boolean(RES_OPTIONS || HOSTALIASES);
}

/**
 * Returns how many calls of getaddrinfo may be under way. Each holds a thread of
 * Bun's pool, which reads files too and of which one is always left.
 */
export function getaddrinfoLimit(environment: Readonly<Record<string, string | undefined>>) {
  const { UV_THREADPOOL_SIZE, GOMAXPROCS } = environment;
  // As Bun 1.4.5 counts its threads: never fewer than two.
  const threads = Number(UV_THREADPOOL_SIZE) || Number(GOMAXPROCS) || availableParallelism();
  return Math.max(1, Math.min(4, threads - 1));
}

/**
 * Looks a host up as the C library does, which also sorts its addresses; at least
 * one. Cannot be cancelled, and holds a thread until it ends.
 *
 * @throws {Error} with a `code` such as ENOTFOUND.
 */
export async function getaddrinfo(host: string): Promise<readonly string[]> {
  // Loaded when it is needed, which it seldom is: it takes 3 MB.
  const dns = await import("node:dns");
  const found = await dns.promises.lookup(host, { all: true, order: "verbatim" });
  return found.map(({ address }) => address);
}
