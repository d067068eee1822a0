// A flag that is a secret never appears in an error, however it was given and
// whatever is wrong with it.
import { describe, expect, test } from "bun:test";
import { UsageError } from "../../src/core/usage-error.ts";
import { fuzzWith, oneOf, type Random, seed } from "../support/random-input.ts";
import { variableOf } from "../../src/cli/flag.ts";
import { flagNamed, flagNames, parseArgv, readConfig } from "../support/flags.ts";

const COUNT = 5000;
const SECRET = "hunter2";
const secretFlags = flagNames.filter((name) => flagNamed(name).isSecret);

const CONTROL = ["\n", "\r\n", "\t", "\x7f", "\x1b[2J"];
const YAML = [
  ...`[]{},|>'"#%@&*!:-?=\\ `,
  ": ",
  "\n",
  "\n  ",
  "\n- ",
  "- ",
  " #",
  "!!int ",
  "~",
  "1",
];

/** The secret with one to four `tokens` before and after it. */
function around(random: Random, tokens: readonly string[]): string {
  const some = () => Array.from({ length: 1 + random(2) }, () => oneOf(random, tokens)).join("");
  return some() + SECRET + some();
}

/** The message of the UsageError; undefined: nothing was wrong. */
function errorOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as Error).message;
  }
  return undefined;
}

describe.each(secretFlags)(`--%s in ${COUNT} faulty inputs (FUZZ_SEED=${seed})`, (name) => {
  test("readConfig() quotes no flag and no variable", () => {
    const faulty = (random: Random) => [around(random, CONTROL), random(2)] as const;
    fuzzWith(COUNT, faulty, ([text, isFlag]) => {
      const { given } = parseArgv(isFlag ? [`--${name}=${text}`] : []);
      const environment = isFlag ? {} : { [variableOf(name)]: text };
      const message = errorOf(() => readConfig({ given, environment, readFile: () => "" }));
      expect(message).toStartWith("Cannot parse ");
      expect(message).toContain(`--${name}`);
      expect(message).not.toContain(SECRET);
    });
  });

  test("readConfig() quotes nothing of the config file", () => {
    let refused = 0;
    const faulty = (random: Random) =>
      `${name}${oneOf(random, [":", ": ", "=", " : "])}${around(random, YAML)}`;
    fuzzWith(COUNT, faulty, (text) => {
      // A later line that reads as a key is one, and is named.
      const [, ...rest] = text.split("\n");
      if (rest.some((line) => line.includes(SECRET) && /^[^\s#].*:/.test(line))) return;
      const { given } = parseArgv(["--config-file=/gw.yaml"]);
      const message = errorOf(() => readConfig({ given, environment: {}, readFile: () => text }));
      if (message !== undefined) refused++;
      expect(message ?? "").not.toContain(SECRET);
    });
    expect(refused).toBeGreaterThan(COUNT / 4);
  });
});

test("isSecret marks every flag whose name says password, token or secret", () => {
  const named = flagNames.filter((name) => /password|token|secret/.test(name));
  expect(secretFlags).toEqual(named);
});
