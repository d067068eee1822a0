// What the process itself offers: its streams, its signals, its addresses.
import { writeSync } from "node:fs";

/** What a full pipe has not taken of the last line. */
let errorTail: Uint8Array | undefined;

/**
 * Writes a line to standard error, whole or not at all, and returns whether it
 * did: while a reader does not read, lines are dropped, but never cut. Never
 * throws: a log whose reader is gone must not end the gateway.
 */
export function writeError(line: string): boolean {
  try {
    if (errorTail !== undefined) errorTail = rest(2, errorTail);
    if (errorTail !== undefined) return false;
    errorTail = rest(2, Buffer.from(line));
    return true;
  } catch {
    return false; // EPIPE, or EAGAIN before the first byte
  }
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

/** Whether standard output is read by a person at a terminal. */
export function isOutputTerminal(): boolean {
  return process.stdout.isTTY === true;
}

/** Whether standard error is read by a person at a terminal. */
export function isErrorTerminal(): boolean {
  return process.stderr.isTTY === true;
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
