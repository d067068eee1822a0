// Reads a configuration: the flag wins over the variable, the variable over the config
// file, the file over the default. A flag table lists the flags.
import { withoutSecrets } from "../core/address.ts";
import { StartError } from "../core/start-error.ts";
import { UsageError } from "../core/usage-error.ts";
import { buildConfig, checkRules, withFixedValues } from "./build-config.ts";
import { parseConfigFile } from "./config-file.ts";
import { flagWarnings, idleFlags, unknownVariables } from "./config-warnings.ts";
import { escapeControlCharacters, whyNotPlain } from "./control-characters.ts";
import { whyNotRead } from "./file-error.ts";
import {
  type ConfigOf,
  type Flag,
  type FlagName,
  type FlagTable,
  type FlagValues,
  fixedFlags,
  variableOf,
} from "./flag.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where text is read from. The config file is named by one of the other two. */
export interface Input {
  readonly given: ReadonlyMap<string, string>;
  readonly environment: Environment;
  /** Reads a file; throws an error with a `code`. */
  readonly readFile: (path: string) => string;
  /** Flags of any command: their variables are not misspelt. Undefined: those of this one. */
  readonly knownFlags?: FlagTable;
}

export interface ReadConfig<Table extends FlagTable> {
  readonly config: ConfigOf<Table>;
  readonly values: FlagValues<Table>;
  /** Each value as it was written, or its default; secrets as well. */
  readonly texts: Readonly<Partial<Record<FlagName<Table>, string>>>;
  /** Number of keys in the config file; 0 without a file. */
  readonly fileKeys: number;
  /** To be logged: flags and variables that have no effect. */
  readonly warnings: readonly string[];
}

/**
 * Turns what was given into a configuration. An empty variable counts as not
 * set, as unit files and compose files write it.
 *
 * @throws {UsageError} naming the flag, variable or file, the value and the wanted form.
 * @throws {StartError} if the config file cannot be read.
 */
export function readConfig<Table extends FlagTable>(flags: Table, input: Input): ReadConfig<Table> {
  const path = configFilePath(flags, input);
  const file = path === undefined ? NO_FILE : readConfigFile(path, flags, input);
  const found = new Map(
    Object.entries(flags).map(([name, flag]) => [name, textOf(name, flag, input, file)]),
  );

  const parsed = [...found].map(([name, text]) => [name, valueOf(flags[name]!, text)]);
  const values = Object.fromEntries(parsed) as FlagValues<Table>;
  const texts = Object.fromEntries([...found].map(([name, text]) => [name, text?.text]));
  const isGiven = (name: string) => {
    const text = found.get(name);
    return text !== undefined && text.source !== "default";
  };
  checkRules(flags, values, texts);

  return {
    values,
    texts: texts as ReadConfig<Table>["texts"],
    fileKeys: file.texts.size,
    config: buildConfig(flags, values, isGiven),
    warnings: [
      ...idleFlags(flags, values, isGiven),
      ...flagWarnings(flags, values),
      ...unknownVariables(input.knownFlags ?? flags, input.environment),
    ],
  };
}

/** Returns `next` with the fixed flags as in `current`: only a restart changes them. */
export function keepFixed<Table extends FlagTable>(
  flags: Table,
  next: ReadConfig<Table>,
  current: ReadConfig<Table>,
): ReadConfig<Table> {
  const fixed = fixedFlags(flags);
  const only = (of: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(fixed.map((name) => [name, of[name]]));
  return {
    ...next,
    config: withFixedValues(flags, next.config, current.config),
    values: { ...next.values, ...only(current.values) },
    texts: { ...next.texts, ...only(current.texts) },
  };
}

/** Returns the path of the config file; undefined if none is named. */
export function configFilePath(
  flags: FlagTable,
  input: Pick<Input, "given" | "environment">,
): string | undefined {
  const flag = flags[CONFIG_FILE];
  return flag && textOf(CONFIG_FILE, flag, input, NO_FILE)?.text;
}

const CONFIG_FILE = "config-file";

/** The config file, read and split. */
interface ConfigFile {
  readonly path: string;
  readonly texts: ReadonlyMap<string, string>;
}

const NO_FILE: ConfigFile = { path: "", texts: new Map() };

function readConfigFile(
  path: string,
  flags: FlagTable,
  { readFile, knownFlags }: Input,
): ConfigFile {
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    throw new StartError(`Cannot read --config-file "${path}": ${whyNotRead(error)}`, {
      cause: error,
    });
  }
  return { path, texts: parseConfigFile(text, path, { flags, knownFlags }) };
}

interface Text {
  readonly text: string;
  /** In words for an error. */
  readonly source: string;
}

function textOf(
  name: string,
  flag: Flag<unknown>,
  { given, environment }: Pick<Input, "given" | "environment">,
  { path, texts }: ConfigFile,
): Text | undefined {
  const fallback = flag.default;
  const variable = variableOf(name);
  const fromFlag = given.get(name);
  // A flag without a default may be given empty, as etcd takes --discovery-srv="".
  if (fromFlag === "" && fallback === undefined && !flag.takesEmpty) return undefined;
  if (fromFlag !== undefined) return plainText(flag, { text: fromFlag, source: `--${name}` });
  const fromVariable = environment[variable];
  if (fromVariable)
    return plainText(flag, { text: fromVariable, source: `${variable} (--${name})` });
  const fromFile = texts.get(name);
  if (fromFile !== undefined) return { text: fromFile, source: `${name} in ${path}` };
  return fallback === undefined ? undefined : { text: fallback, source: "default" };
}

/** The config file's own parser has checked what comes from there. */
function plainText(flag: Flag<unknown>, found: Text): Text {
  const fault = whyNotPlain(found.text);
  if (fault !== undefined) throw cannotParse(flag, found, fault);
  return found;
}

function cannotParse(
  { isSecret }: Flag<unknown>,
  { text, source }: Text,
  fact: string,
): UsageError {
  // Escaped first: a line break in a URL's password would hide its end from withoutSecrets.
  const quoted = isSecret ? "" : ` "${withoutSecrets(escapeControlCharacters(text))}"`;
  return new UsageError(`Cannot parse ${source}${quoted}: ${fact}`);
}

function valueOf(flag: Flag<unknown>, found: Text | undefined): unknown {
  if (found === undefined) return undefined;
  try {
    return flag.parse(found.text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw cannotParse(flag, found, `${error.message}, for example "${flag.example}"`);
  }
}
