import { readFileSync } from "node:fs";

/** A small file as UTF-8 text. Throws an error with a `code` such as ENOENT. */
export function readTextFile(path: string): string {
  return readFileSync(path, "utf8");
}
