// The commands. citty holds the tree and dispatches; the strict pass has
// already read the flags, since citty would accept what must be refused.
import { defineCommand, runCommand } from "citty";
import packageJson from "../../package.json" with { type: "json" };
import { UsageError } from "../core/usage-error.ts";
import { StartError } from "../core/start-error.ts";
import { readTextFile } from "../os/files.ts";
import { platform } from "../os/process.ts";
import { check } from "./check-command.ts";
import { completionHelps, completionScript, unknownShell } from "./completion.ts";
import {
  checkHelp,
  gatewayHelp,
  healthcheckHelp,
  helpHelp,
  programHelp,
  startHelp,
  statusHelp,
  versionHelp,
} from "./help.ts";
import { healthcheck } from "./healthcheck-command.ts";
import { type FlagName, flagNamed, flagNames } from "./flags.ts";
import type { Output } from "./output.ts";
import { type Argv, parseArgv } from "./parse-argv.ts";
import type { ConfigSource } from "./load-config.ts";
import type { Environment } from "./read-config.ts";
import { start } from "./start-command.ts";
import { status as showStatus } from "./status-command.ts";

/** Every command by its words, with its help. What is not here is refused. */
export const helpTexts: Readonly<Record<string, () => string>> = {
  "": programHelp,
  start: startHelp,
  gateway: gatewayHelp,
  "gateway start": startHelp,
  check: checkHelp,
  status: statusHelp,
  healthcheck: healthcheckHelp,
  ...completionHelps,
  version: versionHelp,
  help: helpHelp,
};

/**
 * Runs what the arguments say and resolves with the exit status: 0 a clean end,
 * 1 it could not run and another start may, 2 what it was given is wrong. Rejects for neither.
 */
export async function run(
  args: readonly string[],
  environment: Environment,
  output: Output,
): Promise<number> {
  try {
    return await dispatch(parseArgv(args), environment, output);
  } catch (error) {
    if (error instanceof StartError) {
      output.printError(`etcd-gateway: ${error.message}\n`);
      return 1;
    }
    if (!(error instanceof UsageError)) throw error;
    output.printError(
      `etcd-gateway: ${error.message}\n"etcd-gateway help start" explains every flag.\n`,
    );
    return 2;
  }
}

async function dispatch(argv: Argv, environment: Environment, output: Output): Promise<number> {
  const command = commandOf(argv);
  const input: ConfigSource = { given: argv.given, environment, readFile: readTextFile };
  let status = 0;
  const startCommand = defineCommand({
    meta: { name: "start", description: "run the gateway" },
    async run() {
      status = await start(input);
    },
  });
  const program = defineCommand({
    meta: {
      name: packageJson.name,
      version: packageJson.version,
      description: packageJson.description,
    },
    subCommands: {
      start: startCommand,
      gateway: defineCommand({ subCommands: { start: startCommand } }),
      status: defineCommand({
        async run() {
          status = await showStatus(input, output);
        },
      }),
      healthcheck: defineCommand({
        async run() {
          status = await healthcheck(input, output.printError);
        },
      }),
      check: defineCommand({
        async run() {
          status = await check(input, output.print);
        },
      }),
      completion: defineCommand({
        run: () => output.print(completionScript(command.words[1]!, helpTexts)),
      }),
      version: defineCommand({ run: () => output.print(versionText()) }),
      help: defineCommand({ run: () => output.print(helpTexts[command.topic]!()) }),
    },
  });
  await runCommand(program, { rawArgs: command.words });
  return status;
}

interface Command {
  /** What citty is to dispatch. */
  readonly words: string[];
  /** What help, if that is the command, is about: a key of `helpTexts`. */
  readonly topic: string;
}

/** Which command the arguments mean; `help` and `version` may stand anywhere, as a flag too. */
function commandOf({ words, wantsHelp, wantsVersion, given }: Argv): Command {
  const asksHelp = wantsHelp || words.includes("help");
  const rest = asksHelp ? removeOne(words, "help") : [...words];
  const topic = rest.join(" ");
  if (!Object.hasOwn(helpTexts, topic)) throw unknownCommand(rest);
  if (asksHelp || topic === "gateway") return { words: ["help"], topic };
  if (wantsVersion) return { words: ["version"], topic };
  if (topic === "")
    throw new UsageError('Missing command: to run the gateway, "etcd-gateway start"');
  if (topic === "completion") throw unknownShell();
  if (/^(version|completion)\b/.test(topic) && given.size > 0)
    throw new UsageError(`Cannot use --${[...given.keys()][0]} with "${topic}": it takes no flags`);
  const stray = flagNames.find((name) => given.has(name) && isForeign(name, topic));
  if (stray !== undefined)
    throw new UsageError(
      `Cannot use --${stray} with "${topic}": it is a flag of ${inWords(flagNamed(stray).onlyFor!)}`,
    );
  return { words: rest, topic };
}

function isForeign(name: FlagName, topic: string): boolean {
  return flagNamed(name).onlyFor?.includes(topic) === false;
}

/** Without the first `word`, so that `help help` is about help. */
function removeOne(words: readonly string[], word: string): string[] {
  const at = words.indexOf(word);
  return words.filter((_, i) => i !== at);
}

function unknownCommand(words: readonly string[]): UsageError {
  const known = words.findIndex(
    (_, i) => !Object.hasOwn(helpTexts, words.slice(0, i + 1).join(" ")),
  );
  const stray = words[known]!;
  if (known === 1 && words[0] === "completion") return unknownShell(stray);
  return known === 0
    ? new UsageError(`Unknown command "${stray}": the commands are ${commandNames()}`)
    : new UsageError(`Unexpected argument "${stray}" behind "${words.slice(0, known).join(" ")}"`);
}

function inWords(commands: readonly string[]): string {
  return commands.map((name) => `"${name}"`).join(" and ");
}

/** All that can be run, but for what stands behind `completion`. */
function commandNames(): string {
  const isCommand = (name: string) => name === "gateway start" || /^\w+$/.test(name);
  const names = Object.keys(helpTexts).filter((name) => isCommand(name) && name !== "gateway");
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function versionText(): string {
  return `${packageJson.name} ${packageJson.version}\n${platform}\n`;
}
