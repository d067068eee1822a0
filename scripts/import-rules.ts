// Checks the structure of src/: which folder imports which, what only one folder may
// use, how long files are; and how long functions are, in scripts/ too. Prints file,
// line and rule; exits with 1 if a rule is broken.
import { Glob } from "bun";
import { functionsIn } from "./function-lengths.ts";

/** The folders that each folder may import, besides itself. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  main: ["commands", "os"],
  // network.ts wires dns to os for the resolver.
  commands: [
    "service",
    "gateway",
    "grpc-proxy",
    "http-proxy",
    "resolver",
    "dns",
    "cli",
    "observe",
    "os",
    "core",
  ],
  service: ["observe", "net", "os", "core"],
  cli: ["core"],
  gateway: ["clients", "resolver", "relay", "net", "observe", "core"],
  "grpc-proxy": ["clients", "resolver", "http2", "protobuf", "net", "observe", "core"],
  "http-proxy": ["clients", "resolver", "net", "observe", "core"],
  clients: ["net", "observe", "core"],
  resolver: ["dns", "net", "observe", "core"],
  dns: ["core"],
  relay: ["net", "core"],
  http2: ["net", "core"],
  protobuf: [],
  net: ["core"],
  observe: ["net", "core"],
  os: ["core"],
  core: [],
};

/** Code that only the files matching `where` may contain. */
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
  {
    what: /from "citty"/,
    where: /^commands\/commands\.ts/,
    rule: "only commands/commands.ts imports citty",
  },
  { what: /\bconsole\./, where: /^$/, rule: "no file uses console" },
  {
    what: /\b(setTimeout|setInterval|performance\.now|Date\.now)\b/,
    // A stream for node:http has a method of this name.
    where: /^(os\/clock|http-proxy\/socket-stream)\.ts/,
    rule: "time comes as a Clock",
  },
  { what: /Math\.random/, where: /^$/, rule: "randomness comes as an argument" },
];

const MAX_FILE_LINES = 300;
const MAX_FUNCTION_LINES = 40;

/** Functions that are too long and wait to be split. Never add one: split it. */
const TOO_LONG: ReadonlySet<string> = new Set([
  // Shell code in a string: bash has no shorter form of it.
  "src/cli/completion-bash.ts _etcd_gateway",
  "src/cli/completion-bash.ts bashCompletion",
]);

interface Import {
  readonly line: number;
  /** The imported file, relative to src/, or the package. */
  readonly target: string;
}

const faults: string[] = [];
const unusedExceptions = new Set(TOO_LONG);
const graph = new Map<string, Import[]>();

for (const file of [...new Glob("**/*.{ts,js,css,html}").scanSync("src")].sort()) {
  const text = await Bun.file(`src/${file}`).text();
  const lines = text.split("\n");
  if (lines.length > MAX_FILE_LINES)
    fault(`src/${file}`, MAX_FILE_LINES, `a file has at most ${MAX_FILE_LINES} lines`);
  if (/\.[jt]s$/.test(file)) checkFunctions(`src/${file}`, text);
  // The status page's files run in a browser, where these folders do not exist.
  if (!file.endsWith(".ts")) continue;

  const imports = importsOf(file, text);
  graph.set(file, imports);
  if (/(^|\/)(index|utils?|helpers?)\.ts$/.test(file))
    fault(`src/${file}`, 1, "a file is named after what it holds");
  checkFolders(file, imports);

  for (const { what, where, rule } of owned) {
    lines.forEach((line, i) => {
      if (what.test(withoutComment(line)) && !where.test(file)) fault(`src/${file}`, i + 1, rule);
    });
  }
}
for (const file of graph.keys()) checkCycle(file);

for (const file of [...new Glob("*").scanSync("scripts")].sort())
  checkFunctions(`scripts/${file}`, await Bun.file(`scripts/${file}`).text());
for (const name of unusedExceptions) faults.push(`${name}: remove it from TOO_LONG`);

for (const line of faults) console.error(line);
console.log(`import rules: ${graph.size} files, ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);

function fault(path: string, line: number, rule: string): void {
  faults.push(`${path}:${line}: ${rule}`);
}

function checkFunctions(path: string, text: string): void {
  const language = /\.[jt]s$/.test(path) ? "typescript" : "shell";
  for (const { name, line, length } of functionsIn(text, language)) {
    if (length <= MAX_FUNCTION_LINES) continue;
    if (TOO_LONG.has(`${path} ${name}`)) unusedExceptions.delete(`${path} ${name}`);
    else fault(path, line, `${name} has ${length} lines; at most ${MAX_FUNCTION_LINES}`);
  }
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

function folderOf(file: string): string {
  return file.includes("/") ? file.split("/")[0]! : file.replace(/\.ts$/, "");
}

function checkFolders(file: string, imports: readonly Import[]): void {
  const folder = folderOf(file);
  for (const { line, target } of imports) {
    if (!target.endsWith(".ts")) continue;
    const other = folderOf(target);
    if (other === folder || mayImport[folder]?.includes(other)) continue;
    fault(`src/${file}`, line, `${folder}/ must not import ${other}/`);
  }
}

/** Searches depth first for a path of imports from `start` back to itself. */
function checkCycle(start: string): void {
  const seen = new Set<string>();
  const reaches = (file: string): boolean => {
    if (seen.has(file)) return false;
    seen.add(file);
    return (graph.get(file) ?? []).some(({ target }) => target === start || reaches(target));
  };
  if (reaches(start)) fault(`src/${start}`, 1, "imports form a cycle");
}

function withoutComment(line: string): string {
  return line.replace(/^\s*(\/\/|\*|\/\*).*/, "");
}
