// Guesses which flag was meant by a name that does not exist.
import type { FlagTable } from "./flag.ts";

const MAX_EDIT_DISTANCE = 2;

/** Returns the flag within two edits of what was written (`listenAddr`, `retry_delay`, `endpoint`). */
export function nearestFlag(flags: FlagTable, written: string): string | undefined {
  const kebab = written
    .replace(/([a-z])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase();
  const [nearest] = Object.keys(flags)
    // An edit changes the length by one at most, so a megabyte costs nothing.
    .filter((name) => Math.abs(name.length - kebab.length) <= MAX_EDIT_DISTANCE)
    .map((name) => ({ name, edits: editDistance(kebab, name) }))
    .sort((a, b) => a.edits - b.edits);
  return nearest !== undefined && nearest.edits <= MAX_EDIT_DISTANCE ? nearest.name : undefined;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
