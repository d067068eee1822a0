// The strict pass over the raw arguments: it rejects what etcd's own command
// line (cobra, pflag) rejects and citty accepts in silence. It knows which
// flags exist and which take a value, not what the values mean.
import { UsageError } from "../core/usage-error.ts";
import { type FlagName, flagNamed, flags } from "./flags.ts";
import { nearestFlag } from "./nearest-flag.ts";

export interface Argv {
  /** What is no flag, in order: `["gateway", "start"]`. */
  readonly words: readonly string[];
  /** Values by flag; a repeated flag keeps the last, `endpoints` keeps all. */
  readonly given: ReadonlyMap<FlagName, string>;
  readonly wantsHelp: boolean;
  readonly wantsVersion: boolean;
}

/**
 * Splits the arguments behind the program's name. Flags may stand before,
 * between and behind the words.
 *
 * @throws {UsageError} for an unknown flag, a missing value, a lone dash.
 */
export function parseArgv(argv: readonly string[]): Argv {
  const words: string[] = [];
  const given = new Map<FlagName, string>();
  const asked = new Set<string>();
  for (let i = 0; i < argv.length; i++) {
    const arg = argv[i]!;
    if (arg === "--") {
      words.push(...argv.slice(i + 1));
      break;
    }
    if (!arg.startsWith("-")) {
      words.push(arg);
      continue;
    }
    if (/^(-h|--help|-v|--version)$/.test(arg)) {
      asked.add(arg.replace(/^-+/, "")[0]!);
      continue;
    }
    const { name, inline } = splitFlag(arg);
    const flag = flagNamed(name);
    const text = inline ?? (flag.value === "" ? "true" : argv[++i]);
    if (text === undefined)
      throw new UsageError(`Missing value of --${name}: for example --${name}=${flag.example}`);
    const before = flag.repeatable ? given.get(name) : undefined;
    given.set(name, before === undefined ? text : `${before},${text}`);
  }
  return { words, given, wantsHelp: asked.has("h"), wantsVersion: asked.has("v") };
}

function splitFlag(arg: string): { name: FlagName; inline: string | undefined } {
  const equals = arg.indexOf("=");
  const written = equals < 0 ? arg : arg.slice(0, equals);
  const name = written.slice(2);
  if (!written.startsWith("--") || !Object.hasOwn(flags, name)) {
    const guess = nearestFlag(written.replace(/^-+/, ""));
    const hint = guess === undefined ? "" : `; did you mean --${guess}?`;
    throw new UsageError(`Unknown flag "${written}"${hint}`);
  }
  return { name: name as FlagName, inline: equals < 0 ? undefined : arg.slice(equals + 1) };
}
