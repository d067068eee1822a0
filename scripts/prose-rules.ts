// Checks that text avoids the words that docs/style.md bans: in comments, strings,
// names and Markdown, outside quotations. Prints file, line, word and replacement;
// exits with 1 if it finds any. Grammar and tone are for reviewers.
import { Glob } from "bun";

/** Files, and folders with everything below them. */
const CHECKED: readonly string[] = [
  ".ci",
  "CHANGELOG.md",
  "Dockerfile",
  "README.md",
  "docs",
  "scripts",
  "src",
  "test",
];

const EXEMPT: readonly string[] = [
  // They list the words.
  "docs/style.md",
  "scripts/prose-rules.ts",
];

/** Each banned word, and what to write instead. */
const BANNED: readonly [words: string, instead: string][] = [
  ["anew", '"again"'],
  ["behind", '"after", or name what comes first'],
  ["beside", '"next to", "alongside" or "besides"'],
  ["in vain", '"without success", or name what failed'],
  ["of late", '"recently"'],
  ["all the same", '"still"'],
  ["for ever", '"forever" or "without a limit"'],
  ["whoever", "the actor: client, peer, caller, operator"],
  ["whom", "the actor: client, peer, caller, operator"],
  ["nobody", 'the actor: "no client", "no process"'],
  ["somebody", 'the actor: "a client", "another process"'],
  ["so many", "the name of the number"],
  ["so much", "the name of the amount"],
  ["give or take", '"plus or minus"'],
  ["is no", '"is not a" or "has no"'],
];
/** Correct English that contains a banned pair: "there is no limit", "it is no longer used". */
const ALLOWED: Readonly<Record<string, { before?: string; after?: string }>> = {
  "is no": { before: "there\\s", after: "-|\\s+(?:longer|more)\\b" },
};

const rules = BANNED.map(([words, instead]) => {
  const { before, after } = ALLOWED[words] ?? {};
  const head = before === undefined ? "" : `(?<!${before})`;
  const tail = after === undefined ? "" : `(?!${after})`;
  const pattern = `${head}\\b${words.replaceAll(" ", "\\s+")}\\b${tail}`;
  return { words, instead, pattern: new RegExp(pattern, "gi") };
});

const faults: string[] = [];
const files = CHECKED.flatMap(filesIn).filter((file) => !EXEMPT.includes(file));
for (const file of files) check(file, await Bun.file(file).text());

for (const line of faults) console.error(line);
console.log(`prose rules: ${files.length} files, ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);

/** Returns `path` itself if it is a file, else every file below it. */
function filesIn(path: string): string[] {
  const below = [...new Glob(`${path}/**/*`).scanSync({ dot: true })];
  return below.length === 0 ? [path] : below.toSorted();
}

function check(file: string, text: string): void {
  const prose = withoutQuotations(text, file.endsWith(".md"));
  for (const { words, instead, pattern } of rules) {
    for (const { index } of prose.matchAll(pattern)) {
      const line = prose.slice(0, index).split("\n").length;
      faults.push(`${file}:${line}: "${words}" is banned; write ${instead}`);
    }
  }
}

/**
 * Blanks comment markers, so that a phrase is found across lines, and what
 * Markdown and comments quote: "..." and `...`. Keeps the line breaks. The rest
 * of a program is checked as it is, since its quotes hold messages.
 */
function withoutQuotations(text: string, isMarkdown: boolean): string {
  const lines = text.split("\n").map((line) => {
    const marker = /^\s*(?:\/\/|\/?\*+|#)/.exec(line)?.[0];
    if (!isMarkdown && marker === undefined) return line;
    const prose = isMarkdown ? line : line.slice(marker!.length);
    return prose.replace(/"[^"]*"|`[^`]*`/g, "");
  });
  return lines.join("\n");
}
