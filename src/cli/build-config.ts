// Builds a configuration from the values of flags, each in the place that its row names,
// and checks the rules between flags.
import { withoutSecrets } from "../core/address.ts";
import { UsageError } from "../core/usage-error.ts";
import type { ConfigOf, Flag, FlagTable, FlagValues } from "./flag.ts";

type Values = Readonly<Record<string, unknown>>;
type Texts = Readonly<Record<string, string | undefined>>;
type Section = Record<string, unknown>;

/** Returns the configuration. `isGiven` is false for a flag with its default. */
export function buildConfig<Table extends FlagTable>(
  flags: Table,
  values: FlagValues<Table>,
  isGiven: (name: string) => boolean,
): ConfigOf<Table> {
  const config: Section = {};
  for (const [name, flag] of Object.entries<Flag<unknown>>(flags))
    place(config, flag, configValue(flag, name, values, isGiven));

  for (const [name, { section, opensSection }] of Object.entries<Flag<unknown>>(flags))
    if (opensSection && values[name] === undefined) config[section!] = undefined;
  return config as ConfigOf<Table>;
}

/** Returns `config` with the values that the fixed flags have in `current`. */
export function withFixedValues<Table extends FlagTable>(
  flags: Table,
  config: ConfigOf<Table>,
  current: ConfigOf<Table>,
): ConfigOf<Table> {
  const fixed: Section = {};
  const from: Section = current;
  for (const { isFixed, key, section = key } of Object.values<Flag<unknown>>(flags))
    if (isFixed && section !== undefined) fixed[section] = from[section];
  return { ...config, ...fixed };
}

/**
 * Checks the rules between flags.
 *
 * @throws {UsageError} for half of a pair, or two values that exclude each other.
 */
export function checkRules(flags: FlagTable, values: Values, texts: Texts): void {
  for (const [name, flag] of Object.entries(flags)) {
    const value = values[name];
    if (value === undefined) continue;

    const { together } = flag;
    const quoted = flag.isSecret ? "" : ` "${withoutSecrets(texts[name]!)}"`;
    if (together !== undefined && values[together] === undefined)
      throw new UsageError(`Cannot use --${name}${quoted} alone: --${together} is missing`);

    const conflict = flag.conflict?.(value, values);
    if (conflict !== undefined) throw new UsageError(`Cannot use --${name}${quoted}: ${conflict}`);
  }
}

function configValue(
  { noDefaultWith, unset }: Flag<unknown>,
  name: string,
  values: Values,
  isGiven: (name: string) => boolean,
): unknown {
  const hasNoDefault = noDefaultWith !== undefined && values[noDefaultWith] !== undefined;
  return (hasNoDefault && !isGiven(name) ? undefined : values[name]) ?? unset;
}

function place(config: Section, { section, key }: Flag<unknown>, value: unknown): void {
  if (key === undefined) return;
  if (section === undefined) {
    config[key] = value;
    return;
  }
  const values = (config[section] ?? {}) as Section;
  values[key] = value;
  config[section] = values;
}
