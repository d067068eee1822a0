// Checks that the rooms of src/ know only whom they may know, and that what
// one room owns stays there. Prints file, line and rule; ends with 1 if any.
import { Glob } from "bun";

/** Whom each room may import, beside itself. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  main: ["cli", "os"],
  cli: ["gateway", "resolver", "dns", "net", "observe", "os", "core"],
  gateway: ["resolver", "relay", "net", "observe", "core"],
  resolver: ["dns", "net", "observe", "core"],
  dns: ["core"],
  relay: ["net", "core"],
  net: ["core"],
  observe: ["net", "core"],
  os: ["core"],
  core: [],
};

/** What only the files that match may contain. */
const owned: readonly { what: RegExp; where: RegExp; rule: string }[] = [
  { what: /from "bun:ffi"/, where: /^os\//, rule: "only os/ imports bun:ffi" },
  {
    what: /\bprocess\.(?!ts")/,
    where: /^(os\/|main\.ts)/,
    rule: "only os/ and main.ts touch process",
  },
  {
    what: /\bBun\.(listen|connect)\(/,
    where: /^(net\/tcp-socket|os\/dns-sockets)\.ts/,
    rule: "only net/tcp-socket.ts and os/dns-sockets.ts open sockets",
  },
  {
    what: /from "consola/,
    where: /^observe\/log\.ts/,
    rule: "only observe/log.ts imports consola",
  },
  {
    what: /from "dns-packet"/,
    where: /^dns\/message\.ts/,
    rule: "only dns/message.ts imports dns-packet",
  },
  { what: /from "citty"/, where: /^cli\/commands\.ts/, rule: "only cli/commands.ts imports citty" },
  { what: /\bconsole\./, where: /^$/, rule: "nothing uses console" },
  {
    what: /\b(setTimeout|setInterval|performance\.now|Date\.now)\b/,
    where: /^os\/clock\.ts/,
    rule: "time comes as a Clock",
  },
  { what: /Math\.random/, where: /^$/, rule: "randomness comes as an argument" },
];

const MAX_LINES = 300;

interface Import {
  readonly line: number;
  /** The imported file, relative to src/, or the package. */
  readonly target: string;
}

const faults: string[] = [];
const graph = new Map<string, Import[]>();

for (const file of [...new Glob("**/*.{ts,js,css,html}").scanSync("src")].sort()) {
  const text = await Bun.file(`src/${file}`).text();
  const lines = text.split("\n");
  if (lines.length > MAX_LINES) fault(file, MAX_LINES, `a file has at most ${MAX_LINES} lines`);
  // The page's own files run in a browser, where there are no rooms.
  if (!file.endsWith(".ts")) continue;
  const imports = importsOf(file, text);
  graph.set(file, imports);
  if (/(^|\/)(index|utils?|helpers?)\.ts$/.test(file))
    fault(file, 1, "a file is named for what it holds");
  checkRooms(file, imports);
  for (const { what, where, rule } of owned) {
    lines.forEach((line, i) => {
      if (what.test(withoutComment(line)) && !where.test(file)) fault(file, i + 1, rule);
    });
  }
}
for (const file of graph.keys()) checkCycle(file);

for (const line of faults) console.error(line);
console.log(`import rules: ${graph.size} files, ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);

function fault(file: string, line: number, rule: string): void {
  faults.push(`src/${file}:${line}: ${rule}`);
}

function importsOf(file: string, text: string): Import[] {
  const found: Import[] = [];
  for (const match of text.matchAll(
    /^(?:import|export)\b[^"';]*?from "([^"]+)"|import\("([^"]+)"\)/gm,
  )) {
    const path = match[1] ?? match[2]!;
    const line = text.slice(0, match.index).split("\n").length;
    const target = path.startsWith(".") ? new URL(path, `file:///${file}`).pathname.slice(1) : path;
    found.push({ line, target });
  }
  return found;
}

function roomOf(file: string): string {
  return file.includes("/") ? file.split("/")[0]! : file.replace(/\.ts$/, "");
}

function checkRooms(file: string, imports: readonly Import[]): void {
  const room = roomOf(file);
  for (const { line, target } of imports) {
    if (!target.endsWith(".ts")) continue;
    const other = roomOf(target);
    if (other === room || mayImport[room]?.includes(other)) continue;
    fault(file, line, `${room}/ must not import ${other}/`);
  }
}

/** Depth first from `start`; a way back to it is a cycle. */
function checkCycle(start: string): void {
  const seen = new Set<string>();
  const reaches = (file: string): boolean => {
    if (seen.has(file)) return false;
    seen.add(file);
    return (graph.get(file) ?? []).some(({ target }) => target === start || reaches(target));
  };
  if (reaches(start)) fault(start, 1, "imports go in a circle");
}

function withoutComment(line: string): string {
  return line.replace(/^\s*(\/\/|\*|\/\*).*/, "");
}
