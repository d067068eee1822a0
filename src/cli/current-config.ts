// The configuration in force, and how it is read again. It does not apply a change to a
// running program.
import { withoutSecrets } from "../core/address.ts";
import { UsageError } from "../core/usage-error.ts";
import type { ConfigOf, FlagTable } from "./flag.ts";
import { type ConfigSource, loadConfig } from "./load-config.ts";
import { keepFixed, type ReadConfig } from "./read-config.ts";

export class CurrentConfig<Table extends FlagTable> {
  readonly #flags: Table;
  readonly #source: ConfigSource;
  #current: ReadConfig<Table>;

  private constructor(flags: Table, source: ConfigSource, current: ReadConfig<Table>) {
    this.#flags = flags;
    this.#source = source;
    this.#current = current;
  }

  /**
   * Reads the configuration for the first time.
   *
   * @throws {StartError} if the config file cannot be read.
   * @throws {UsageError} for an invalid flag, variable or config file.
   */
  static async load<Table extends FlagTable>(
    flags: Table,
    source: ConfigSource,
  ): Promise<CurrentConfig<Table>> {
    return new CurrentConfig(flags, source, await loadConfig(flags, source));
  }

  get config(): ConfigOf<Table> {
    return this.#current.config;
  }

  get warnings(): readonly string[] {
    return this.#current.warnings;
  }

  /** Returns the text of each flag that is set, or of its default, without secrets. */
  texts(): Record<string, string> {
    const texts: Readonly<Record<string, string | undefined>> = this.#current.texts;
    const pairs = Object.entries(this.#flags).flatMap(([name, { isSecret }]) => {
      const text = texts[name];
      if (text === undefined) return [];
      return [[name, isSecret ? "(not shown)" : withoutSecrets(text)]];
    });
    return Object.fromEntries(pairs);
  }

  /**
   * Reads the configuration again, and returns what a reload changes. The one in force
   * stays until `commit` is called.
   *
   * @throws {StartError | UsageError} as `load`, and if the config file has become empty.
   */
  async reread() {
    const current = this.#current;
    const read = await loadConfig(this.#flags, this.#source);
    // Most likely the file is half-written: an empty file is not how operators reset flags.
    if (read.fileKeys === 0 && current.fileKeys > 0)
      throw new UsageError(`Cannot use --config-file "${read.values["config-file"]}": it is empty`);

    const different = Object.entries(this.#flags).filter(
      ([name]) => JSON.stringify(read.values[name]) !== JSON.stringify(current.values[name]),
    );
    const dashed = (rows: typeof different) => rows.map(([name]) => `--${name}`);
    const next = keepFixed(this.#flags, read, current);
    return {
      /** With the fixed values of the configuration in force. */
      config: next.config,
      warnings: read.warnings,
      changed: dashed(different.filter(([, { isFixed }]) => !isFixed)),
      /** Take effect after a restart. */
      needRestart: dashed(different.filter(([, { isFixed }]) => isFixed)),
      commit: () => {
        this.#current = next;
      },
    };
  }
}
