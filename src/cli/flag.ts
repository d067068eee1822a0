// What a row of the flag table says.

/** One flag of `start`. `parse` throws a RangeError whose message is the fact alone. */
export interface Flag<T> {
  /** What stands behind the flag in help: `DURATION`. Empty: a switch. */
  readonly value: string;
  /** Text that is parsed when nothing was given; undefined: not set. */
  readonly default?: string;
  /** May be given several times; the values are joined by commas. */
  readonly repeatable?: true;
  /** The one command that takes it; undefined: all that run or try the gateway. */
  readonly onlyFor?: "check";
  /** Must not be shown to anybody. */
  readonly isSecret?: true;
  readonly summary: string;
  /** The wanted form, shown in help and behind every error. */
  readonly example: string;
  parse(text: string): T;
}
