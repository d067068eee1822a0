// The process itself: its standard streams, signals, exit status and identity.
import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { closeDescription, reopenNonBlocking } from "./own-description.ts";

// The total wait for a slow reader. After it, the rest of the text is dropped.
const ERROR_WAIT_MS = 2000;
const ERROR_RETRY_MS = 10;

/**
 * Writes text to standard error. If that is a pipe or terminal, waits up to two seconds for
 * a slow reader. Never throws: a missing reader is not our fault. For a process that is
 * about to end; a serving process uses os/log-stream.ts.
 */
export function writeError(text: string): void {
  const ownFd = reopenNonBlocking(2);
  let bytes: Uint8Array | undefined = Buffer.from(text);
  let tries = ERROR_WAIT_MS / ERROR_RETRY_MS;

  while (bytes !== undefined && tries > 0) {
    try {
      bytes = writeSome(ownFd ?? 2, bytes);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") break;
      tries--;
      Bun.sleepSync(ERROR_RETRY_MS);
    }
  }
  closeDescription(ownFd);
}

/** Writes once, and returns the bytes that remain; undefined if none do. */
function writeSome(fd: number, bytes: Uint8Array): Uint8Array | undefined {
  const written = writeSync(fd, bytes);
  return written < bytes.length ? bytes.subarray(written) : undefined;
}

/**
 * Writes all of the text to standard output. Returns false if the reader is gone. Any
 * other failure, such as a full disk, ends the process with status 1, because truncated
 * output must not look complete.
 */
export function writeOutput(text: string): boolean {
  let bytes: Uint8Array | undefined = Buffer.from(text);
  while (bytes !== undefined) {
    try {
      bytes = writeSome(1, bytes);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EPIPE") return false;
      if (code !== "EAGAIN") {
        writeError(`etcd-gateway: Cannot write to standard output: ${code}\n`);
        process.exit(1);
      }
      Bun.sleepSync(1); // a non-blocking pipe that is full
    }
  }
  return true;
}

// isatty instead of process.stdout and process.stderr: reading either property makes Bun
// set O_NONBLOCK on a file description that other programs share.

/** Reports whether standard output is a terminal. */
export function isOutputTerminal(): boolean {
  return isatty(1);
}

/** Reports whether standard error is a terminal. */
export function isErrorTerminal(): boolean {
  return isatty(2);
}

const STOP_SIGNALS = ["SIGTERM", "SIGINT"] as const;

/** Catches SIGTERM and SIGINT from construction until `close`. */
export class StopSignals {
  #deliver: (signal: string) => void = () => {};
  readonly #onSignal = (signal: string) => this.#deliver(signal);

  constructor() {
    for (const signal of STOP_SIGNALS) process.on(signal, this.#onSignal);
  }

  /** Resolves with the name of the next signal. Signals that arrive while no call is pending are ignored. */
  next(): Promise<string> {
    return new Promise((resolve) => {
      this.#deliver = resolve;
    });
  }

  close(): void {
    for (const signal of STOP_SIGNALS) process.off(signal, this.#onSignal);
  }
}

/** Calls `handler` for each SIGHUP. The function returned removes the handler. */
export function onHangup(handler: () => void): () => void {
  process.on("SIGHUP", handler);
  return () => process.off("SIGHUP", handler);
}

/** Ends the process immediately with `status`. */
export function exit(status: number): never {
  process.exit(status);
}

/** Calls `handler` for each uncaught exception, in place of Bun's stack trace. */
export function onUncaught(handler: (error: unknown) => void): void {
  process.on("uncaughtException", handler);
  process.on("unhandledRejection", handler);
}

export const processId = process.pid;

/** The runtime and platform, for the version output: `Bun 1.4.5 linux/x64`. */
export const platform = `Bun ${Bun.version} ${process.platform}/${process.arch}`;
