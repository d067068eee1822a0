// The rule for control characters in a flag's text, wherever it comes from: none
// are allowed. A line break would become part of a password or a path.
import { quoted } from "../core/quoted.ts";

const CONTROL_CHARACTER = /[\0-\x1f\x7f]/;

export function hasControlCharacter(text: string): boolean {
  return CONTROL_CHARACTER.test(text);
}

/** Returns what is wrong with `text` without quoting it, and how to avoid it; undefined: nothing. */
export function whyNotPlain(text: string): string | undefined {
  const found = CONTROL_CHARACTER.exec(text);
  if (found === null) return undefined;
  if (/^\r?\n$/.test(text.slice(found.index)))
    return "it ends with a line break, as a value made with echo does; use printf, or kubectl create secret --from-literal";
  const code = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  return `it contains a control character (U+${code}), such as a line break or a tab`;
}

/** Escapes `text` for a message of one line, as in JSON. */
export function escapeControlCharacters(text: string): string {
  return /[\0-\x1f\x7f-\x9f]/.test(text) ? quoted(text).slice(1, -1) : text;
}
