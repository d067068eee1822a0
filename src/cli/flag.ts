// What a row of a flag table holds, and the types that follow from it: the values of
// the flags, and the configuration. A flag that is in no table does not exist.

/**
 * One flag. `parse` throws a RangeError whose message is the fact alone.
 *
 * `section` and `key` are its place in the configuration: `config[section][key]`, or
 * `config[key]` without a section. A flag without a key is for the command itself.
 */
export interface Flag<T> {
  /** The placeholder of the value in help: `DURATION`. Empty: a switch. */
  readonly value: string;
  /** Text that is parsed when nothing was given; undefined: not set. */
  readonly default?: string;
  /** Another flag; if it is set, the default does not reach the configuration. */
  readonly noDefaultWith?: string;
  /** Value in the configuration when the flag is not set; otherwise it is undefined. */
  readonly unset?: T;
  readonly section?: string;
  readonly key?: string;
  /** Whether its section is undefined in the configuration unless this flag is set. */
  readonly opensSection?: true;
  /** Flags of which one must be set, or this one has no effect. */
  readonly requires?: readonly string[];
  /** The other flag of a pair: both are set, or neither. */
  readonly together?: string;
  /** Whether it may be given several times; the values are joined by commas. */
  readonly repeatable?: true;
  /** Whether an empty text is one of its values. Otherwise it means not set, or is parsed where there is a default. */
  readonly takesEmpty?: true;
  /** Whether a reload keeps its value, which only a restart changes. Of a section, all flags are such, or none. */
  readonly isFixed?: true;
  /** False if it cannot be a key of the config file. */
  readonly isFileKey?: false;
  /** Whether it must not appear in errors, logs and status. */
  readonly isSecret?: true;
  readonly summary: string;
  /** The wanted form, shown in help and at the end of every error. */
  readonly example: string;
  readonly parse: FlagParser<T>;
  /** Returns why its value excludes another flag's; undefined: it does not. */
  conflict?(value: T, values: Readonly<Record<string, unknown>>): string | undefined;
  /** Returns what to log about a value that is allowed; undefined: nothing. */
  warning?(value: T, values: Readonly<Record<string, unknown>>): string | undefined;
}

/** Reads the text of a flag. */
export interface FlagParser<T> {
  (text: string): T;
  /** All texts that it takes, where that is a short list; undefined: too many to list. */
  readonly choices?: readonly string[];
}

/** Flags by name, in the order of help. */
export type FlagTable = Readonly<Record<string, Flag<unknown>>>;

export type FlagName<Table extends FlagTable> = keyof Table & string;

/** The value of each flag, or of its default. */
export type FlagValues<Table extends FlagTable> = {
  readonly [Name in keyof Table]: Parsed<Table[Name]> | WithoutDefault<Table[Name], undefined>;
};

/** The configuration that a table describes. */
export type ConfigOf<Table extends FlagTable> = {
  readonly [Name in keyof Table as TopKey<Table[Name]>]: ConfigValue<Table[Name]>;
} & {
  readonly [Section in SectionName<Table[keyof Table]>]:
    SectionOf<Table, Section> | ([Opener<Table, Section>] extends [never] ? never : undefined);
};

type Row = Flag<unknown>;
type Parsed<R extends Row> = ReturnType<R["parse"]>;
type WithoutDefault<R, T> = R extends { default: string } ? never : T;
type ConfigValue<R extends Row> =
  Parsed<R> | (R extends { unset: infer Unset } ? Unset : WithoutDefault<R, undefined>);
type TopKey<R> = R extends { section: string }
  ? never
  : R extends { key: infer Key extends string }
    ? Key
    : never;
type SectionName<R> = R extends { section: infer Section extends string } ? Section : never;
type KeyIn<R, Section> = R extends { section: Section; key: infer Key extends string }
  ? Key
  : never;
/** The name of the flag that opens the section; never: the section is always there. */
type Opener<Table, Section> = {
  [Name in keyof Table]: Table[Name] extends { section: Section; opensSection: true }
    ? Name
    : never;
}[keyof Table];
/** In an open section, its opener and the other flag of the pair are set. */
type SectionOf<Table extends FlagTable, Section> = {
  readonly [Name in keyof Table as KeyIn<Table[Name], Section>]: Table[Name] extends
    { opensSection: true } | { together: Opener<Table, Section> }
    ? Parsed<Table[Name]>
    : ConfigValue<Table[Name]>;
};

/** Whether the placeholder of a flag's value stands for a whole number, which YAML writes without quotes. */
export function isNumber(value: string): boolean {
  return /^(COUNT|BYTES|SECONDS|YEARS)$/.test(value);
}

export const ENVIRONMENT_PREFIX = "ETCD_GATEWAY_";

/** Returns the variable of a flag: `--listen-addr` has ETCD_GATEWAY_LISTEN_ADDR. */
export function variableOf(name: string): string {
  return ENVIRONMENT_PREFIX + name.toUpperCase().replaceAll("-", "_");
}

/** Returns the names of the flags that a reload keeps: their change needs a restart. */
export function fixedFlags(flags: FlagTable): string[] {
  return Object.keys(flags).filter((name) => flags[name]!.isFixed);
}

/** Returns the row of `name`; undefined if the table has none. */
export function findFlag(flags: FlagTable, name: string): Flag<unknown> | undefined {
  return Object.hasOwn(flags, name) ? flags[name] : undefined;
}
