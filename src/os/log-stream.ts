// Standard error as the log of a gateway that serves: no write waits for a
// reader, a terminal or a disk, and no line is cut or out of order.
import { fstatSync, write, writeSync } from "node:fs";
import { abi } from "./abi.ts";
import { sleep } from "./clock.ts";
import { lastError, libc, SystemCallError } from "./libc.ts";
import { closeDescription, reopenNonBlocking } from "./own-description.ts";

export interface LogStream {
  /** Takes a line whole or not at all, and returns whether it did. Never throws, never waits. */
  write(line: string): boolean;
  /** Resolves once all lines are written and there is room for another, after `timeoutMs` at the latest. */
  flush(timeoutMs: number): Promise<void>;
  /** Gives up what is not written. May be called twice. */
  close(): void;
}

/** The log on a descriptor, which stays the caller's and keeps its flags. */
export function openLogStream(fd: number): LogStream {
  return isDiskFile(fd) ? new FileLog(fd) : new PipeLog(fd);
}

function isDiskFile(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isFile() || stat.isBlockDevice();
  } catch {
    return false;
  }
}

const RETRY_MS = 10;

async function waitUntil(isDone: () => boolean, timeoutMs: number): Promise<void> {
  const tries = Math.ceil(timeoutMs / RETRY_MS);
  for (let i = 0; i < tries && !isDone(); i++) await sleep(RETRY_MS);
}

/** A pipe, terminal or socket: takes bytes at once, or has no room. */
export class PipeLog implements LogStream {
  readonly #fd: number;
  readonly #own: number | undefined;
  readonly #isSocket: boolean;
  /** What has not been taken of the last line. */
  #tail: Uint8Array | undefined;
  #isClosed = false;

  constructor(fd: number, reopen = reopenNonBlocking) {
    this.#fd = fd;
    this.#own = reopen(fd);
    this.#isSocket = this.#own === undefined && isSocket(fd);
  }

  write(line: string): boolean {
    if (this.#isClosed) return false;
    try {
      this.#retryTail();
      if (this.#tail !== undefined) return false;
      const bytes = Buffer.from(line);
      const written = this.#writeSome(bytes);
      if (written === 0) return false;
      if (written < bytes.length) this.#tail = bytes.subarray(written);
      return true;
    } catch {
      return false; // the reader is gone
    }
  }

  flush(timeoutMs: number): Promise<void> {
    return waitUntil(() => this.#isReady(), timeoutMs);
  }

  close(): void {
    if (!this.#isClosed) closeDescription(this.#own);
    this.#isClosed = true;
  }

  #isReady(): boolean {
    try {
      if (!this.#isClosed) this.#retryTail();
      return this.#isClosed || (this.#tail === undefined && hasRoom(this.#own ?? this.#fd));
    } catch {
      return true; // the reader is gone, and waiting cannot help
    }
  }

  #retryTail(): void {
    if (this.#tail === undefined) return;
    const rest = this.#tail.subarray(this.#writeSome(this.#tail));
    this.#tail = rest.length > 0 ? rest : undefined;
  }

  /** Writes as much as there is room for now, and returns how many bytes that was. */
  #writeSome(bytes: Uint8Array): number {
    if (this.#own !== undefined) return writeOrNone(this.#own, bytes);
    if (this.#isSocket) return sendOrNone(this.#fd, bytes);
    // Blocking, perhaps: as much as surely fits, for as long as there is room.
    let written = 0;
    while (written < bytes.length && hasRoom(this.#fd)) {
      const count = writeOrNone(this.#fd, bytes.subarray(written, written + PIPE_BUF));
      if (count === 0) break;
      written += count;
    }
    return written;
  }
}

// A pipe that poll(2) calls writable has room for as much (pipe(7)).
const PIPE_BUF = 4096;
const POLLOUT = 4;

/** Also true where the reader is gone, so that the write reports it. */
function hasRoom(fd: number): boolean {
  const request = new Int32Array([fd, POLLOUT]); // struct pollfd
  return libc.poll(request, 1, 0) > 0;
}

function writeOrNone(fd: number, bytes: Uint8Array): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    if ((error as { code?: string }).code === "EAGAIN") return 0;
    throw error;
  }
}

function sendOrNone(fd: number, bytes: Uint8Array): number {
  const sent = Number(libc.sendto(fd, bytes, bytes.length, abi.MSG_DONTWAIT, null, 0));
  if (sent >= 0) return sent;
  const code = lastError();
  if (code === "EAGAIN") return 0;
  throw new SystemCallError("send", code);
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}

/** Starts a write of all bytes; `done` hears how many were written, or why none was. */
export type StartWrite = (
  bytes: Uint8Array,
  done: (error: Error | null, written: number) => void,
) => void;

// Some seconds of a log that is busy; after that lines are dropped.
const MAX_QUEUED_BYTES = 1 << 20;

/**
 * A file, whose disk or mount may hang: written by another thread, one write at
 * a time, from a bounded queue.
 */
export class FileLog implements LogStream {
  readonly #startWrite: StartWrite;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isWriting = false;
  #isClosed = false;

  constructor(fd: number, startWrite: StartWrite = (bytes, done) => write(fd, bytes, done)) {
    this.#startWrite = startWrite;
  }

  write(line: string): boolean {
    const bytes = Buffer.from(line);
    if (this.#isClosed || this.#queuedBytes + bytes.length > MAX_QUEUED_BYTES) {
      this.#writeQueue(); // a disk that was full may have room again
      return false;
    }
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#writeQueue();
    return true;
  }

  async flush(timeoutMs: number): Promise<void> {
    await waitUntil(() => this.#queuedBytes === 0, timeoutMs);
  }

  close(): void {
    this.#isClosed = true;
  }

  #writeQueue(): void {
    if (this.#isWriting || this.#isClosed || this.#queuedBytes === 0) return;
    const batch = Buffer.concat(this.#queue);
    this.#queue = [batch];
    this.#isWriting = true;
    this.#startWrite(batch, (error, written = 0) => {
      this.#isWriting = false;
      const rest = error === null ? batch.subarray(written) : batch;
      this.#queue[0] = rest;
      this.#queuedBytes -= batch.length - rest.length;
      // After an error the next line tries again.
      if (error === null) this.#writeQueue();
    });
  }
}
