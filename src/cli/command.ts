// What a command is: data from which the tree, help, completion and the man page are made.
// It knows no command.
import { type Flag, type FlagTable, findFlag } from "./flag.ts";
import type { ConfigSource } from "./load-config.ts";
import type { Output } from "./output.ts";

/** A part of a usage line, after the command's words. */
export type UsagePart =
  /** A placeholder: `[flags]`. */
  | { readonly argument: string; readonly isOptional?: true }
  /** A flag with its value, or that of its row: `[--output=json]`. */
  | { readonly flag: string; readonly value?: string; readonly isOptional?: true }
  /** One of several words: `bash|zsh|fish`. */
  | { readonly choices: readonly string[] };

export interface Command {
  /** What runs it, after the program's name. */
  readonly words: string;
  /** Other words for it, with a summary of their own. */
  readonly aliases?: readonly { readonly words: string; readonly summary: string }[];
  /** The line about it in the program's help. Undefined: it has none. */
  readonly summary?: string;
  /** Opens its help. Its first sentence is what completion shows. */
  readonly description: string;
  readonly usage: readonly UsagePart[];
  /** Shorter than `usage`, for the program's help. */
  readonly shortUsage?: readonly UsagePart[];
  /** The one word that must follow, and what it may be. */
  readonly operand?: { readonly name: string; readonly choices: readonly string[] };
  /** All flags that it takes. */
  readonly flags: FlagTable;
  /** The flags that help and completion list. Undefined: all. */
  readonly listedFlags?: readonly string[];
  /** Paragraphs of its help, before the flags and after them. */
  readonly notes?: readonly string[];
  readonly details?: readonly string[];
  /** What each exit status means, from 0 on. */
  readonly exitStatus?: readonly string[];
  /** Lines that can be typed, each with what it does. */
  readonly examples?: readonly Example[];
  /** Returns the exit status. Undefined: it only holds other commands, and prints its help. */
  readonly run?: (input: CommandInput, output: Output) => Promise<number> | number;
}

export interface Example {
  readonly what: string;
  readonly lines: readonly string[];
}

/** What a command is given. */
export interface CommandInput extends ConfigSource {
  /** The word that followed, if the command has an operand. */
  readonly operand: string | undefined;
  /** All commands, for those that describe them. */
  readonly commands: readonly Command[];
}

/** Returns each command by all words that mean it. An operand is one more word. */
export function commandsByWords(commands: readonly Command[]): Map<string, Command> {
  const byWords = new Map<string, Command>();
  for (const command of commands) {
    for (const { words } of [command, ...(command.aliases ?? [])]) byWords.set(words, command);
    for (const choice of command.operand?.choices ?? [])
      byWords.set(`${command.words} ${choice}`, command);
  }
  return byWords;
}

/** Returns the flags of all commands, each name once: its row is that of the first command that has it. */
export function flagsOfAll(commands: readonly Command[]): FlagTable {
  const rows: Record<string, Flag<unknown>> = {};
  for (const { flags } of commands)
    for (const [name, flag] of Object.entries(flags)) rows[name] ??= flag;
  return rows;
}

/** Returns the words of the commands that take a flag; undefined: all that have flags. */
export function takersOf(name: string, commands: readonly Command[]): string[] | undefined {
  const withFlags = commands.filter(({ flags }) => Object.keys(flags).length > 0);
  const takers = withFlags.filter(({ flags }) => findFlag(flags, name) !== undefined);
  return takers.length === withFlags.length ? undefined : takers.map(({ words }) => words);
}

/** Returns the names of the flags that help and completion list. */
export function listedFlags({ flags, listedFlags }: Command): readonly string[] {
  return listedFlags ?? Object.keys(flags);
}

/** Returns `--name=VALUE`, or `--name` for a switch. */
export function flagUsage(name: string, value: string): string {
  return value === "" ? `--${name}` : `--${name}=${value}`;
}

/** Returns the usage line without the program's name. */
export function usageText(words: string, usage: readonly UsagePart[], flags: FlagTable): string {
  const parts = usage.map((part) => {
    if ("choices" in part) return part.choices.join("|");
    const text =
      "flag" in part ? flagUsage(part.flag, part.value ?? flags[part.flag]!.value) : part.argument;
    return part.isOptional ? `[${text}]` : text;
  });
  return [words, ...parts].join(" ");
}

/** Returns the first sentence of a text, on one line. */
export function firstSentence(text: string): string {
  const line = text.replaceAll("\n", " ");
  const end = line.search(/\.(?: |$)/);
  return end < 0 ? line : line.slice(0, end);
}
