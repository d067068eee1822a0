// The configuration as a command reads it: read-config.ts does the work, once
// the config file's text is here.
import type { ReadConfig } from "./read-config.ts";
import { configFilePath, type Input, readConfig } from "./read-config.ts";

/** Where a command's configuration comes from. */
export interface ConfigSource extends Omit<Input, "readFile"> {
  /** Reads a file within a deadline; rejects with a `code`. */
  readonly readFile: (path: string) => Promise<string>;
}

/**
 * Reads the config file, if one is named, and everything else.
 *
 * @throws {StartError} if the config file cannot be read.
 * @throws {UsageError} for what a flag, variable or config file has wrong.
 */
export async function loadConfig({ readFile, ...source }: ConfigSource): Promise<ReadConfig> {
  const path = configFilePath(source);
  if (path === undefined) return readConfig({ ...source, readFile: () => "" });
  const read = await readFile(path).then(
    (text) => () => text,
    (error: unknown) => () => {
      throw error;
    },
  );
  return readConfig({ ...source, readFile: read });
}
