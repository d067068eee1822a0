// Caches a parsed system file and reads it again after a change. Checks for changes at most
// every five seconds, as Go does. Lookups wait at most a second for a file that hangs.
import type { Clock } from "../core/clock.ts";
import { codeOf } from "./result.ts";
import type { FileReader } from "./transport.ts";

// The interval that Go uses (net/dnsclient_unix.go, net/nss.go, net/hosts.go).
const CHECK_INTERVAL_MS = 5000;

// How long lookups wait for a hanging file system. After that they use the cached value.
const READ_TIMEOUT_MS = 1000;

/** The text of a file, or the error code of the failed read. */
export type FileText = { readonly text: string } | { readonly code: string };

/** Reports whether an error means that the file does not exist or must not be read by this process. */
export function isAbsent(code: string): boolean {
  return code === "ENOENT" || code === "EACCES" || code === "EPERM";
}

export interface CachedFileOptions<T> {
  readonly path: string;
  /** Converts the text, or the failure to read it, to a value. */
  readonly parse: (file: FileText) => T;
  /** Reports whether a value is final, so that the file is never checked again. */
  readonly isFinal?: (value: T) => boolean;
  readonly files: FileReader;
  readonly clock: Clock;
}

export class CachedFile<T> {
  readonly #options: CachedFileOptions<T>;
  /** The version of the file that `#value` is from, or an error code. Undefined before the first read. */
  #version: string | undefined;
  #value: T;
  #checkedAt = Number.NEGATIVE_INFINITY;
  /** The check in progress. */
  #check: Promise<void> | undefined;
  /** Whether the check in progress has exceeded the timeout, so that lookups no longer wait for it. */
  #isHanging = false;

  /** Reads nothing; the first `refresh` does. */
  constructor(options: CachedFileOptions<T>) {
    this.#options = options;
    this.#value = options.parse({ code: "ETIMEDOUT" });
  }

  /** The parsed file as of the last check. */
  get value(): T {
    return this.#value;
  }

  /** Whether the file was checked within the last five seconds, so that `value` needs no refresh. */
  get isFresh(): boolean {
    if (this.#version !== undefined && this.#options.isFinal?.(this.#value) === true) return true;
    return this.#options.clock.now() - this.#checkedAt < CHECK_INTERVAL_MS;
  }

  /** Checks the file if a check is due. Resolves when `value` may be used. */
  async refresh(): Promise<void> {
    if (this.isFresh || this.#isHanging) return;
    this.#check ??= this.#checkFile().finally(() => {
      this.#check = undefined;
      this.#isHanging = false;
    });

    const { promise, resolve } = Promise.withResolvers<void>();
    const cancelTimer = this.#options.clock.after(READ_TIMEOUT_MS, () => {
      this.#isHanging = true;
      resolve();
    });
    await Promise.race([this.#check, promise]);
    cancelTimer();
  }

  async #checkFile(): Promise<void> {
    const { path, files, clock, parse } = this.#options;
    try {
      // The version is read first, so that the next check detects a change made in between.
      const version = await files.version(path);
      if (version !== this.#version) this.#value = parse({ text: await files.read(path) });
      this.#version = version;
    } catch (error) {
      const code = codeOf(error);
      // A temporary error, such as a lack of descriptors, does not replace an earlier value.
      const isDefinite = this.#version === undefined || isAbsent(code);
      if (isDefinite && code !== this.#version) {
        this.#value = parse({ code });
        this.#version = code;
      }
    }
    this.#checkedAt = clock.now();
  }
}
