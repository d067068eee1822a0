// Reads the config file, asynchronously and within a deadline, and then the
// configuration, with read-config.ts.
import type { FlagTable } from "./flag.ts";
import { configFilePath, type Input, type ReadConfig, readConfig } from "./read-config.ts";

/** Where a command's configuration comes from. */
export interface ConfigSource extends Omit<Input, "readFile"> {
  /** Reads a file within a deadline; rejects with a `code`. */
  readonly readFile: (path: string) => Promise<string>;
}

/**
 * Reads the config file, if one is named, and everything else.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} for an invalid flag, variable or config file.
 */
export async function loadConfig<Table extends FlagTable>(
  flags: Table,
  { readFile, ...source }: ConfigSource,
): Promise<ReadConfig<Table>> {
  const path = configFilePath(flags, source);
  if (path === undefined) return readConfig(flags, { ...source, readFile: () => "" });

  const read = await readFile(path).then(
    (text) => () => text,
    (error: unknown) => () => {
      throw error;
    },
  );
  return readConfig(flags, { ...source, readFile: read });
}
