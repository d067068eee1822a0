// Text in quotes for a line that a person reads in a terminal.

/** Quotes and escapes `text` as in JSON, and DEL and the C1 controls too, which a terminal may obey. */
export function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\x7f-\x9f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
