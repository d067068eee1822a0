// What the README says of the command line is what the flag table says.
import { describe, expect, test } from "bun:test";
import { flagNamed, flagNames } from "../../src/cli/flags.ts";
import { parseArgv } from "../../src/cli/parse-argv.ts";
import { readConfig } from "../../src/cli/read-config.ts";

const readme = await Bun.file("README.md").text();

describe("README.md", () => {
  test("lists every flag with its default and its meaning", () => {
    const [section] = readme.split("## Flags")[1]!.split("\n## ");
    const rows = section!.split("\n").filter((line) => line.startsWith("| `--"));
    const expected = flagNames.map((name) => {
      const { value, default: text, summary } = flagNamed(name);
      const head = value === "" ? `--${name}` : `--${name}=${value}`;
      return `| \`${head}\` | ${text === undefined ? "not set" : `\`${text}\``} | ${summary} |`;
    });
    expect(rows).toEqual(expected);
  });

  const commands = [
    ...readme.matchAll(/(?:^|\/usr\/bin\/| )etcd-gateway ((?:gateway )?start .*)$/gm),
  ];
  test.each(commands.map(([, command]) => command!))(
    "shows a command that works: %s",
    (command) => {
      const { words, given } = parseArgv(command.split(" "));
      expect(words.at(-1)).toBe("start");
      expect(
        readConfig({ given, environment: {}, readFile: () => "" }).config.endpoints.length,
      ).toBeGreaterThan(0);
    },
  );

  test("shows at least three commands", () => {
    expect(commands.length).toBeGreaterThanOrEqual(3);
  });
});
