// What a row of a flag table can ask for, with tables of this file.
import { describe, expect, test } from "bun:test";
import { type Command, flagsOfAll } from "../../src/cli/command.ts";
import { parseConfigFile } from "../../src/cli/config-file.ts";
import type { FlagTable } from "../../src/cli/flag.ts";
import { parseBoolean, parseText } from "../../src/cli/flag-values.ts";
import { keepFixed, readConfig } from "../../src/cli/read-config.ts";

const base = { value: "TEXT", summary: "", example: "a", parse: (text: string) => text };

function read<Table extends FlagTable>(table: Table, given: Record<string, string>) {
  const input = { given: new Map(Object.entries(given)), environment: {}, readFile: () => "" };
  return readConfig(table, input);
}

describe("a flag table", () => {
  test("with takesEmpty takes an empty text as a value, and otherwise as not set", () => {
    const table = {
      one: { ...base, key: "one", takesEmpty: true },
      two: { ...base, key: "two" },
    } as const satisfies FlagTable;
    expect(read(table, { one: "", two: "" }).config).toEqual({ one: "", two: undefined });
    expect([...parseConfigFile("one: ''\n", "f", { flags: table })]).toEqual([["one", ""]]);
    expect(() => parseConfigFile("two: ''\n", "f", { flags: table })).toThrow("empty, not a text");
    expect(() => parseConfigFile("one:\n", "f", { flags: table })).toThrow("empty, not a text");
  });

  test("adds the warnings of its rows, which see all values", () => {
    const warning = (value: string, values: Readonly<Record<string, unknown>>) =>
      values["other"] === "b" ? `--one "${value}" warns` : undefined;
    const table = { one: { ...base, warning }, other: base } satisfies FlagTable;
    expect(read(table, { one: "a" }).warnings).toEqual([]);
    expect(read(table, { other: "b" }).warnings).toEqual([]);
    expect(read(table, { one: "a", other: "b" }).warnings).toEqual(['--one "a" warns']);
  });

  test("keeps a section whose flags are fixed, also if it is not open", () => {
    const table = {
      one: { ...base, section: "both", key: "one", opensSection: true, isFixed: true },
      two: { ...base, section: "both", key: "two", isFixed: true, default: "t" },
      three: { ...base, section: "other", key: "three" },
    } as const satisfies FlagTable;
    const open = read(table, { one: "a", three: "b" });
    const closed = read(table, { three: "c" });
    expect(keepFixed(table, closed, open).config).toEqual({
      both: { one: "a", two: "t" },
      other: { three: "c" },
    });
    expect(keepFixed(table, open, closed).config).toEqual({
      both: undefined,
      other: { three: "b" },
    });
  });
});

describe("parseConfigFile()", () => {
  const flags: FlagTable = {
    one: { ...base, isFileKey: false },
    count: { ...base, value: "BYTES" },
  };
  const knownFlags: FlagTable = { ...flags, two: base, three: { ...base, isFileKey: false } };

  test.each([
    ["one", "this flag cannot stand in a config file"],
    ["two", "it is a flag of another command"],
    ["three", "this flag cannot stand in a config file"],
    ["four", "unknown key"],
  ])("says why %s is not a key", (key, fact) => {
    expect(() => parseConfigFile(`${key}: a\n`, "f", { flags, knownFlags })).toThrow(fact);
  });

  test.each(["COUNT", "BYTES", "SECONDS", "YEARS"])("wants a number for %s", (value) => {
    const table: FlagTable = { count: { ...base, value } };
    expect([...parseConfigFile("count: 12\n", "f", { flags: table })]).toEqual([["count", "12"]]);
    expect(() => parseConfigFile("count: a\n", "f", { flags: table })).toThrow("whole number");
  });
});

describe("flagsOfAll()", () => {
  test("has the row of the first command that takes a flag", () => {
    const command = (flags: FlagTable): Command => ({
      ...{ words: "", description: "", usage: [], flags },
    });
    const first = { ...base, parse: parseText };
    const second = { ...base, parse: parseBoolean };
    const flags = flagsOfAll([command({ a: first }), command({ b: second, a: second })]);
    expect(Object.keys(flags)).toEqual(["a", "b"]);
    expect(flags["a"]).toBe(first);
  });
});
