// The config file: YAML text in, the texts of flags out, as the command line
// would give them. It reads no file, and does not know what the texts mean.
import { UsageError } from "../core/usage-error.ts";
import { hasControlCharacter } from "./control-characters.ts";
import { type Flag, type FlagTable, findFlag, isNumber } from "./flag.ts";
import { nearestFlag } from "./nearest-flag.ts";

/** The flags that a config file may set. */
export interface FileFlags {
  readonly flags: FlagTable;
  /** Flags of any command, for a better error. Undefined: those of this one. */
  readonly knownFlags?: FlagTable | undefined;
}

/**
 * Reads a YAML mapping of flags' names without dashes to their values. A file
 * without any key is an empty map.
 *
 * @throws {UsageError} naming the file, the line and, where there is one, the key.
 */
export function parseConfigFile(
  text: string,
  path: string,
  { flags, knownFlags = flags }: FileFlags,
): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  const lines = new Map<string, number>();
  for (const entry of entriesOf(text, path)) {
    const { key, place } = entry;
    const flag = findFlag(flags, key);
    if (flag === undefined || flag.isFileKey === false)
      throw fault(place, whyNotKey(key, flags, knownFlags));
    const before = lines.get(key);
    if (before !== undefined) throw fault(place, `already set in line ${before}`);
    lines.set(key, place.line);
    texts.set(key, textOf(key, flag, entry));
  }
  return texts;
}

interface Place {
  readonly path: string;
  readonly line: number;
  readonly key?: string;
}

/** A key and all lines up to the next one. */
interface Entry {
  readonly key: string;
  readonly place: Place;
  /** What follows the key's colon, then the lines below; comments included. */
  readonly source: string[];
}

/**
 * Splits the text before each line that begins with a key, because Bun.YAML silently
 * keeps the last of equal keys and its errors have no line of the file. In the first
 * column, a value continues only with the items of a list or a closing bracket.
 */
function entriesOf(text: string, path: string): Entry[] {
  const entries: Entry[] = [];
  let isBegun = false;
  const lines = text
    .replace(/^\uFEFF/, "")
    .replace(/(^|[\r\n])\.\.\.[ \t\r\n]*$/, "$1") // the mark of the document's end
    .split(/\r\n?|\n/);
  for (const [i, line] of lines.entries()) {
    const last = entries.at(-1);
    const place = { path, line: i + 1 };
    // Also how UTF-16 looks when it is read as UTF-8.
    if (line.includes("\0")) throw fault(place, "a NUL character, where text in UTF-8 is wanted");
    if (/^(---|\.\.\.)(?=[ \t]|$)/.test(line)) {
      if (isBegun || !/^---[ \t]*(#|$)/.test(line))
        throw fault(place, 'the file is not one mapping, with one "key: value" a line');
      isBegun = true;
    } else if (/^[ \t]*(#|$)/.test(line)) {
      last?.source.push(line);
    } else if (/^([ \t\]}]|-([ \t]|$))/.test(line)) {
      if (last === undefined) throw fault(place, whyNotEntry(line));
      last.source.push(line);
    } else {
      entries.push(entryOf(line, place));
      isBegun = true;
    }
  }
  return entries;
}

function entryOf(line: string, place: Place): Entry {
  const colon = line.search(/:(?=[ \t]|$)/);
  if (colon < 0 || line.startsWith("{")) throw fault(place, whyNotEntry(line));
  const written = line.slice(0, colon);
  // Anything else, such as an escape in the quotes, stays and makes an unknown key.
  const key = /^(["']?)([\w-]+)\1[ \t]*$/.exec(written)?.[2] ?? written;
  return { key, place: { ...place, key }, source: [line.slice(colon + 1)] };
}

function whyNotEntry(line: string): string {
  if (/^[ \t]/.test(line)) return "a key must begin in the first column";
  if (line.startsWith("-")) return 'a list, where "key: value" is wanted';
  if (line.startsWith("{")) return 'braces around keys, where one "key: value" a line is wanted';
  return 'not "key: value" with a space after the colon';
}

function whyNotKey(key: string, flags: FlagTable, knownFlags: FlagTable): string {
  const known = findFlag(flags, key) ?? findFlag(knownFlags, key);
  if (known !== undefined)
    return known.isFileKey === false
      ? "this flag cannot stand in a config file"
      : "it is a flag of another command";
  const guess = nearestFlag(flags, key);
  const hint =
    guess !== undefined && flags[guess]!.isFileKey !== false ? `; did you mean "${guess}"?` : "";
  return `unknown key${hint}`;
}

/** @throws {UsageError} if the value is not of the kind that the flag takes. */
function textOf(name: string, flag: Flag<unknown>, { place, source }: Entry): string {
  const value = valueOf(place, source);
  const wrong = whyNotValue(flag, value);
  if (wrong !== undefined) throw fault(place, `${wrong}, for example "${name}: ${flag.example}"`);
  // As it was written, so that 0x10 and 1e3 are refused as they are on the command line.
  if (typeof value === "number") return withoutComments(source);
  return String(value);
}

function valueOf(place: Place, source: readonly string[]): unknown {
  try {
    const keys = Object.entries(Bun.YAML.parse(`the value:${source.join("\n")}`) as object);
    // Bun takes what follows "\n]", and "\n- a: b : c", for a further key.
    if (keys.length !== 1) throw new SyntaxError("Unexpected key");
    return keys[0]![1];
  } catch (error) {
    // A RangeError is the stack's end. The other messages are kept, not their
    // `line`, which is that of this call.
    const fact =
      error instanceof SyntaxError
        ? error.message.replace(/^YAML Parse error: /, "")
        : "nested too deeply";
    throw fault(place, `${fact} in the value; put a text with special characters in single quotes`);
  }
}

/** What is wrong with the kind of `value`, and what is wanted; undefined: nothing. */
function whyNotValue(
  { value: word, repeatable, takesEmpty }: Flag<unknown>,
  value: unknown,
): string | undefined {
  if (value === "" && takesEmpty) return undefined;
  const kind = kindOf(value);
  if (word === "") return typeof value === "boolean" ? undefined : `${kind}, not true or false`;
  if (isNumber(word))
    return Number.isInteger(value) ? undefined : `${kind}, not a whole number without quotes`;
  if (word === "DURATION" && typeof value === "number") return undefined;
  if (repeatable && Array.isArray(value)) {
    if (value.length === 0) return "an empty list";
    const i = value.findIndex((item) => whyNotText(item) !== undefined);
    return i < 0 ? undefined : `item ${i + 1} of the list is ${whyNotText(value[i])}`;
  }
  return whyNotText(value);
}

function whyNotText(value: unknown): string | undefined {
  if (typeof value === "number" || typeof value === "boolean")
    return `${kindOf(value)}; put it in quotes to make it a text`;
  if (typeof value !== "string" || value === "") return `${kindOf(value)}, not a text`;
  // A block scalar ends with a line break.
  return hasControlCharacter(value) ? "a text with a line break or control character" : undefined;
}

function kindOf(value: unknown): string {
  if (value === null || value === "") return "empty";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  return typeof value === "string" ? "a text" : `a ${typeof value}`;
}

function withoutComments(source: readonly string[]): string {
  return source
    .map((line) => line.replace(/(^|[ \t])#[^]*/, ""))
    .join("\n")
    .trim();
}

/** A key may be a whole file of garbage. */
const MOST_QUOTED = 60;

/** Cut where a value may begin that is a secret: "password:secret: a", "password=secret: a". */
function quoteKey(key: string): string {
  return JSON.stringify(key.split(/(?<=.)[:=]/)[0]!.slice(0, MOST_QUOTED));
}

function fault({ path, line, key }: Place, fact: string): UsageError {
  const quoted = key === undefined ? "" : `${quoteKey(key)} in `;
  return new UsageError(`Cannot use ${quoted}${path} line ${line}: ${fact}`);
}
