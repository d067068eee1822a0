// Files whose content makes one value, read again to detect changes. Who calls `refresh`
// decides how often.
import { readBinaryFile } from "./files.ts";

export interface WatchedFilesOptions<T> {
  readonly paths: readonly string[];
  /** Makes the value from the contents, in the order of `paths`. May throw. */
  readonly parse: (contents: readonly Buffer[]) => T;
  /** Converts the error of a failed read. */
  readonly readError: (path: string, code: string) => Error;
}

interface Failure {
  readonly contents: readonly Buffer[];
  readonly error: unknown;
}

export class WatchedFiles<T> {
  readonly #options: WatchedFilesOptions<T>;
  #contents: readonly Buffer[] | undefined;
  #value: T | undefined;
  /** The last contents that could not be parsed, so that they are not parsed again. */
  #failure: Failure | undefined;

  constructor(options: WatchedFilesOptions<T>) {
    this.#options = options;
  }

  /** The value of the last contents that could be parsed; undefined before the first. */
  get value(): T | undefined {
    return this.#value;
  }

  /**
   * Reads the files, within ten seconds, and returns whether `value` was replaced. If a
   * file cannot be read or parsed, `value` stays.
   *
   * @throws {Error} of `readError` or `parse`.
   */
  async refresh(): Promise<boolean> {
    const contents = await Promise.all(this.#options.paths.map((path) => this.#read(path)));
    if (isSame(contents, this.#contents)) return false;
    if (this.#failure !== undefined && isSame(contents, this.#failure.contents))
      throw this.#failure.error;

    try {
      this.#value = this.#options.parse(contents);
    } catch (error) {
      this.#failure = { contents, error };
      throw error;
    }
    this.#contents = contents;
    this.#failure = undefined;
    return true;
  }

  async #read(path: string): Promise<Buffer> {
    try {
      return await readBinaryFile(path);
    } catch (error) {
      throw this.#options.readError(path, (error as { code?: string }).code ?? String(error));
    }
  }
}

function isSame(a: readonly Buffer[], b: readonly Buffer[] | undefined): boolean {
  return b !== undefined && a.every((content, i) => content.equals(b[i]!));
}
