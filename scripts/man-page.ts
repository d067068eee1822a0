// Prints etcd-gateway(1) in mdoc(7). Commands and flags are read off the help and
// the flag table; what no table knows, such as the signals, is said here.
// The argument is the page's date: 2026-11-21.
import packageJson from "../package.json" with { type: "json" };
import { helpTexts } from "../src/cli/commands.ts";
import { ENVIRONMENT_PREFIX, flagNamed, flagNames, variableOf } from "../src/cli/flags.ts";

const WIDTH = 76;
const MONTHS =
  "January February March April May June July August September October November December";

const [year, month, day] = (process.argv[2] ?? "").split("-").map(Number);
if (year === undefined || month === undefined || day === undefined)
  throw new RangeError("which date has the page? For example 2026-11-21");

const page = [
  `.\\" Made by scripts/man: not to be edited.`,
  `.Dd ${MONTHS.split(" ")[month - 1]} ${day}, ${year}`,
  ".Dt ETCD\\-GATEWAY 1",
  ".Os",
  ".Sh NAME",
  ".Nm etcd\\-gateway",
  ".Nd TCP gateway for etcd",
  ".Sh SYNOPSIS",
  ...usages().flatMap(({ usage }) => [".Nm", `.${usage}`]),
  ".Sh DESCRIPTION",
  ...text(paragraphsOf(helpTexts[""]!())[0]!),
  ".Pp",
  ...text(
    'It never reads requests and never touches TLS: bytes go through as they are, so everything that etcd speaks works. It replaces "etcd gateway start" with the same flags, defaults and log messages.',
  ),
  ".Pp",
  ...text(`This page is about version ${packageJson.version}.`),
  ".Sh COMMANDS",
  ...tagged(usages().map(({ usage, about }) => [usage, about])),
  ".Sh OPTIONS",
  ...text(
    "Flags may stand before and behind the command. The value stands behind = or is the next argument; that of a switch only behind =. The flag wins over its environment variable, the variable over the key of the config file. A DURATION is a number with a unit (ns, us, ms, s, m, h), as in 1m30s.",
  ),
  ...tagged(flagNames.map((name) => [flagHead(name), flagText(name)])),
  ...tagged([
    ["Fl h , \\-help", text("Print help about the command.")],
    ["Fl v , \\-version", text("Print the version.")],
  ]),
  ".Sh ENVIRONMENT",
  ...text(
    `Each flag has a variable. Others whose names begin with ${ENVIRONMENT_PREFIX} are named in a warning.`,
  ),
  ...tagged([
    ...flagNames.map((name): Item => [`Ev ${variableOf(name)}`, [`.Fl ${escaped(`-${name}`)}`]]),
    [
      "Ev NOTIFY_SOCKET",
      text("Where systemd is told that the gateway is ready, and that it stops."),
    ],
  ]),
  ".Sh FILES",
  ...tagged([
    [
      `Pa ${escaped(flagNamed("config-file").example)}`,
      text(
        "The usual name of a config file; one is read only if it is named. It is YAML: each key is a flag's name without dashes, each value what would stand behind the flag.",
      ),
    ],
  ]),
  ".Sh SIGNALS",
  ...tagged([
    [
      "Dv SIGTERM , SIGINT",
      text(
        "Stop accepting, let relays finish for --drain-timeout, and end with status 0. A second one ends at once.",
      ),
    ],
    ["Dv SIGHUP", text("Read the config file again and look up everything anew. Relays go on.")],
  ]),
  ".Sh EXIT STATUS",
  ...tagged([
    ["0", text("A clean end.")],
    ["1", text("It could not run, for example since the address is in use.")],
    ["2", text("It was told something wrong: a command, a flag, a variable or the config file.")],
  ]),
  ".Sh EXAMPLES",
  ...examples([
    [
      "Run it before a cluster of three:",
      "etcd-gateway start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379",
    ],
    ["Use it:", "etcdctl --endpoints=127.0.0.1:23790 put greeting hello"],
    [
      "Find the endpoints in DNS, and try that out before:",
      "etcd-gateway check --discovery-srv=example.com",
      "etcd-gateway start --discovery-srv=example.com",
    ],
    ["Complete commands, flags and values in this bash:", "source <(etcd-gateway completion bash)"],
  ]),
  ".Sh SEE ALSO",
  ".Xr etcd 1 ,",
  ".Xr etcdctl 1",
];
console.log(page.join("\n"));

/** A tag, in macros, and its lines. */
type Item = readonly [tag: string, lines: readonly string[]];

interface Usage {
  /** In macros, without the program's name. */
  readonly usage: string;
  readonly about: string[];
}

/** What the help of each command says of it; commands of one help are one. */
function usages(): Usage[] {
  const { "": _, ...commands } = helpTexts;
  return [...new Set(Object.values(commands))].flatMap((help) => {
    const paragraphs = paragraphsOf(help());
    const [, ...lines] = paragraphs.find((part) => part.startsWith("Usage:"))!.split("\n");
    const status = paragraphs.find((part) => part.startsWith("Exit status:"));
    const about = [...text(paragraphs[0]!), ...(status === undefined ? [] : text(status))];
    return lines.map((line) => ({ usage: usageMacros(line.trim()), about }));
  });
}

/** `etcd-gateway start [flags]` is `Cm start Oo Ar flags Oc`. */
function usageMacros(line: string): string {
  const [, ...words] = line.split(" ");
  return words
    .map((word) => {
      const inner = /^\[(.*)\]$/.exec(word)?.[1];
      if (inner === undefined) return wordMacros(word, "Cm");
      return `Oo ${wordMacros(inner, "Ar")} Oc`;
    })
    .join(" ");
}

function wordMacros(word: string, plain: "Cm" | "Ar"): string {
  const [, name, value] = /^--([\w-]+)(?:=(.*))?$/.exec(word) ?? [];
  if (name !== undefined) return flagMacros(name, value ?? "");
  return `${plain} ${escaped(word)}`;
}

function flagMacros(name: string, value: string): string {
  const flag = `Fl ${escaped(`-${name}`)}`;
  if (value === "") return flag;
  return `${flag} Ns = Ns ${value === value.toUpperCase() ? "Ar" : "Cm"} ${escaped(value)}`;
}

function flagHead(name: (typeof flagNames)[number]): string {
  return flagMacros(name, flagNamed(name).value);
}

function flagText(name: (typeof flagNames)[number]): string[] {
  const { summary, default: preset = "not set", example: form, onlyFor } = flagNamed(name);
  const only = onlyFor === undefined ? "" : ` Only for ${onlyFor.join(" and ")}.`;
  return text(`${summary}${only} Default: ${preset}. Example: --${name}=${form}`);
}

function tagged(items: readonly Item[]): string[] {
  const lines = items.flatMap(([tag, about]) => [`.It ${tag}`, ...about]);
  return [".Bl -tag -width Ds", ...lines, ".El"];
}

/** Each what it does, then its commands. */
function examples(list: readonly [string, ...string[]][]): string[] {
  return list.flatMap(([what, ...commands], i) => [
    ...(i === 0 ? [] : [".Pp"]),
    ...text(what),
    ".Bd -literal -offset indent",
    ...commands.map(textLine),
    ".Ed",
  ]);
}

function paragraphsOf(help: string): string[] {
  return help.trim().split("\n\n");
}

/** Plain text as source lines: a sentence begins a line, as mdoc wants it, and none is long. */
function text(paragraph: string): string[] {
  return paragraph
    .replaceAll("\n", " ")
    .split(/(?<=[.!?]) /)
    .flatMap((sentence) => wrap(sentence).map(textLine));
}

function wrap(sentence: string): string[] {
  const lines: string[] = [];
  for (const word of sentence.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`;
    if (lines.length === 0 || escaped(longer).length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

function textLine(line: string): string {
  return (
    escaped(line)
      // What is to be typed must not be hyphenated: it could not be copied.
      .replace(/(?<!\S)(?=\S*(?:\\-|[=_]))/g, "\\%")
      // A dot at the start of a line would make it a macro.
      .replace(/^\./, "\\&.")
  );
}

/** As typed: without this, groff prints other characters for these, which cannot be copied. */
function escaped(words: string): string {
  const names: Record<string, string> = {
    "\\": "\\e",
    "-": "\\-",
    "'": "\\(aq",
    '"': "\\(dq",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
  };
  return words.replace(/[\\'"`^~-]/g, (character) => names[character]!);
}
