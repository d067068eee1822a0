// Whatever stands in a config file, on the command line or in a flag: a
// sound value, or an error that a user can read.
import { describe, expect, test } from "bun:test";
import { isIP } from "node:net";
import { isDnsName } from "../../src/core/address.ts";
import { UsageError } from "../../src/core/usage-error.ts";
import {
  fuzz,
  fuzzWith,
  oneOf,
  type Random,
  randomText,
  type Samples,
  seed,
} from "../support/random-input.ts";
import { allFlags } from "../../src/commands/commands.ts";
import { flagNamed, flagNames, parseArgv, parseConfigFile, readConfig } from "../support/flags.ts";

const COUNT = 10_000;
const PATH = "/etc/etcd-gateway.yaml";

const files: Samples = {
  valid: [
    "endpoints: [a:1, b:2]\nlisten-addr: :23790\n",
    "# c\n---\nendpoints:\n- a:1\n# c\n- 'b:2'\nretry-delay: 30s # c\n...\n",
    "max-connections: 2000\r\ninsecure-discovery: true\r\n\r\ndrain-timeout: 0\r\n",
    "user: gateway\npassword: 'it''s'\n\"log-level\": \"warn\"\n",
    "trusted-ca-file: >-\n  /etc/\n  ca.pem\ncert-file: a\n  b\n",
    "endpoints: [\n  &a a:1, *a,\n]\npolicy : round-robin",
  ],
  tokens: [
    ..."[]{},|>'\"#~%@`\\\t\r\n:-?!&*0= ",
    ...[": ", "- ", " #", "\n  ", "\n- ", "---", "\n---\n", "\n...\n", "? ", "<<: ", "!!str "],
    ...["&a ", "*a", "true", "null", "1e3", "0x1f", ".inf", "\0", "\uFEFF", "\u2028", "\u0085"],
    ...flagNames,
    ...flagNames.map((name) => `\n${name}: `),
  ],
};

/** Undefined if it was refused in a way that names `PATH` or one of `names`. */
function tried<T>(parse: () => T, names: readonly string[]): T | undefined {
  try {
    return parse();
  } catch (error) {
    expect((error as Error).constructor).toBe(UsageError);
    expect(names.some((name) => (error as Error).message.includes(name))).toBe(true);
    return undefined;
  }
}

/** Whether `text` is how a flag is told the `value` of YAML; numbers go as they were written. */
function isTextOf(value: unknown, text: string): boolean {
  if (typeof value !== "number")
    return text === (Array.isArray(value) ? value.join(",") : String(value));
  const [, sign, digits = ""] = /^(?:[&!]\S*\s+)?([+-]?)(.*)$/.exec(text)!;
  const size = /^\.inf$/i.test(digits) ? Infinity : Number(digits); // ".nan" is not a number
  return Object.is(sign === "-" ? -size : size, value);
}

/** Without blanks in empty lines: Bun refuses a tab there in some files, and not in others. */
function withoutBlanks(text: string): string {
  return text.replace(/(?<=[\r\n])[ \t]+(?=[\r\n]|$)/g, "");
}

describe(`${COUNT} random inputs (FUZZ_SEED=${seed})`, () => {
  test("parseConfigFile() reads what Bun.YAML reads, or refuses with the file's name", () => {
    let accepted = 0;
    fuzz(COUNT, files, (text) => {
      const texts = tried(() => parseConfigFile(text, PATH), [PATH]);
      if (texts === undefined) return;
      if (texts.size > 0) accepted++;
      const whole = (Bun.YAML.parse(withoutBlanks(text)) ?? {}) as Record<string, unknown>;
      expect([...texts.keys()]).toEqual(Object.keys(whole));
      for (const [name, value] of texts) expect(isTextOf(whole[name], value)).toBe(true);
    });
    expect(accepted).toBeGreaterThan(COUNT / 20);
  });

  test("readConfig() turns a config file into a configuration, or a UsageError", () => {
    let accepted = 0;
    fuzz(COUNT, files, (text) => {
      const input = {
        given: new Map([["config-file", PATH]] as const),
        environment: {},
        readFile: () => text,
      };
      // Of two flags that do not go together, and of a value, only the flag is named.
      if (tried(() => readConfig(input), [PATH, "config file", "--"]) !== undefined) accepted++;
    });
    expect(accepted).toBeGreaterThan(COUNT / 20);
  });

  test("parseArgv() gives what it reads again as the same, or names the argument", () => {
    let accepted = 0;
    fuzzWith(COUNT, randomArgv, (argv) => {
      const written = argv.map((arg) => arg.split("=")[0]!);
      const read = tried(() => parseArgv(argv), written);
      if (read === undefined) return;
      accepted++;
      expect(Object.keys(allFlags)).toEqual(expect.arrayContaining([...read.given.keys()]));
      const again = [...read.given].map(([name, text]) => `--${name}=${text}`);
      if (read.wantsHelp) again.push("--help");
      if (read.wantsVersion) again.push("-v");
      expect(parseArgv([...again, "--", ...read.words])).toEqual(read);
    });
    expect(accepted).toBeGreaterThan(COUNT / 20);
  });

  test.each(flagNames)("--%s parses into a sound value, or a RangeError", (name) => {
    let accepted = 0;
    fuzz(COUNT / 10, valuesOf(name), (text) => {
      try {
        expectSound(name, flagNamed(name).parse(text));
        accepted++;
      } catch (error) {
        if ((error as Error).constructor !== RangeError) throw error;
        expect((error as Error).message).not.toMatch(/call stack|memory|Invalid|^$/);
      }
    });
    expect(accepted).toBeGreaterThan(0);
  });
});

const argvTokens: Samples = {
  valid: flagNames.map((name) => `--${name}=${flagNamed(name).example}`),
  tokens: [
    ..."-= \0a",
    "--",
    "--no-",
    "true",
    "-h",
    "-v",
    "--help",
    "--constructor",
    "__proto__",
    ...flagNames,
  ],
};

function randomArgv(random: Random): string[] {
  return Array.from({ length: random(6) }, () => {
    const name = oneOf(random, flagNames);
    const whole = [`--${name}`, flagNamed(name).example, "start", "--", "-h", "--version"];
    return random(2) ? oneOf(random, whole) : randomText(random, argvTokens);
  });
}

/** A flag's own example, those of the others, and texts of its kind. */
function valuesOf(name: string): Samples {
  const { example, default: fallback = example } = flagNamed(name);
  return {
    valid: [
      example,
      example,
      fallback,
      "debug",
      "table",
      "console",
      "a.b_c.example.com.",
      "0",
      "a".repeat(46),
    ],
    tokens: [..."0123456789abcz.:-_,[]% ", "ms", "h", "://", "::", "true", "T", "2147483648"],
  };
}

function expectSound(name: string, value: unknown): void {
  const { value: word } = flagNamed(name);
  if (word === "DURATION") {
    expect(Number.isFinite(value)).toBe(true);
    expect(value).toBeWithin(0, 2 ** 31);
  } else if (word === "COUNT") {
    expect(Number.isInteger(value)).toBe(true);
    expect(value).toBeWithin(0, 1e9);
  } else if (word === "") expect(value).toBeBoolean();
  else if (name === "discovery-srv") expect(isDnsName(value as string)).toBe(true);
  else if (name === "discovery-srv-name") expect(value).toMatch(/^[a-zA-Z0-9-]{1,46}$/);
  else if (name === "discovery-servers") {
    for (const { host, port } of value as { host: string; port: number }[]) {
      expect(isIP(host)).toBeGreaterThan(0);
      expect(port).toBeWithin(1, 65_536);
    }
  } else if (name === "endpoints") expect((value as unknown[]).length).toBeGreaterThan(0);
  else if (name === "listen-addr" || name === "metrics-addr")
    expect((value as { port: number }).port).toBeWithin(0, 65_536);
  else expect(value).not.toBe("");
}
