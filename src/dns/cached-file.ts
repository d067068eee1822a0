// A file of the machine in parsed form, read again when it has changed: looked
// at every five seconds at most, as Go does, and never in the way of a lookup.
import type { Clock } from "../core/clock.ts";
import { codeOf } from "./result.ts";
import type { FileReader } from "./transport.ts";

/** Go's (net/dnsclient_unix.go, net/nss.go, net/hosts.go). */
const CHECK_INTERVAL_MS = 5000;

// A file system that does not answer delays one lookup by this, and none after it.
const READ_TIMEOUT_MS = 1000;

/** The text of a file, or the code of the error with which it could not be read. */
export type FileText = { readonly text: string } | { readonly code: string };

/** Returns whether an error says that the file does not exist, or not for this process. */
export function isAbsent(code: string): boolean {
  return code === "ENOENT" || code === "EACCES" || code === "EPERM";
}

export interface CachedFileOptions<T> {
  readonly path: string;
  readonly parse: (file: FileText) => T;
  /** Whether a value is final: the file is not looked at again. */
  readonly isFinal?: (value: T) => boolean;
  readonly files: FileReader;
  readonly clock: Clock;
}

export class CachedFile<T> {
  readonly #options: CachedFileOptions<T>;
  /** Of the value; undefined until the file has been read. */
  #version: string | undefined;
  #value: T;
  #checkedAt = Number.NEGATIVE_INFINITY;
  /** Set while the file is looked at. */
  #check: Promise<void> | undefined;
  /** Whether that takes longer than any lookup waits for. */
  #isHanging = false;

  /** Stores; nothing is read before the first `refresh`. */
  constructor(options: CachedFileOptions<T>) {
    this.#options = options;
    this.#value = options.parse({ code: "ETIMEDOUT" });
  }

  /** What the file says, as of the last look at it. */
  get value(): T {
    return this.#value;
  }

  /** Whether the file was looked at within the last seconds, so that `value` may be used at once. */
  get isFresh(): boolean {
    if (this.#version !== undefined && this.#options.isFinal?.(this.#value) === true) return true;
    return this.#options.clock.now() - this.#checkedAt < CHECK_INTERVAL_MS;
  }

  /** Looks at the file if that is due; resolves when `value` may be used. */
  async refresh(): Promise<void> {
    if (this.isFresh || this.#isHanging) return;
    this.#check ??= this.#look().finally(() => {
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

  async #look(): Promise<void> {
    const { path, files, clock, parse } = this.#options;
    try {
      // Before the text: what is written in between differs from it at the next look.
      const version = await files.version(path);
      if (version !== this.#version) this.#value = parse({ text: await files.read(path) });
      this.#version = version;
    } catch (error) {
      const code = codeOf(error);
      // Descriptors may have run out: what was read before still holds then.
      const isNews = this.#version === undefined || isAbsent(code);
      if (isNews && code !== this.#version) {
        this.#value = parse({ code });
        this.#version = code;
      }
    }
    this.#checkedAt = clock.now();
  }
}
