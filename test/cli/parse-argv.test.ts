import { describe, expect, test } from "bun:test";
import { UsageError } from "../../src/core/usage-error.ts";
import { parseArgv } from "../support/flags.ts";

const read = (...argv: string[]) => {
  const { words, given } = parseArgv(argv);
  return { words, given: Object.fromEntries(given) };
};

describe("parseArgv()", () => {
  test("parseArgv() takes values after = and after a space alike", () => {
    const expected = { words: ["start"], given: { "retry-delay": "5s" } };
    expect(read("start", "--retry-delay=5s")).toEqual(expected);
    expect(read("start", "--retry-delay", "5s")).toEqual(expected);
  });

  test("takes flags before the command, where a value is not taken for a word", () => {
    expect(read("gateway", "--endpoints", "a:1", "start")).toEqual({
      words: ["gateway", "start"],
      given: { endpoints: "a:1" },
    });
  });

  test("adds up a repeated --endpoints, where citty keeps the last", () => {
    expect(read("--endpoints=a:1,b:2", "--endpoints", "c:3").given).toEqual({
      endpoints: "a:1,b:2,c:3",
    });
  });

  test("keeps the last of any other repeated flag, as pflag does", () => {
    expect(read("--retry-delay=1s", "--retry-delay=2s").given).toEqual({ "retry-delay": "2s" });
  });

  test("parseArgv() takes a switch's value only after =, as pflag does", () => {
    expect(read("--insecure-discovery").given).toEqual({ "insecure-discovery": "true" });
    expect(read("--insecure-discovery=0").given).toEqual({ "insecure-discovery": "0" });
    expect(read("--insecure-discovery", "false")).toEqual({
      words: ["false"],
      given: { "insecure-discovery": "true" },
    });
  });

  test("takes a value that looks like a flag", () => {
    expect(read("--retry-delay", "-5s").given).toEqual({ "retry-delay": "-5s" });
  });

  test("keeps an empty value, for the flag to refuse", () => {
    expect(read("--endpoints=").given).toEqual({ endpoints: "" });
  });

  test("parseArgv() takes everything after -- as words", () => {
    expect(read("start", "--", "--endpoints=a:1").words).toEqual(["start", "--endpoints=a:1"]);
  });

  test("sees help and version anywhere", () => {
    expect(parseArgv(["start", "-h"]).wantsHelp).toBe(true);
    expect(parseArgv(["--help", "start"]).wantsHelp).toBe(true);
    expect(parseArgv(["start", "--version"]).wantsVersion).toBe(true);
    expect(parseArgv(["-v"]).wantsVersion).toBe(true);
    expect(parseArgv(["start"]).wantsHelp).toBe(false);
  });

  const refused: [argv: string[], message: string][] = [
    [["--bogus"], 'Unknown flag "--bogus"'],
    [["--bogus=1"], 'Unknown flag "--bogus"'],
    [["--endpoint=a:1"], 'Unknown flag "--endpoint"; did you mean --endpoints?'],
    [["--listenAddr=a:1"], 'Unknown flag "--listenAddr"; did you mean --listen-addr?'],
    [["--retry_delay=1s"], 'Unknown flag "--retry_delay"; did you mean --retry-delay?'],
    [["-endpoints=a:1"], 'Unknown flag "-endpoints"; did you mean --endpoints?'],
    [["--no-insecure-discovery"], 'Unknown flag "--no-insecure-discovery"'],
    [["--no-endpoints"], 'Unknown flag "--no-endpoints"'],
    [["--constructor"], 'Unknown flag "--constructor"'],
    [["--__proto__=1"], 'Unknown flag "--__proto__"'],
    [["-x"], 'Unknown flag "-x"'],
    [["-"], 'Unknown flag "-"'],
    [["--=1"], 'Unknown flag "--"'],
    [["start", "--endpoints"], "Missing value of --endpoints: for example --endpoints="],
  ];
  test.each(refused)("refuses %p", (argv, message) => {
    expect(() => parseArgv(argv)).toThrow(UsageError);
    expect(() => parseArgv(argv)).toThrow(message);
  });
});
