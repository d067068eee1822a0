// The completion scripts of the compiled binary, in real shells: each test types a line
// and reads the completions that the shell offers.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { commandsByWords } from "../../src/cli/command.ts";
import { commands as allCommands } from "../../src/commands/commands.ts";
import { output, requireTool, run } from "../support/gateway-command.ts";
import { gatewayBinary } from "../support/gateway-process.ts";
import { grpcProxyFlags } from "../../src/commands/grpc-proxy-flags.ts";
import { startFlagNames } from "../support/flags.ts";

setDefaultTimeout(60_000);

const binary = gatewayBinary();
const PROMPT = "ready> ";

/** The shells' working folder and HOME: it has config files, and no start-up files of the user's. */
let folder: string;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "etcd-gateway-completion-"));
  env = {
    PATH: `${dirname(binary)}:${process.env["PATH"]}`,
    HOME: folder,
    INPUTRC: "/dev/null",
    TERM: "dumb",
  };
  for (const file of ["gateway-a.yaml", "gateway-b.yaml", "my own.yaml"])
    await Bun.write(join(folder, file), "");
  const installs = { "zsh/_etcd-gateway": "zsh", "fish/etcd-gateway.fish": "fish" };
  for (const [file, shell] of Object.entries(installs))
    await Bun.write(join(folder, file), await output([binary, "completion", shell]));
});

afterAll(() => rm(folder, { recursive: true }));

/** A shell with the script loaded in one of the documented ways. */
interface Shell {
  /** Returns each line with all its completions inserted, or as the Tab key completes it. */
  complete(lines: readonly string[], mode: "all" | "tab"): Promise<string[]>;
}

/** Returns a bash that loads the script with the commands `load`. */
const bash = (load: string): Shell => ({
  async complete(lines, mode) {
    const home = await newHome();
    await Bun.write(
      join(home, "bashrc"),
      `PS1='${PROMPT}'
${load}
record() { printf '%s\\n' "$READLINE_LINE" >>${home}/completed; READLINE_LINE= READLINE_POINT=0; }
bind -x '"\\C-xa": record'`,
    );
    const words = [requireTool("bash"), "--noprofile", "--rcfile", join(home, "bashrc"), "-i"];
    // Escape and "*" is Readline's insert-completions.
    const key = mode === "all" ? "\x1b*" : "\t";
    await inTerminal(words, env, `${lines.map((line) => `${line}${key}\x18a`).join("")}exit\r`);
    return await linesOf(join(home, "completed"));
  },
});

const zsh = (load: string): Shell => ({
  async complete(lines, mode) {
    const home = await newHome();
    await Bun.write(join(home, "lines"), lines.join("\n"));
    await Bun.write(
      join(home, ".zshrc"),
      `autoload -Uz compinit
${load}
complete-it() { _main_complete; [[ $MODE == all ]] && compstate[insert]=all }
zle -C complete-it complete-word complete-it
zle-line-init() {
  local line
  for line in "\${(@f)$(<${home}/lines)}"; do
    BUFFER=$line CURSOR=$#line
    zle complete-it
    print -r -- "$BUFFER" >>${home}/completed
  done
  exit
}
zle -N zle-line-init`,
    );
    const variables = { ...env, ZDOTDIR: home, MODE: mode };
    await inTerminal([requireTool("zsh"), "-d", "-i"], variables);
    return await linesOf(join(home, "completed"));
  },
});

const fish = (load: string): Shell => ({
  async complete(lines) {
    // An empty line ends the completions of each line.
    const program = `${load}; for line in $argv; complete -C "$line"; echo; end`;
    const words = [requireTool("fish"), "--no-config", "-c", program, ...lines];
    const printed = await output(words, { env, cwd: folder });
    const groups = printed.split(/^\n/m).slice(0, lines.length);
    return groups.map((group, i) => {
      const typed = lines[i]!.split(" ").slice(0, -1);
      return [...typed, ...group.split("\n").map((text) => text.split("\t")[0]!)].join(" ");
    });
  },
});

const shells: [name: string, start: () => Shell][] = [
  ["bash", () => bash("source <(etcd-gateway completion bash)")],
  [
    "bash without = and : in COMP_WORDBREAKS",
    () => bash("source <(etcd-gateway completion bash); COMP_WORDBREAKS=${COMP_WORDBREAKS//[=:]/}"),
  ],
  ["zsh", () => zsh("compinit -D -u; source <(etcd-gateway completion zsh)")],
  ["zsh with the script in fpath", () => zsh(`fpath=(${folder}/zsh $fpath); compinit -D -u`)],
  ["fish", () => fish("etcd-gateway completion fish | source")],
  [
    "fish with the script in fish_complete_path",
    () => fish(`set -p fish_complete_path ${folder}/fish`),
  ],
];

/** Runs a shell in a terminal until it exits, and types `typed` at its prompt. */
async function inTerminal(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
  typed?: string,
): Promise<void> {
  const decoder = new TextDecoder();
  let shown = "";
  let rest = typed;
  await using terminal = new Bun.Terminal({
    cols: 1000,
    rows: 50,
    data(terminal, data) {
      shown += decoder.decode(data, { stream: true });
      if (rest === undefined || !shown.includes(PROMPT)) return;
      terminal.write(rest);
      rest = undefined;
    },
  });
  const limits = { timeout: 20_000, killSignal: "SIGKILL" } as const;
  const shell = Bun.spawn([...words], { env: environment, cwd: folder, terminal, ...limits });
  const status = await shell.exited;
  if (status !== 0) throw new Error(`${words[0]} exited with ${status}: ${shown}`);
}

/** Creates a folder for the files of one shell. */
async function newHome(): Promise<string> {
  const home = join(folder, "homes", crypto.randomUUID());
  await mkdir(home, { recursive: true });
  return home;
}

async function linesOf(path: string): Promise<string[]> {
  return (await readFile(path, "utf8")).split("\n").slice(0, -1);
}

/** Returns the last word's completions, sorted and without `--flag=`, which not all shells repeat. */
function completionsIn(completed: string, line: string): string[] {
  if (completed.trim() === line.trim()) return [];
  const words = completed
    .split(" ")
    .slice(line.split(" ").length - 1)
    .filter((word) => word !== "")
    .map((word) => word.replace(/^--[\w-]+=(?=.)/, "").replace(/=$/, ""));
  return [...new Set(words)].sort();
}

const commands = [...commandsByWords(allCommands).keys()].filter((name) => /^[\w-]+$/.test(name));
const policies = ["least-connections", "round-robin"];

const lines: [line: string, expected: string[]][] = [
  ["", commands],
  ["st", commands.filter((name) => name.startsWith("st"))],
  ["gateway ", ["start"]],
  ["grpc-proxy ", ["check", "start"]],
  ["help gat", ["gateway"]],
  ["help grpc-proxy ", ["check", "start"]],
  ["help gateway ", ["start"]],
  ["completion ", ["bash", "fish", "zsh"]],
  ["nonsense ", []],
  ["start nonsense --pol", []],

  ["start --", ["--help", ...startFlagNames.map((name) => `--${name}`)]],
  ["start --pol", ["--policy"]],
  ["gateway start --pol", ["--policy"]],
  ["--pol", ["--policy"]],
  ["gateway --pol", ["--policy"]],
  ["version --", ["--help"]],
  ["start --outp", []],
  ["grpc-proxy start --", ["--help", ...Object.keys(grpcProxyFlags).map((name) => `--${name}`)]],
  ["grpc-proxy --namesp", ["--namespace", "--namespace-strict"]],
  ["start --namesp", []],
  ["grpc-proxy check --output=", ["json", "table"]],
  ["grpc-proxy start --tls-min-version=", ["TLS1.2", "TLS1.3"]],
  ["grpc-proxy start --tls-min-version ", ["TLS1.2", "TLS1.3"]],
  ["grpc-proxy start --auto-tls=", ["false", "true"]],
  ["grpc-proxy start --cacert gate", ["gateway-a.yaml", "gateway-b.yaml"]],
  ["grpc-proxy start --data-dir gate", ["gateway-a.yaml", "gateway-b.yaml"]],
  ["check --outp", ["--output"]],

  ["start --policy=", policies],
  ["start --policy ", policies],
  ["start --policy=r", ["round-robin"]],
  ["--policy=", policies],
  ["start --log-level=", ["debug", "error", "info", "warn"]],
  ["start --log-format ", ["auto", "console", "json"]],

  ["start --health-cl", ["--health-close"]],
  ["start --health-close=", ["false", "true"]],
  ["start --health-close --pol", ["--policy"]],

  ["start --config-file gate", ["gateway-a.yaml", "gateway-b.yaml"]],
  ["start --config-file=gate", ["gateway-a.yaml", "gateway-b.yaml"]],
  ["start --retry-delay ", []],
  ["start --retry-delay=", []],

  ["--policy round-robin gat", ["gateway"]],
  ["--user start gat", ["gateway"]],
  ["gateway --endpoints=a:1,b:2 ", ["start"]],
  ["start --endpoints a:1 --listen-addr=:1 --pol", ["--policy"]],
  ["start --listen-addr :1 --policy=", policies],
];

describe.each(shells)("%s", (_, start) => {
  const typed = lines.map(([line]) => `etcd-gateway ${line}`);
  let completed: string[];

  // One shell for all lines, because its start takes longer than the completions.
  beforeAll(async () => {
    completed = await start().complete(typed, "all");
    expect(completed).toHaveLength(lines.length);
  });

  test.each(lines.map(([line, expected], i) => [line, expected, i] as const))(
    "completes %p",
    (_, expected, i) => {
      expect(completionsIn(completed[i]!, typed[i]!)).toEqual(expected.toSorted());
    },
  );
});

describe.each(shells.filter(([name]) => !name.startsWith("fish")))("Tab in %s", (_, start) => {
  test("inserts the only completion, and a space unless a value follows", async () => {
    const tabs = [
      ["etcd-gateway che", "etcd-gateway check "],
      ["etcd-gateway start --pol", "etcd-gateway start --policy="],
      ["etcd-gateway start --policy=l", "etcd-gateway start --policy=least-connections "],
      ["etcd-gateway start --config-file=my", "etcd-gateway start --config-file=my\\ own.yaml "],
      ["etcd-gateway start --key-file my\\ o", "etcd-gateway start --key-file my\\ own.yaml "],
    ] as const;
    const completed = await start().complete(
      tabs.map(([line]) => line),
      "tab",
    );
    expect(completed).toEqual(tabs.map(([, line]) => line));
  });
});

test("fish describes commands and flags", async () => {
  const program = 'etcd-gateway completion fish | source; complete -C "$TYPED"';
  const shown = (line: string) =>
    output([requireTool("fish"), "--no-config", "-c", program], { env: { ...env, TYPED: line } });
  expect(await shown("etcd-gateway comp")).toBe(
    "completion\tPrints a script that completes commands, flags and values in your shell\n",
  );
  expect(await shown("etcd-gateway start --key")).toContain("--key-file\tKey of --cert-file\n");
});

describe("completion", () => {
  const HINT =
    'the shells are bash, zsh and fish, for example "etcd-gateway completion bash"\n"etcd-gateway help start" explains every flag.\n';
  const rejected: [words: string[], message: string][] = [
    [["completion"], `Missing shell: ${HINT}`],
    [["completion", "tcsh"], `Unknown shell "tcsh": ${HINT}`],
    [["completion", "constructor"], `Unknown shell "constructor": ${HINT}`],
  ];
  test.each(rejected)("rejects %p on standard error, with status 2", async (words, message) => {
    const { status, stdout, stderr } = await run([binary, ...words]);
    expect({ status, stdout, stderr }).toEqual({
      status: 2,
      stdout: "",
      stderr: `etcd-gateway: ${message}`,
    });
  });

  test("takes no flags", async () => {
    const { status, stderr } = await run([binary, "completion", "bash", "--policy=round-robin"]);
    expect(status).toBe(2);
    expect(stderr).toStartWith(
      'etcd-gateway: Cannot use --policy with "completion bash": it takes no flags\n',
    );
  });

  test("prints the same help for every shell", async () => {
    const help = await output([binary, "help", "completion"]);
    expect(help).toContain("\nUsage:\n  etcd-gateway completion bash|zsh|fish\n");
    expect(await output([binary, "completion", "zsh", "--help"])).toBe(help);
  });
});
