// Help text, read off the flag table. It is written for somebody who meets the
// gateway for the first time: what it does, how to start it, what each flag takes.
import { type FlagName, flagNamed, flagNames, variableOf } from "./flags.ts";

const WIDTH = 80;

/** What `etcd-gateway help` prints. */
export function programHelp(): string {
  return `etcd-gateway is a TCP gateway for etcd: applications connect to a local address,
and it carries each connection to an endpoint of the cluster that is up.

Usage:
  etcd-gateway start [flags]           run the gateway
  etcd-gateway gateway start [flags]   the same, in the words of etcd's own binary
  etcd-gateway check [flags]           try out what start would do, and print it
  etcd-gateway status [flags]          ask a running gateway how it is, and print it
  etcd-gateway healthcheck [flags]     the same by the exit status alone
  etcd-gateway completion SHELL        print completion for bash, zsh or fish
  etcd-gateway version                 print the version
  etcd-gateway help [command]          print help

Try it:
  etcd-gateway start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379
  ETCDCTL_API=3 etcdctl --endpoints=127.0.0.1:23790 endpoint status

"etcd-gateway help start" explains every flag.
`;
}

/** What `etcd-gateway help version` prints. */
export function versionHelp(): string {
  return `Prints the version of the gateway and of the Bun runtime inside it.

Usage:
  etcd-gateway version
`;
}

/** What `etcd-gateway help help` prints. */
export function helpHelp(): string {
  return `Explains a command.

Usage:
  etcd-gateway help [command]
`;
}

/** What `etcd-gateway help gateway` prints. */
export function gatewayHelp(): string {
  return `Holds "start", so that a unit file written for etcd moves over by one word.

Usage:
  etcd-gateway gateway start [flags]

"etcd-gateway help start" explains every flag.
`;
}

/** What `etcd-gateway help start` prints. */
export function startHelp(): string {
  return `Listens on a local address and carries each client to an etcd endpoint that is up.

Usage:
  etcd-gateway start [flags]

${FLAG_RULES}

Flags:
${flagsHelp("start")}

Signals:
  SIGTERM, SIGINT   stop accepting, let relays finish for --drain-timeout, end
                    with status 0; a second one ends at once
  SIGHUP            read the config file again and look up everything anew;
                    relays go on
  SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO
                    ignored, with a line in the log

Exit status: 0 a clean end; 1 it could not run, and another start may (an address
in use, a file that cannot be read, a name); 2 a flag, a variable or the config file
is wrong.
`;
}

/** What `etcd-gateway help check` prints. */
export function checkHelp(): string {
  return `Does all that "start" does but listening: finds the endpoints, looks up their
names, connects to each, and verifies those that must be. Prints what it saw.

Usage:
  etcd-gateway check [flags]

${FLAG_RULES}

Flags:
${flagsHelp("check")}

Exit status: 0 all is well; 1 something is not, or a file cannot be read; 2 a flag,
a variable or the config file is wrong.
`;
}

/** What `etcd-gateway help status` prints. */
export function statusHelp(): string {
  return `Asks a running gateway at its --metrics-addr how it is, and prints it.

Usage:
  etcd-gateway status --metrics-addr=HOST:PORT [--watch] [--output=json]

The address may also come from the variable ${variableOf("metrics-addr")} or the
--config-file, as the gateway has it. All flags of "start" are taken and not used,
so that a unit's command line works with the one word changed.

Flags:
${["metrics-addr", "config-file", "output", "watch"].map((name) => flagHelp(name as FlagName)).join("\n")}
Exit status: 0 it answered; 1 it did not, or the config file cannot be read; 2 a
flag, a variable or the config file is wrong.
`;
}

/** What `etcd-gateway help healthcheck` prints. */
export function healthcheckHelp(): string {
  return `Asks a running gateway at its --metrics-addr whether it serves: for the health
check of a container. Says something only if it does not.

Usage:
  etcd-gateway healthcheck --metrics-addr=HOST:PORT

The address may also come from the variable ${variableOf("metrics-addr")} or the
--config-file, as the gateway has it.

Flags:
${["metrics-addr", "config-file"].map((name) => flagHelp(name as FlagName)).join("\n")}
Exit status: 0 an endpoint is up and it is not draining; 1 it is not so, nothing
answers, or the config file cannot be read; 2 a flag, a variable or the config file
is wrong.
`;
}

const FLAG_RULES = `Every flag has an environment variable, and a key in the --config-file. The flag
wins over the variable, the variable over the file.
A DURATION is a number with a unit (ns, us, ms, s, m, h), as in "1m30s".`;

function flagsHelp(command: "start" | "check"): string {
  const names = flagNames.filter((name) => flagNamed(name).onlyFor?.includes(command) ?? true);
  return `${names.map(flagHelp).join("\n")}
  -h, --help
      Print this text.`;
}

function flagHelp(name: (typeof flagNames)[number]): string {
  const flag = flagNamed(name);
  const head = flag.value === "" ? `  --${name}` : `  --${name}=${flag.value}`;
  const lines = [
    ...wrap(flag.summary),
    `default: ${flag.default ?? "not set"}`,
    `example: --${name}=${flag.example}`,
    `variable: ${variableOf(name)}`,
  ];
  return [head, ...lines.map((line) => `      ${line}`), ""].join("\n");
}

function wrap(text: string): string[] {
  const lines: string[] = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line.length + word.length + 7 > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}
