// docs/messages.md quotes what the program logs, and has a row for each warning, each
// error, and each reason for which the gateway cannot start.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";

/** Code of src/ by file, without comments. */
const sources = new Map<string, string>();
for (const file of new Bun.Glob("**/*.ts").scanSync("src"))
  sources.set(file, withoutComments(await Bun.file(join("src", file)).text()));

const docs = await Bun.file("docs/messages.md").text();
const firstCells = [...docs.matchAll(/^\| (`.*?`) \| .* \| .* \|$/gm)].map(([, cell]) => cell!);
const documented = firstCells.flatMap((cell) =>
  cell.split(", `").map((text) => text.replaceAll("`", "")),
);

const LITERAL = '"(?:[^"\\\\\\n]|\\\\.)*"|`[^`]*`';
/** A literal, or else what the first argument begins with. */
const ARGUMENT = `(${LITERAL}|\\(?[\\w.#]+)`;

/** The literals of src/, values replaced by "...". Short ones would match anything. */
const literals = new Set(
  [...sources.values()]
    .flatMap((code) => code.match(new RegExp(LITERAL, "g")) ?? [])
    .map(textOf)
    .filter((text) => text.replaceAll("...", "").length >= 8),
);

/** Arguments that are not literals, each with the reason why nothing is missed. */
const INDIRECT: Readonly<Record<string, string>> = {
  "observe/log.ts message": "hands the caller's message on to consola",
  "observe/rate-limited-log.ts message":
    "takes it from the acceptor's call, which is found here too",
  "clients/acceptor.ts warning": "WARNINGS has the texts of clients/connection-limit.ts",
  "service/run.ts warning": "WARNINGS has the texts of cli/config-warnings.ts",
  "service/reload.ts warning": "WARNINGS has the texts of cli/config-warnings.ts",
  "service/run.ts error.message": "the message of a StartError, which is found here too",
  "resolver/start-checks.ts (error": "WARNINGS has the text of os/tls.ts",
  "commands/grpc-proxy-tls.ts message":
    "WARNINGS has the texts of os/listener-tls.ts and auto-tls.ts",
  "commands/grpc-proxy-tls.ts error.message":
    "the message of a TlsFileError: WARNINGS has the text of os/tls.ts",
  "grpc-proxy/upstream.ts error.message": "the message of an SrvError, which is found here too",
  "grpc-proxy/grpc-proxy.ts this.#limit": "WARNINGS has the texts of clients/connection-limit.ts",
  "http-proxy/http-proxy.ts error.message": "the message of an SrvError, which is found here too",
  "http-proxy/http-proxy.ts this.#limit": "WARNINGS has the texts of clients/connection-limit.ts",
  "gateway/gateway.ts error.message": "the message of an SrvError, which is found here too",
  "gateway/gateway.ts this.#limit": "WARNINGS has the texts of clients/connection-limit.ts",
  "service/run.ts tooManySockets": "WARNINGS has the text of tooManySockets",
};

/** Messages that are made in one place and logged in another. */
const WARNINGS: readonly [file: string, pattern: string][] = [
  ["clients/connection-limit.ts", `warning: (${LITERAL})`],
  ["cli/config-warnings.ts", `(?:return|=>) (\`[^\`]*\`)`],
  ["service/run.ts", `return (\`[^\`]*\`)`],
  ["os/tls.ts", `new TlsFileError\\((${LITERAL})`],
  ["commands/grpc-proxy-flags.ts", `isOn\\s*\\? (${LITERAL})`],
  ["commands/grpc-proxy-tls-flags.ts", `isOn\\s*\\? (${LITERAL})`],
  ["commands/grpc-proxy-tls-flags.ts", `ignoredAutoTls\\([^]*?\\? (${LITERAL})`],
  ["commands/http-proxy-flags.ts", `warning: \\(folder: string\\) =>\\s*(${LITERAL})`],
  ["os/listener-tls.ts", `failed\\((${LITERAL})`],
  ["os/auto-tls.ts", `failed\\((${LITERAL})`],
  ["observe/log.ts", `const msg = (${LITERAL})`],
];

/** Messages with a part, VALUE, that has few values, and where these are. */
const VALUES: readonly [message: string, file: string, pattern: RegExp][] = [
  ["refusing clients: VALUE", "clients/acceptor.ts", /^const AT_\w+ = "(.*)"/gm],
  ["refusing clients: VALUE", "clients/acceptor.ts", /^ {2}\w+: "(.*-.*)",$/gm],
  ["refusing clients: VALUE", "gateway/gateway.ts", /^const NO\w+ = "(.*)"/gm],
  ["endpoint is VALUE", "resolver/endpoint.ts", /"(un\w+)"/g],
  [
    "VALUE failed (keeping known endpoints)",
    "resolver/discovery-events.ts",
    /(?<=type Source =[^;]*)"(.*?)"/g,
  ],
  [
    "Cannot listen on ...: VALUE",
    "net/listen-address.ts",
    /(?:E[A-Z]+:|cannotListen\(listen,) ["`](.*?)["`]/g,
  ],
];

describe("docs/messages.md", () => {
  test("quotes only messages that src/ has", () => {
    expect(documented.length).toBeGreaterThan(40);
    expect(documented.filter((text) => !occurs(text))).toEqual([]);
  });

  test("has a row for each warning and each error of src/", () => {
    const calls = [...sources].flatMap(([file, code]) => loggedIn(file, code));
    const made = WARNINGS.flatMap(([file, pattern]) => found(file, new RegExp(pattern, "g")));
    const logged = [...calls, ...made.map(textOf)];
    expect(logged.length).toBeGreaterThan(25);
    expect([...new Set(logged)].filter((text) => !hasRow(text))).toEqual([]);
  });

  test.each(VALUES)("has a row for each value of %p in %s", (message, file, pattern) => {
    const values = new Set(found(file, pattern).map(textOf));
    expect(values.size).toBeGreaterThan(0);
    for (const value of values) expect(documented).toContain(message.replace("VALUE", value));
  });

  test("the test's list of indirect messages has no entry that is not used", () => {
    const used = [...sources].flatMap(([file, code]) =>
      argumentsIn(code)
        .filter((argument) => literalOf(argument, code) === undefined)
        .map((argument) => `${file} ${argument}`),
    );
    expect([...new Set(used)].toSorted()).toEqual(Object.keys(INDIRECT).toSorted());
  });

  test("has one table of exit statuses", () => {
    const sections = docs.split("\n## ");
    const [statuses, ...others] = sections.filter((text) => /^\| \d|\bstatus \d/im.test(text));
    expect(others).toEqual([]);
    expect(statuses).toStartWith("Exit statuses\n");
    const numbers = [...statuses!.matchAll(/^\| (\d+)\b/gm)].map(([, number]) => number!);
    expect(numbers).toEqual(["0", "1", "2", "132", "134"]);
  });
});

/** Returns the messages that this code logs as a warning or an error, or throws as a start error. */
function loggedIn(file: string, code: string): string[] {
  return argumentsIn(code).flatMap((argument) => {
    if (Object.hasOwn(INDIRECT, `${file} ${argument}`)) return [];
    return [textOf(literalOf(argument, code) ?? argument)];
  });
}

function argumentsIn(code: string): string[] {
  const calls = new RegExp(
    `(?:\\.(?:warn|error)|new (?:StartError|SrvError|LibcError|Failure))\\(\\s*${ARGUMENT}`,
    "g",
  );
  return [...code.matchAll(calls)].map(([, argument]) => argument!);
}

/** Returns the literal itself, or that of the constant of this name. */
function literalOf(argument: string, code: string): string | undefined {
  if (/^["`]/.test(argument)) return argument;
  if (!/^\w+$/.test(argument)) return undefined;
  return new RegExp(`const ${argument} =\\s*(${LITERAL})`).exec(code)?.[1];
}

function found(file: string, pattern: RegExp): string[] {
  return [...sources.get(file)!.matchAll(pattern)].map(([, text]) => text!);
}

/** Whether a literal matches `text`, and other literals what it leaves variable. */
function occurs(text: string): boolean {
  if (isVariable(text)) return true;
  return [...literals].some((literal) => {
    if (wild(text).test(literal)) return true;
    const [, ...values] = wild(literal).exec(text) ?? [];
    return values.length > 0 && values.every(occurs);
  });
}

function hasRow(text: string): boolean {
  return documented.some((row) => wild(row).test(text) || wild(text).test(row));
}

/** Returns a pattern in which each "..." matches some text. */
function wild(text: string): RegExp {
  return new RegExp(`^${text.split("...").map(RegExp.escape).join("(.+)")}$`);
}

/** Returns the content of a literal, each of its values replaced by "...". */
function textOf(literal: string): string {
  return literal.replace(/^["`]|["`]$/g, "").replace(/\$\{[^}]*\}/g, "...");
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[^]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

const isVariable = (text: string) => /^"?\.\.\."?$/.test(text);
