// Writes the log of a serving gateway to standard error. A write never waits for a
// reader, a terminal or a disk, and lines are never truncated or reordered.
import { fstatSync, write, writeSync } from "node:fs";
import { abi } from "./abi.ts";
import { sleep } from "./clock.ts";
import { lastError, libc, SystemCallError } from "./libc.ts";
import { closeDescription, reopenNonBlocking } from "./own-description.ts";

export interface LogStream {
  /** Accepts a whole line or drops it; returns whether it was accepted. Never throws, never waits. */
  write(line: string): boolean;
  /** Resolves once all accepted lines are written and there is room for another, or after `timeoutMs`. */
  flush(timeoutMs: number): Promise<void>;
  /** Discards lines that are not written yet. May be called twice. */
  close(): void;
}

/** Opens the log on a descriptor. The caller keeps the descriptor, whose flags do not change. */
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

/** Logs to a pipe, terminal or socket, which either takes bytes at once or has no room. */
export class PipeLog implements LogStream {
  readonly #fd: number;
  /** A non-blocking descriptor of our own for the same stream; undefined if it cannot be reopened. */
  readonly #ownFd: number | undefined;
  readonly #isSocket: boolean;
  /** The part of the last line that has not been written yet. */
  #pending: Uint8Array | undefined;
  #isClosed = false;

  constructor(fd: number, reopen = reopenNonBlocking) {
    this.#fd = fd;
    this.#ownFd = reopen(fd);
    this.#isSocket = this.#ownFd === undefined && isSocket(fd);
  }

  write(line: string): boolean {
    if (this.#isClosed) return false;
    try {
      this.#writePending();
      if (this.#pending !== undefined) return false;

      const bytes = Buffer.from(line);
      const written = this.#writeAvailable(bytes);
      if (written === 0) return false;
      if (written < bytes.length) this.#pending = bytes.subarray(written);
      return true;
    } catch {
      return false; // the reader is gone
    }
  }

  flush(timeoutMs: number): Promise<void> {
    return waitUntil(() => this.#isReady(), timeoutMs);
  }

  close(): void {
    if (!this.#isClosed) closeDescription(this.#ownFd);
    this.#isClosed = true;
  }

  #isReady(): boolean {
    try {
      if (!this.#isClosed) this.#writePending();
      return this.#isClosed || (this.#pending === undefined && hasRoom(this.#ownFd ?? this.#fd));
    } catch {
      return true; // the reader is gone, so waiting is useless
    }
  }

  #writePending(): void {
    if (this.#pending === undefined) return;
    const rest = this.#pending.subarray(this.#writeAvailable(this.#pending));
    this.#pending = rest.length > 0 ? rest : undefined;
  }

  /** Writes the bytes for which there is room, and returns their number. */
  #writeAvailable(bytes: Uint8Array): number {
    if (this.#ownFd !== undefined) return tryWrite(this.#ownFd, bytes);
    if (this.#isSocket) return trySend(this.#fd, bytes);

    // The descriptor may block: write only what is certain to fit, while there is room.
    let written = 0;
    while (written < bytes.length && hasRoom(this.#fd)) {
      const count = tryWrite(this.#fd, bytes.subarray(written, written + PIPE_BUF));
      if (count === 0) break;
      written += count;
    }
    return written;
  }
}

// A pipe that poll(2) reports as writable has room for this many bytes (pipe(7)).
const PIPE_BUF = 4096;
const POLLOUT = 4;

/** Reports whether a write would not block. Also true if the reader is gone; the write then fails. */
function hasRoom(fd: number): boolean {
  const request = new Int32Array([fd, POLLOUT]); // struct pollfd
  return libc.poll(request, 1, 0) > 0;
}

/** Returns the number of bytes written: 0 if a non-blocking descriptor has no room. */
function tryWrite(fd: number, bytes: Uint8Array): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    if ((error as { code?: string }).code === "EAGAIN") return 0;
    throw error;
  }
}

/** Returns the number of bytes sent without waiting: 0 if the socket has no room. */
function trySend(fd: number, bytes: Uint8Array): number {
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

/** Starts a write, and calls `done` with the number of bytes written or the error. */
export type StartWrite = (
  bytes: Uint8Array,
  done: (error: Error | null, written: number) => void,
) => void;

// Several seconds of a busy log. When the queue is full, lines are dropped.
const MAX_QUEUED_BYTES = 1 << 20;

/**
 * Logs to a file, whose disk or mount may hang: another thread writes it, one write at a
 * time, from a bounded queue.
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
      this.#writeQueue(); // the disk may have been full and have room again
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
      // After an error, the next line starts the next attempt.
      if (error === null) this.#writeQueue();
    });
  }
}
