// What the process itself offers: its streams, its signals, its addresses.
import { writeSync } from "node:fs";

/**
 * Writes a line to standard error, whole or not at all. Never throws: a log
 * whose reader is gone or does not read must not end the gateway.
 */
export function writeError(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // EPIPE or EAGAIN: there is nobody left to tell.
  }
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

/** What this binary runs on, for the version: `Bun 1.4.5 linux/x64`. */
export const platform = `Bun ${Bun.version} ${process.platform}/${process.arch}`;
