// What the process itself offers: its streams, its signals, its addresses.
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { closeDescription, reopenNonBlocking } from "./own-description.ts";

// A reader that takes nothing for as long does not read at all.
const ERROR_WAIT_MS = 2000;
const ERROR_RETRY_MS = 10;

/**
 * Writes text to standard error and waits for a slow reader, for two seconds at
 * the most where that is a pipe or terminal. Never throws: a reader that is gone
 * is not our fault. For a process that ends; os/log-stream.ts is for one that serves.
 */
export function writeError(text: string): void {
  const own = reopenNonBlocking(2);
  let bytes: Uint8Array | undefined = Buffer.from(text);
  let tries = ERROR_WAIT_MS / ERROR_RETRY_MS;
  while (bytes !== undefined && tries > 0) {
    try {
      bytes = rest(own ?? 2, bytes);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") break;
      tries--;
      Bun.sleepSync(ERROR_RETRY_MS);
    }
  }
  closeDescription(own);
}

function rest(fd: number, bytes: Uint8Array): Uint8Array | undefined {
  const written = writeSync(fd, bytes);
  return written < bytes.length ? bytes.subarray(written) : undefined;
}

/**
 * Writes text to standard output, all of it. False if the reader is gone, who
 * wants no more. What cannot be written otherwise, as to a full disk, ends the
 * process with status 1: half of the text must not look like all of it.
 */
export function writeOutput(text: string): boolean {
  let bytes: Uint8Array | undefined = Buffer.from(text);
  while (bytes !== undefined) {
    try {
      bytes = rest(1, bytes);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EPIPE") return false;
      if (code !== "EAGAIN") {
        writeError(`etcd-gateway: Cannot write to standard output: ${code}\n`);
        process.exit(1);
      }
      Bun.sleepSync(1); // a pipe that does not block, and is full
    }
  }
  return true;
}

// Not process.stdout and process.stderr: a look at one makes Bun set O_NONBLOCK on
// a description that other programs share.

/** Whether standard output is read by a person at a terminal. */
export function isOutputTerminal(): boolean {
  return isatty(1);
}

/** Whether standard error is read by a person at a terminal. */
export function isErrorTerminal(): boolean {
  return isatty(2);
}

const STOP_SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Catches SIGTERM and SIGINT from its construction until `close`. */
export class StopSignals {
  #deliver: (signal: string) => void = () => {};
  readonly #onSignal = (signal: string) => this.#deliver(signal);

  constructor() {
    for (const signal of STOP_SIGNALS) process.on(signal, this.#onSignal);
  }

  /** Resolves with the name of the next signal. One that nobody waits for is lost. */
  next(): Promise<string> {
    return new Promise((resolve) => {
      this.#deliver = resolve;
    });
  }

  close(): void {
    for (const signal of STOP_SIGNALS) process.off(signal, this.#onSignal);
  }
}

/** Calls `handler` at each SIGHUP from now on; the function returned takes it back. */
export function onHangup(handler: () => void): () => void {
  process.on("SIGHUP", handler);
  return () => process.off("SIGHUP", handler);
}

/** Ends the process now with this status. */
export function exit(status: number): never {
  process.exit(status);
}

/** Calls `handler` for an exception that nothing caught, instead of a stack trace. */
export function onUncaught(handler: (error: unknown) => void): void {
  process.on("uncaughtException", handler);
  process.on("unhandledRejection", handler);
}

export const processId = process.pid;

/** What this binary runs on, for the version: `Bun 1.4.5 linux/x64`. */
export const platform = `Bun ${Bun.version} ${process.platform}/${process.arch}`;
