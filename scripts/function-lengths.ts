// Finds the functions of a formatted file and their lengths. Reads indentation, not
// syntax: the formatter guarantees that a body ends at the indent where it began.

export interface FunctionLength {
  readonly name: string;
  /** Line of the declaration, counted from 1. */
  readonly line: number;
  /** Lines from the declaration to the closing brace, both included. */
  readonly length: number;
}

const TYPESCRIPT = [
  /^(?:export )?(?:async )?function\*? (\w+)/,
  // A method, also one of an object literal.
  /^(?:static |async |get |set |\*)*(#?\w+)(?:<[^(]*>)?\(/,
  // An arrow function: of a property, then of a variable or a field.
  /^(#?\w+): (?:async )?\(/,
  /^(?:export )?(?:const |readonly )?(#?\w+)(?::[^=]*)? = (?:async )?\(/,
];
const SHELL = [/^(\w+)\(\) \{$/];
const STATEMENTS = new Set(["if", "for", "while", "switch", "catch", "return"]);

/** Returns the functions, methods and named arrow functions of `text`, in order. */
export function functionsIn(text: string, language: "typescript" | "shell"): FunctionLength[] {
  const patterns = language === "shell" ? SHELL : TYPESCRIPT;
  const lines = text.split("\n");

  return lines.flatMap((line, start) => {
    const name = declaredName(line.trimStart(), patterns);
    const body = name === undefined ? undefined : bodyStart(lines, start);
    if (name === undefined || body === undefined) return [];

    const indent = line.search(/\S/);
    const closing = new RegExp(`^ {${indent}}\\}[,;]?$`);
    const end = lines.findIndex((other, i) => i > body && closing.test(other));
    return end < 0 ? [] : [{ name, line: start + 1, length: end - start + 1 }];
  });
}

function declaredName(code: string, patterns: readonly RegExp[]): string | undefined {
  for (const pattern of patterns) {
    const name = pattern.exec(code)?.[1];
    if (name !== undefined && !STATEMENTS.has(name)) return name;
  }
  return undefined;
}

/** Returns the line that opens the body, or undefined for a call or a signature. */
function bodyStart(lines: readonly string[], start: number): number | undefined {
  let depth = 0;
  for (let i = start; i < lines.length; i++) {
    depth += lines[i]!.split("(").length - lines[i]!.split(")").length;
    if (depth <= 0) return lines[i]!.endsWith("{") ? i : undefined;
  }
  return undefined;
}
