// Lists what can be completed where, from the commands and their flags. It knows no
// shell: each completion-SHELL.ts writes the list in one language.
import {
  type Command,
  commandsByWords,
  firstSentence,
  flagsOfAll,
  listedFlags,
} from "./command.ts";
import type { Flag } from "./flag.ts";

/** A place on the command line, and what may follow there. */
export interface Place {
  /** The words so far without flags: `gateway start`; empty: none yet. */
  readonly words: string;
  /** The words that may come next, each with what it means. */
  readonly next: readonly { readonly word: string; readonly summary: string }[];
  /** None: a flag would be refused here, or have no effect. */
  readonly flags: readonly CompletedFlag[];
}

export interface CompletedFlag {
  readonly name: string;
  readonly summary: string;
  /** As in help: `DURATION`. Empty: a switch. */
  readonly value: string;
  /** The values that it may have; empty: too many to list. */
  readonly choices: readonly string[];
  /** Whether the shell completes it: a file or a folder. */
  readonly isFile: boolean;
  readonly isRepeatable: boolean;
}

/** Returns every place that a command line can reach. `help` leads to each of them again. */
export function completionContexts(commands: readonly Command[]): Place[] {
  const byWords = commandsByWords(commands);
  const places = ["", ...byWords.keys()].map((words) => ({
    words,
    next: [...byWords]
      .filter(([other]) => parentOf(other) === words)
      .map(([other, { description }]) => ({
        word: other.split(" ").at(-1)!,
        summary: firstSentence(description),
      })),
    flags: flagsAfter(words, byWords),
  }));
  const topics = places.map(({ words, next }) => ({
    words: `help ${words}`.trimEnd(),
    next,
    flags: [],
  }));
  return [...places.filter(({ words }) => words !== "help"), ...topics];
}

/** Returns the flags of all places, each once. */
export function flagsOf(places: readonly Place[]): CompletedFlag[] {
  const byName = new Map(places.flatMap(({ flags }) => flags.map((flag) => [flag.name, flag])));
  return [...byName.values()];
}

/** Groups the places that take the same flags: a script names each flag once for all of them. */
export function placesByFlags(places: readonly Place[]): Place[][] {
  const groups = new Map<string, Place[]>();
  for (const place of places.filter(({ flags }) => flags.length > 0)) {
    const key = place.flags.map(({ name }) => name).join(" ");
    groups.set(key, [...(groups.get(key) ?? []), place]);
  }
  return [...groups.values()];
}

function parentOf(words: string): string {
  return words.split(" ").slice(0, -1).join(" ");
}

/** Returns the flags of every command that may still follow, because flags may precede the words. */
function flagsAfter(words: string, byWords: ReadonlyMap<string, Command>): CompletedFlag[] {
  const possible = [...byWords]
    .filter(([other]) => words === "" || other === words || other.startsWith(`${words} `))
    .map(([, command]) => command);
  const listed = new Set(possible.flatMap(listedFlags));
  const rows = Object.entries(flagsOfAll(possible)).filter(([name]) => listed.has(name));
  return [...rows.map(([name, flag]) => completedFlag(name, flag)), HELP];
}

function completedFlag(name: string, flag: Flag<unknown>): CompletedFlag {
  const { value, summary, repeatable = false, parse } = flag;
  return {
    name,
    summary: firstSentence(summary),
    value,
    choices: parse.choices ?? (value === "" ? ["true", "false"] : []),
    isFile: value === "FILE" || value === "DIR",
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
