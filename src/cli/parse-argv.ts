// The strict pass over the raw arguments: it rejects what etcd's own command line
// (cobra, pflag) rejects and citty accepts silently. From the flag table it takes which
// flags exist and which have a value, not what the values mean.
import { UsageError } from "../core/usage-error.ts";
import { type FlagTable, findFlag } from "./flag.ts";
import { nearestFlag } from "./nearest-flag.ts";

export interface Argv {
  /** The arguments that are not flags, in order: `["gateway", "start"]`. */
  readonly words: readonly string[];
  /** Values by flag. Of a repeated flag it has the last, or all if the flag is repeatable. */
  readonly given: ReadonlyMap<string, string>;
  readonly wantsHelp: boolean;
  readonly wantsVersion: boolean;
}

/**
 * Splits the arguments that follow the program's name. Flags may stand before, between
 * and after the words.
 *
 * @throws {UsageError} for an unknown flag, a missing value, a lone dash.
 */
export function parseArgv(argv: readonly string[], flags: FlagTable): Argv {
  const words: string[] = [];
  const given = new Map<string, string>();
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
    const { name, inline } = splitFlag(arg, flags);
    const flag = flags[name]!;
    const text = inline ?? (flag.value === "" ? "true" : argv[++i]);
    if (text === undefined)
      throw new UsageError(`Missing value of --${name}: for example --${name}=${flag.example}`);
    const before = flag.repeatable ? given.get(name) : undefined;
    given.set(name, before === undefined ? text : `${before},${text}`);
  }
  return { words, given, wantsHelp: asked.has("h"), wantsVersion: asked.has("v") };
}

function splitFlag(arg: string, flags: FlagTable): { name: string; inline: string | undefined } {
  const equals = arg.indexOf("=");
  const written = equals < 0 ? arg : arg.slice(0, equals);
  const name = written.slice(2);

  if (!written.startsWith("--") || findFlag(flags, name) === undefined) {
    const guess = nearestFlag(flags, written.replace(/^-+/, ""));
    const hint = guess === undefined ? "" : `; did you mean --${guess}?`;
    throw new UsageError(`Unknown flag "${written}"${hint}`);
  }
  return { name, inline: equals < 0 ? undefined : arg.slice(equals + 1) };
}
