// What can be completed where, read off the commands' help and the flag table.
// It knows no shell: each completion-SHELL.ts writes it down in one language.
import { type FlagName, flagNamed, flagNames } from "./flags.ts";

/** Every command by its words, with its help. */
export type HelpTexts = Readonly<Record<string, () => string>>;

/** A place on the command line, and what may follow there. */
export interface Place {
  /** The words so far without flags: `gateway start`; empty: none yet. */
  readonly words: string;
  /** The words that may come next, each with what it means. */
  readonly next: readonly { readonly word: string; readonly summary: string }[];
  /** None: a flag would be refused here, or do nothing. */
  readonly flags: readonly CompletedFlag[];
}

export interface CompletedFlag {
  readonly name: string;
  readonly summary: string;
  /** As in help: `DURATION`. Empty: a switch. */
  readonly value: string;
  /** What may be its value; empty: whatever the user knows. */
  readonly choices: readonly string[];
  readonly isFile: boolean;
  readonly isRepeatable: boolean;
}

/** Every place that a command line can come to; `help` leads to each of them anew. */
export function completionContexts(helpTexts: HelpTexts): Place[] {
  const commands = Object.keys(helpTexts);
  const places = commands.map((words) => ({
    words,
    next: commands
      .filter((command) => command !== "" && parentOf(command) === words)
      .map((command) => ({
        word: command.split(" ").at(-1)!,
        summary: firstSentence(helpTexts[command]!()),
      })),
    flags: flagsBehind(words, helpTexts),
  }));
  const topics = places.map(({ words, next }) => ({
    words: `help ${words}`.trimEnd(),
    next,
    flags: [],
  }));
  return [...places.filter(({ words }) => words !== "help"), ...topics];
}

/** The flags of all places, each once. */
export function flagsOf(places: readonly Place[]): CompletedFlag[] {
  const byName = new Map(places.flatMap(({ flags }) => flags.map((flag) => [flag.name, flag])));
  return [...byName.values()];
}

/** Lists of places that take the same flags: a script names each flag once for all of them. */
export function placesByFlags(places: readonly Place[]): Place[][] {
  const groups = new Map<string, Place[]>();
  for (const place of places.filter(({ flags }) => flags.length > 0)) {
    const key = place.flags.map(({ name }) => name).join(" ");
    groups.set(key, [...(groups.get(key) ?? []), place]);
  }
  return [...groups.values()];
}

function parentOf(command: string): string {
  return command.split(" ").slice(0, -1).join(" ");
}

/** Flags may stand before the words, so those of every command that may yet be meant. */
function flagsBehind(words: string, helpTexts: HelpTexts): CompletedFlag[] {
  const meant = Object.keys(helpTexts).filter((command) =>
    `${command} `.startsWith(words === "" ? "" : `${words} `),
  );
  const listed = new Set(meant.flatMap((command) => flagsIn(helpTexts[command]!())));
  return [...flagNames.filter((name) => listed.has(name)).map(tableFlag), HELP];
}

/** The flags that a help has in its usage or in its list: so no second list can go stale. */
function flagsIn(help: string): string[] {
  const lines = help.match(/^  \S.*$/gm) ?? [];
  return lines.flatMap((line) => line.match(/(?<=--)[\w-]+/g) ?? []);
}

function tableFlag(name: FlagName): CompletedFlag {
  const { value, summary, repeatable = false, parse } = flagNamed(name);
  return {
    name,
    summary: firstSentence(summary),
    value,
    choices: parse.choices ?? (value === "" ? ["true", "false"] : []),
    isFile: value === "FILE",
    isRepeatable: repeatable,
  };
}

const HELP: CompletedFlag = {
  name: "help",
  summary: "Print help",
  value: "",
  choices: [],
  isFile: false,
  isRepeatable: false,
};

/** Shells show one line of each; the rest is for those who read the help. */
function firstSentence(text: string): string {
  const [paragraph] = text.split("\n\n");
  return paragraph!.replaceAll("\n", " ").split(/\.(?: |$)/)[0]!;
}
