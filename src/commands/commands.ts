// All commands, the tree that citty dispatches through, and which command the arguments
// mean. No other file knows every command.
import { type CommandDef, defineCommand, runCommand } from "citty";
import packageJson from "../../package.json" with { type: "json" };
import { UsageError } from "../core/usage-error.ts";
import { StartError } from "../core/start-error.ts";
import { readTextFile } from "../os/files.ts";
import { type Command, commandsByWords, flagsOfAll, listedFlags } from "../cli/command.ts";
import { findFlag, type FlagTable } from "../cli/flag.ts";
import { commandHelp, type Program, programHelp } from "../cli/help.ts";
import type { Output } from "../cli/output.ts";
import { type Argv, parseArgv } from "../cli/parse-argv.ts";
import type { Environment } from "../cli/read-config.ts";
import { checkCommand } from "./check.ts";
import { completionCommand } from "./completion.ts";
import { etcdGatewayCommand, gatewayCommand } from "./gateway.ts";
import { grpcProxyCommand, grpcProxyHolderCommand } from "./grpc-proxy.ts";
import { grpcProxyCheckCommand } from "./grpc-proxy-check.ts";
import { httpProxyCommand, httpProxyHolderCommand } from "./http-proxy.ts";
import { healthcheckCommand } from "./healthcheck.ts";
import { statusCommand } from "./status.ts";
import { versionCommand } from "./version.ts";

export const program: Program = {
  name: packageJson.name,
  description: `etcd-gateway replaces etcd's gateway, its gRPC proxy and its HTTP proxy. Applications
connect to a local address: the gateway relays each connection to a member of the
cluster that is up, the gRPC proxy forwards each call to one, and the HTTP proxy each
request of the v2 API or the JSON gateway.`,
  notes: [
    `Try it:
  etcd-gateway start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379
or, with TLS to etcd:
  etcd-gateway grpc-proxy start --endpoints=https://10.0.1.10:2379 --cacert=/etc/etcd/ca.pem
then:
  ETCDCTL_API=3 etcdctl --endpoints=127.0.0.1:23790 endpoint status`,
    `"etcd-gateway help start" explains every flag of the gateway, "etcd-gateway help
grpc-proxy start" and "etcd-gateway help http-proxy start" those of the proxies.`,
  ],
};

/** `run` prints help itself: any command may be its topic. */
const helpCommand: Command = {
  words: "help",
  summary: "print help",
  description: "Explains a command.",
  usage: [{ argument: "command", isOptional: true }],
  flags: {},
};

/** In the order of help. What is not here is refused. */
export const commands: readonly Command[] = [
  gatewayCommand,
  etcdGatewayCommand,
  grpcProxyCommand,
  grpcProxyHolderCommand,
  httpProxyCommand,
  httpProxyHolderCommand,
  checkCommand,
  grpcProxyCheckCommand,
  statusCommand,
  healthcheckCommand,
  completionCommand,
  versionCommand,
  helpCommand,
];

const byWords = commandsByWords(commands);

/** The flags of all commands. A name means the same kind of flag, switch or not, in each; the row is the first's. */
export const allFlags: FlagTable = flagsOfAll(commands);

/**
 * Runs what the arguments mean and resolves with the exit status: 0 success, 1 it could
 * not run but another start may, 2 the input is wrong. Rejects for neither.
 */
export async function run(
  args: readonly string[],
  environment: Environment,
  output: Output,
): Promise<number> {
  try {
    return await dispatch(parseArgv(args, allFlags), environment, output);
  } catch (error) {
    if (error instanceof StartError) {
      output.printError(`etcd-gateway: ${error.message}\n`);
      return 1;
    }
    if (!(error instanceof UsageError)) throw error;
    output.printError(`etcd-gateway: ${error.message}\n${helpHint(args)}\n`);
    return 2;
  }
}

/** Returns where the flags are explained that the arguments seem to be about. */
function helpHint(args: readonly string[]): string {
  const isHttp =
    args.includes(httpProxyHolderCommand.words) || args.some((arg) => /^--proxy(=|$)/.test(arg));
  const isGrpc = args.includes(grpcProxyHolderCommand.words);
  const { words } = isGrpc ? grpcProxyCommand : isHttp ? httpProxyCommand : gatewayCommand;
  return `"etcd-gateway help ${words}" explains every flag.`;
}

/** What the arguments mean. */
interface Invocation {
  /** What citty dispatches. */
  readonly words: readonly string[];
  /** The command, or the topic of help; undefined: the program. */
  readonly command: Command | undefined;
}

async function dispatch(argv: Argv, environment: Environment, output: Output): Promise<number> {
  const { words, command } = invocationOf(argv);
  const input = {
    ...{ given: argv.given, environment, readFile: readTextFile, knownFlags: allFlags, commands },
    operand: command?.operand && words.at(-1),
  };
  let status = 0;
  const tree = treeOf(async (dispatched) => {
    if (dispatched === helpCommand) output.print(helpOf(command));
    else status = await dispatched.run!(input, output);
  });
  await runCommand(tree, { rawArgs: [...words] });
  return status;
}

function helpOf(topic: Command | undefined): string {
  return topic === undefined ? programHelp(program, commands) : commandHelp(program, topic);
}

/** Returns citty's tree, in which each word of a command is a level. */
function treeOf(runLeaf: (command: Command) => Promise<void>): CommandDef {
  const { version, description } = packageJson;
  const root: CommandDef = { meta: { name: program.name, version, description } };
  for (const { words, command } of commands.flatMap(spellings)) {
    let node = root;
    for (const word of words.split(" ")) {
      const below = (node.subCommands ??= {}) as Record<string, CommandDef>;
      node = below[word] ??= defineCommand({ meta: { name: word } });
    }
    if (canRun(command)) node.run = () => runLeaf(command);
  }
  return root;
}

/** Returns which command the arguments mean. `help` and `version` may stand anywhere, as a flag too. */
function invocationOf({ words: all, wantsHelp, wantsVersion, given }: Argv): Invocation {
  const asksHelp = wantsHelp || all.includes("help");
  const rest = asksHelp ? removeOne(all, "help") : all;
  // The command line of "etcd --proxy" has no words.
  const isEtcdProxy = rest.length === 0 && given.has("proxy") && !asksHelp && !wantsVersion;
  const words = isEtcdProxy ? httpProxyCommand.words.split(" ") : rest;
  const typed = words.join(" ");
  const command = byWords.get(typed);
  if (command === undefined && typed !== "") throw unknownCommand(words);

  if (asksHelp || (command !== undefined && !canRun(command))) return { words: ["help"], command };
  if (wantsVersion) return { words: ["version"], command: versionCommand };
  if (command === undefined)
    throw new UsageError(
      'Missing command: "etcd-gateway start" runs the gateway, "etcd-gateway grpc-proxy start" the gRPC proxy, and "etcd-gateway http-proxy start" the HTTP proxy',
    );
  if (command.operand !== undefined && typed === command.words) throw unknownOperand(command);
  checkFlags(command, typed, given);
  return { words, command };
}

/** @throws {UsageError} if a flag of another command is given. */
function checkFlags(command: Command, typed: string, given: Argv["given"]): void {
  const [stray] = Object.keys(allFlags).filter(
    (name) => given.has(name) && findFlag(command.flags, name) === undefined,
  );
  if (stray === undefined) return;
  if (Object.keys(command.flags).length === 0) {
    const [first] = given.keys();
    throw new UsageError(`Cannot use --${first} with "${typed}": it takes no flags`);
  }
  const owners = commands.filter((other) => listedFlags(other).includes(stray));
  const quoted = owners.map(({ words }) => `"${words}"`);
  throw new UsageError(
    `Cannot use --${stray} with "${typed}": it is a flag of ${quoted.join(" and ")}`,
  );
}

/** Whether it does more than hold other commands. */
function canRun(command: Command): boolean {
  return command.run !== undefined || command === helpCommand;
}

/** Removes the first `word`, so that `help help` is about help. */
function removeOne(words: readonly string[], word: string): string[] {
  const at = words.indexOf(word);
  return words.filter((_, i) => i !== at);
}

function unknownCommand(words: readonly string[]): UsageError {
  const known = words.findIndex((_, i) => !byWords.has(words.slice(0, i + 1).join(" ")));
  const stray = words[known]!;
  if (known === 0)
    return new UsageError(
      `Unknown command "${stray}": the commands are ${listed(runnableWords())}`,
    );

  const before = words.slice(0, known).join(" ");
  const command = byWords.get(before)!;
  if (command.operand !== undefined && before === command.words)
    return unknownOperand(command, stray);
  if (canRun(command)) return new UsageError(`Unexpected argument "${stray}" after "${before}"`);
  const below = runnableWords().filter((words) => words.startsWith(`${before} `));
  return new UsageError(`Unknown command "${before} ${stray}"; did you mean "${below[0]}"?`);
}

function unknownOperand({ words, operand }: Command, stray?: string): UsageError {
  const { name, choices } = operand!;
  const fact = stray === undefined ? `Missing ${name}` : `Unknown ${name} "${stray}"`;
  return new UsageError(
    `${fact}: the ${name}s are ${listed(choices)}, for example "etcd-gateway ${words} ${choices[0]}"`,
  );
}

function runnableWords(): string[] {
  return commands
    .filter(canRun)
    .flatMap(spellings)
    .map(({ words }) => words);
}

/** The words of a command and of its aliases. */
function spellings(command: Command): { words: string; command: Command }[] {
  return [command, ...(command.aliases ?? [])].map(({ words }) => ({ words, command }));
}

function listed(words: readonly string[]): string {
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
