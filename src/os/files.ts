// Reads files that the user names. Such a file may be a pipe without a writer, or on a
// mount that hangs, so each read has a deadline and never blocks the event loop.
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { sleep, systemClock } from "./clock.ts";

const DEADLINE_MS = 10_000;
const RETRY_MS = 20;

// Far more than any config or CA file has; a device may be endless, and the wrong
// file huge.
const MAX_BYTES = 16 << 20;

// Each read may occupy a thread of the pool (os/thread-pool.ts) until its mount responds.
const MAX_READS = 8;

interface Read {
  readonly bytes: Promise<Buffer>;
  /** Whether a caller has stopped waiting. The bytes may then be out of date. */
  isLate: boolean;
}

/** Pending reads by path, so that a mount that hangs occupies only one thread for each path. */
const reads = new Map<string, Read>();

/** Reads a file as UTF-8 text, like `readBinaryFile`. */
export async function readTextFile(path: string, timeoutMs = DEADLINE_MS): Promise<string> {
  return (await readBinaryFile(path, timeoutMs)).toString("utf8");
}

/**
 * Reads a file. Concurrent callers share one read of a path, and its bytes. If that read
 * has already timed out for a caller, later callers wait for its end and read again.
 *
 * @throws {Error} with a `code` such as ENOENT; ETIMEDOUT after `timeoutMs`; EBUSY if
 *   too many reads of other paths are pending; EFBIG above 16 MiB.
 */
export async function readBinaryFile(path: string, timeoutMs = DEADLINE_MS): Promise<Buffer> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  let isWaiting = true;
  const cancelDeadline = systemClock.after(timeoutMs, () => {
    isWaiting = false;
    const read = reads.get(path);
    if (read !== undefined) read.isLate = true;
    reject(failure("ETIMEDOUT"));
  });
  const share = async (): Promise<Buffer> => {
    const read = reads.get(path) ?? startRead(path, timeoutMs);
    if (!read.isLate) return await read.bytes;
    await read.bytes.catch(() => {});
    return isWaiting ? await share() : Buffer.alloc(0);
  };
  try {
    return await Promise.race([share(), late]);
  } finally {
    cancelDeadline();
  }
}

function startRead(path: string, timeoutMs: number): Read {
  if (reads.size >= MAX_READS) throw failure("EBUSY");
  const bytes = readWhole(path, timeoutMs).finally(() => reads.delete(path));
  bytes.catch(() => {}); // every caller may have stopped waiting
  const read = { bytes, isLate: false };
  reads.set(path, read);
  return read;
}

async function readWhole(path: string, timeoutMs: number): Promise<Buffer> {
  // Without O_NONBLOCK, opening a FIFO waits for a writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (stat.size > MAX_BYTES) throw failure("EFBIG");
    if (stat.isFile() || stat.isDirectory()) return await file.readFile();
    return await readStream(file, stat.isFIFO(), timeoutMs);
  } finally {
    await file.close();
  }
}

/** Reads a pipe or device to its end. An empty pipe is read again: its writer may not have opened it yet. */
async function readStream(file: FileHandle, isPipe: boolean, timeoutMs: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const chunk = Buffer.alloc(1 << 16);
  let total = 0;
  const deadline = systemClock.now() + timeoutMs;
  while (systemClock.now() < deadline) {
    const bytes = await readSome(file, chunk);
    if (bytes === 0 && (total > 0 || !isPipe)) return Buffer.concat(chunks);
    if (bytes === 0 || bytes === undefined) {
      await sleep(RETRY_MS);
      continue;
    }
    chunks.push(Buffer.from(chunk.subarray(0, bytes)));
    total += bytes;
    if (total > MAX_BYTES) throw failure("EFBIG");
  }
  throw failure("ETIMEDOUT");
}

/** Returns the number of bytes read: 0 at the end, undefined if none are available yet. */
async function readSome(file: FileHandle, into: Buffer): Promise<number | undefined> {
  try {
    return (await file.read(into, 0, into.length, null)).bytesRead;
  } catch (error) {
    if ((error as { code?: string }).code === "EAGAIN") return undefined;
    throw error;
  }
}

function failure(code: string): Error & { code: string } {
  return Object.assign(new Error(code), { code });
}
