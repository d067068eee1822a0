// Help text, made of commands and flag tables. It is written for an operator who meets
// the program for the first time: what it does, how to start it, what each flag takes.
import { type Command, flagUsage, listedFlags, usageText } from "./command.ts";
import { type Flag, variableOf } from "./flag.ts";

const FLAG_WIDTH = 80;
const STATUS_WIDTH = 83;
// Between a command and its summary.
const GAP = 3;

/** The program itself, around the list of its commands. */
export interface Program {
  readonly name: string;
  readonly description: string;
  /** What follows the list. */
  readonly notes: readonly string[];
}

/** Returns the help of the program. */
export function programHelp(program: Program, commands: readonly Command[]): string {
  const lines = commands.flatMap((command) => {
    const { words, summary, aliases = [], shortUsage = command.usage, flags } = command;
    if (summary === undefined) return [];
    return [{ words, summary }, ...aliases].map((entry) => ({
      usage: `${program.name} ${usageText(entry.words, shortUsage, flags)}`,
      summary: entry.summary,
    }));
  });
  const width = Math.max(...lines.map(({ usage }) => usage.length)) + GAP;
  const list = lines.map(({ usage, summary }) => `  ${usage.padEnd(width)}${summary}`);
  return blocks([program.description, ["Usage:", ...list].join("\n"), ...program.notes]);
}

/** Returns the help of a command. */
export function commandHelp(program: Program, command: Command): string {
  const { description, notes = [], details = [], exitStatus } = command;
  return blocks([
    description,
    `Usage:\n  ${program.name} ${usageText(command.words, command.usage, command.flags)}`,
    ...notes,
    ...flagsHelp(command),
    ...details,
    ...(exitStatus === undefined
      ? []
      : [wrap(exitStatusText(exitStatus), STATUS_WIDTH).join("\n")]),
  ]);
}

/** Returns the sentence about exit statuses: `Exit status: 0 success; 1 failure.` */
export function exitStatusText(exitStatus: readonly string[]): string {
  return `Exit status: ${exitStatus.map((meaning, status) => `${status} ${meaning}`).join("; ")}.`;
}

function flagsHelp(command: Command): string[] {
  const listed = listedFlags(command).map((name) => flagHelp(name, command.flags[name]!));
  if (listed.length === 0) return [];
  // A command that lists only some of its flags keeps its help short.
  const own = command.listedFlags === undefined ? ["  -h, --help\n      Print this text."] : [];
  return [`Flags:\n${[...listed, ...own].join("\n\n")}`];
}

function flagHelp(name: string, flag: Flag<unknown>): string {
  const lines = [
    ...wrap(flag.summary, FLAG_WIDTH - 6),
    `default: ${flag.default ?? "not set"}`,
    `example: --${name}=${flag.example}`,
    `variable: ${variableOf(name)}`,
  ];
  return [`  ${flagUsage(name, flag.value)}`, ...lines.map((line) => `      ${line}`)].join("\n");
}

function blocks(texts: readonly string[]): string {
  return `${texts.join("\n\n")}\n`;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length === 0 || longer.length > width) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}
