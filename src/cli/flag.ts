// What a row of the flag table says.

/** One flag of `start`. `parse` throws a RangeError whose message is the fact alone. */
export interface Flag<T> {
  /** What stands behind the flag in help: `DURATION`. Empty: a switch. */
  readonly value: string;
  /** Text that is parsed when nothing was given; undefined: not set. */
  readonly default?: string;
  /** May be given several times; the values are joined by commas. */
  readonly repeatable?: true;
  /** The commands that take it; undefined: all that run, try or ask the gateway. */
  readonly onlyFor?: readonly string[];
  /** Must not be shown to anybody. */
  readonly isSecret?: true;
  readonly summary: string;
  /** The wanted form, shown in help and behind every error. */
  readonly example: string;
  readonly parse: FlagParser<T>;
}

/** Reads what stands behind a flag. */
export interface FlagParser<T> {
  (text: string): T;
  /** All texts that it takes, where that is a short list; undefined: too many to list. */
  readonly choices?: readonly string[];
}
