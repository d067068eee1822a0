import { describe, expect, test } from "bun:test";
import { UsageError } from "../../src/core/usage-error.ts";
import { flagNamed, flagNames, parseConfigFile, startFlagNames } from "../support/flags.ts";

const PATH = "/etc/etcd-gateway.yaml";
const read = (text: string) => Object.fromEntries(parseConfigFile(text, PATH));

function refusal(text: string): string {
  try {
    read(text);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return (error as UsageError).message;
  }
  throw new Error(`was not refused: ${JSON.stringify(text)}`);
}

const fileKeys = startFlagNames.filter((name) => name !== "config-file");

describe("parseConfigFile()", () => {
  test("gives the texts that the command line would give", () => {
    const text = `# The gateway of rack 4
---
endpoints: [10.0.1.10:2379, "[fd00::12]:2379"]   # both
listen-addr: :23790
"retry-delay": 30s

'drain-timeout' : 0
max-connections:\t2000
insecure-discovery: true
discovery-servers:
- 10.0.0.53:53
# the second one is slow
- 10.0.1.53:53
user: gateway
password: 'it''s #1'
...
`;
    expect(read(text)).toEqual({
      endpoints: "10.0.1.10:2379,[fd00::12]:2379",
      "listen-addr": ":23790",
      "retry-delay": "30s",
      "drain-timeout": "0",
      "max-connections": "2000",
      "insecure-discovery": "true",
      "discovery-servers": "10.0.0.53:53,10.0.1.53:53",
      user: "gateway",
      password: "it's #1",
    });
  });

  test.each([
    "",
    "\n",
    "# nothing yet\n",
    "  # nothing yet",
    "---\n",
    "---\n# nothing\n...\n",
    "\uFEFF",
  ])("takes %j as an empty map", (text) => {
    expect(read(text)).toEqual({});
  });

  const accepted: [text: string, name: string, value: string][] = [
    ["user: a\r\npassword: b\r\n", "password", "b"],
    ["user: a\rpassword: b\r", "password", "b"],
    ["\uFEFFuser: a", "user", "a"],
    ["--- # mine\nuser: a", "user", "a"],
    ["endpoints: a:1,b:2", "endpoints", "a:1,b:2"],
    ["endpoints:\n  - a:1\n  - b:2", "endpoints", "a:1,b:2"],
    ["endpoints: [\n  a:1,\n  # the third is gone\n  b:2,\n]\n", "endpoints", "a:1,b:2"],
    ["endpoints:\n  [a:1]", "endpoints", "a:1"],
    ["endpoints: [\n  a:1\n] # c", "endpoints", "a:1"],
    ["endpoints: [&a a:1, *a]", "endpoints", "a:1,a:1"],
    ['password: "\\x41 b"', "password", "A b"],
    ["password: '0123'", "password", "0123"],
    ["password: !!str 0123", "password", "0123"],
    ["password: 1_000", "password", "1_000"],
    ["password: yes", "password", "yes"],
    ["password: off", "password", "off"],
    ["password: 2026-11-21", "password", "2026-11-21"],
    ["password: 12:30:45", "password", "12:30:45"],
    ["password: a#b", "password", "a#b"],
    ["password: |-\n  a\n", "password", "a"],
    ["password: a\n  b", "password", "a b"],
    ["insecure-discovery: False", "insecure-discovery", "false"],
    ["retry-delay: '30s'", "retry-delay", "30s"],
    // The flags refuse what is neither a Go duration nor a row of digits, as written.
    ["retry-delay: 30", "retry-delay", "30"],
    ["retry-delay: .5", "retry-delay", ".5"],
    ["retry-delay: .inf", "retry-delay", ".inf"],
    ["max-connections: 1e3", "max-connections", "1e3"],
    ["max-connections: 0x10", "max-connections", "0x10"],
    ["max-connections: 9007199254740993", "max-connections", "9007199254740993"],
    ["max-connections: # many\n  2000 # enough\n# for now", "max-connections", "2000"],
    ["max-connections: 2000\t# enough", "max-connections", "2000"],
    ["max-connections: 2000 # \u2028, still the comment", "max-connections", "2000"],
  ];
  test.each(accepted)("reads %j: %s is %j", (text, name, value) => {
    expect(read(text)).toHaveProperty([name], value);
  });

  test.each(fileKeys)("accepts the example that its refusal of %s shows", (name) => {
    const message = refusal(`${name}: {}`);
    const [, example] = /, for example "(.*)"$/.exec(message) ?? [];
    expect(read(example!)).toEqual({ [name]: flagNamed(name).example });
  });

  const refusedValues: [text: string, fact: string][] = [
    ["password: 0123", "a number; put it in quotes to make it a text"],
    ["password: .inf", "a number; put it in quotes to make it a text"],
    ["password: true", "a boolean; put it in quotes to make it a text"],
    ["password:", "empty, not a text"],
    ["password: ~", "empty, not a text"],
    ["password: null", "empty, not a text"],
    ["password: ''", "empty, not a text"],
    ["password: #1", "empty, not a text"],
    ["password: [a]", "a list, not a text"],
    ["password: {a: b}", "a mapping, not a text"],
    ["password:\n  a: b", "a mapping, not a text"],
    ["password: |\n  a\n", "a text with a line break or control character"],
    ['password: "a\\0"', "a text with a line break or control character"],
    ["retry-delay: [1s]", "a list, not a text"],
    ["retry-delay: true", "a boolean; put it in quotes to make it a text"],
    ["max-connections: '5'", "a text, not a whole number without quotes"],
    ["max-connections: 1.5", "a number, not a whole number without quotes"],
    ["max-connections: .inf", "a number, not a whole number without quotes"],
    ["max-connections: [5]", "a list, not a whole number without quotes"],
    ["insecure-discovery: yes", "a text, not true or false"],
    ["insecure-discovery: 'true'", "a text, not true or false"],
    ["insecure-discovery: 1", "a number, not true or false"],
    ["insecure-discovery:", "empty, not true or false"],
    ["endpoints: 2379", "a number; put it in quotes to make it a text"],
    ["endpoints: {a: 1}", "a mapping, not a text"],
    ["endpoints: []", "an empty list"],
    [
      "endpoints: [a:1, 2379]",
      "item 2 of the list is a number; put it in quotes to make it a text",
    ],
    ["endpoints: [a:1, ~]", "item 2 of the list is empty, not a text"],
    ["endpoints: [a:1, '']", "item 2 of the list is empty, not a text"],
    ["endpoints: [[fd00::1]:1]", "item 1 of the list is a mapping, not a text"],
    ["endpoints: [a:1, [b:2]]", "item 2 of the list is a list, not a text"],
    ["endpoints: &a [*a]", "item 1 of the list is a list, not a text"],
  ];
  test.each(refusedValues)("refuses %j: %s", (text, fact) => {
    const name = flagNames.find((name) => text.startsWith(`${name}:`))!;
    expect(refusal(`# first\n${text}`)).toBe(
      `Cannot use "${name}" in ${PATH} line 2: ${fact}, for example "${name}: ${flagNamed(name).example}"`,
    );
  });

  const QUOTES = "put a text with special characters in single quotes";
  const refusedKeys: [text: string, fault: string][] = [
    ["retry_delay: 1s", '"retry_delay" in PATH line 1: unknown key; did you mean "retry-delay"?'],
    ["\n\nlistenAddr: :1", '"listenAddr" in PATH line 3: unknown key; did you mean "listen-addr"?'],
    ["retry delay: 1s", '"retry delay" in PATH line 1: unknown key; did you mean "retry-delay"?'],
    ["--user: a", '"--user" in PATH line 1: unknown key; did you mean "user"?'],
    ["bogus: 1", '"bogus" in PATH line 1: unknown key'],
    ["outputs: json", '"outputs" in PATH line 1: unknown key'],
    ["output: json", '"output" in PATH line 1: this flag cannot stand in a config file'],
    ["config-file: a", '"config-file" in PATH line 1: this flag cannot stand in a config file'],
    ["config_file: a", '"config_file" in PATH line 1: unknown key'],
    ["__proto__: 1", '"__proto__" in PATH line 1: unknown key'],
    ["constructor: 1", '"constructor" in PATH line 1: unknown key'],
    ["1: 2", '"1" in PATH line 1: unknown key'],
    [": 2", '"" in PATH line 1: unknown key'],
    ["? user\n: a", 'PATH line 1: not "key: value" with a space after the colon'],
    ["[user]: a", '"[user]" in PATH line 1: unknown key; did you mean "user"?'],
    ["&a user: a", '"&a user" in PATH line 1: unknown key'],
    ["user: &a a\n<<: *a", '"<<" in PATH line 2: unknown key'],
    ['"\\x75ser": a', '"\\"\\\\x75ser\\"" in PATH line 1: unknown key'],
    ["'user\": a", '"\'user\\"" in PATH line 1: unknown key; did you mean "user"?'],
    ["us\x1ber: a", '"us\\u001ber" in PATH line 1: unknown key; did you mean "user"?'],
    ["user\u00a0: a", '"user\u00a0" in PATH line 1: unknown key; did you mean "user"?'],
    ["user: a\nuser: b", '"user" in PATH line 2: already set in line 1'],
    ['user: a\n"user": b', '"user" in PATH line 2: already set in line 1'],
    ["user: a\n# b\n'user' : b", '"user" in PATH line 3: already set in line 1'],
    ["user:a", 'PATH line 1: not "key: value" with a space after the colon'],
    ["user: a\nb", 'PATH line 2: not "key: value" with a space after the colon'],
    ["user", 'PATH line 1: not "key: value" with a space after the colon'],
    ["42", 'PATH line 1: not "key: value" with a space after the colon'],
    ["%YAML 1.2\n---\nuser: a", 'PATH line 1: not "key: value" with a space after the colon'],
    ["- user: a", 'PATH line 1: a list, where "key: value" is wanted'],
    ["# c\n-\n", 'PATH line 2: a list, where "key: value" is wanted'],
    ["{user: a}", 'PATH line 1: braces around keys, where one "key: value" a line is wanted'],
    ["{\n}", 'PATH line 1: braces around keys, where one "key: value" a line is wanted'],
    [" user: a", "PATH line 1: a key must begin in the first column"],
    ["\tuser: a", "PATH line 1: a key must begin in the first column"],
    [
      "user: a\n---\nuser: b",
      'PATH line 2: the file is not one mapping, with one "key: value" a line',
    ],
    ["---\n---\n", 'PATH line 2: the file is not one mapping, with one "key: value" a line'],
    [
      "user: a\n...\nuser: b",
      'PATH line 2: the file is not one mapping, with one "key: value" a line',
    ],
    ["--- {user: a}", 'PATH line 1: the file is not one mapping, with one "key: value" a line'],
    ["user: a\n password: b", `"user" in PATH line 1: Unexpected token in the value; ${QUOTES}`],
    ["\nuser: a: b", `"user" in PATH line 2: Unexpected token in the value; ${QUOTES}`],
    ["user: 'a", `"user" in PATH line 1: Unexpected EOF in the value; ${QUOTES}`],
    ["user: @a", `"user" in PATH line 1: Unexpected token in the value; ${QUOTES}`],
    ["user: *a", `"user" in PATH line 1: Unresolved alias in the value; ${QUOTES}`],
    ["user: a\n# \0", "PATH line 2: a NUL character, where text in UTF-8 is wanted"],
    ["\0\nuser: a", "PATH line 1: a NUL character, where text in UTF-8 is wanted"],
    ['user: "\\q"', `"user" in PATH line 1: Unexpected character in the value; ${QUOTES}`],
    ["user: a\n]", `"user" in PATH line 1: Unexpected token in the value; ${QUOTES}`],
    [
      "endpoints: [\n]user: b",
      `"endpoints" in PATH line 1: Unexpected key in the value; ${QUOTES}`,
    ],
    [
      "endpoints: [\n]endpoints: [b:2]",
      `"endpoints" in PATH line 1: Unexpected key in the value; ${QUOTES}`,
    ],
    ["user: a\n- b: c : d", `"user" in PATH line 1: Unexpected key in the value; ${QUOTES}`],
    ["user: a\n...\v", 'PATH line 2: not "key: value" with a space after the colon'],
    ["user: a\n- b", `"user" in PATH line 1: Unexpected token in the value; ${QUOTES}`],
    [
      "user:\n\ta: b",
      `"user" in PATH line 1: Tab characters cannot be used as indentation in the value; ${QUOTES}`,
    ],
  ];
  test.each(refusedKeys)("refuses %j: %s", (text, fault) => {
    expect(refusal(text)).toBe(`Cannot use ${fault.replace("PATH", PATH)}`);
  });

  const MIB = 2 ** 20;

  // Ten times what a busy machine takes; what is quadratic takes minutes.

  const QUADRATIC_MS = 15_000;
  const hostile: [what: string, text: string, fact: string][] = [
    ["lists in lists", `endpoints: ${"[".repeat(MIB)}`, "nested too deeply in the value"],
    ["mappings in mappings", `endpoints: ${"{a: ".repeat(MIB)}`, "nested too deeply in the value"],
    ["dashes", `endpoints:\n ${"- ".repeat(MIB)}`, "nested too deeply in the value"],
    ["one letter", "x".repeat(MIB), 'not "key: value"'],
    ["one key", `${"x".repeat(MIB)}: 1`, "unknown key"],
    ["spaces before a colon", `user${" ".repeat(MIB)}x: 1`, "unknown key"],
    ["NUL", "\0".repeat(MIB), "a NUL character"],
    ["line breaks", `${"\n".repeat(MIB)}x`, 'not "key: value"'],
    ["document ends", "...\n".repeat(MIB / 4), "the file is not one mapping"],
    ["spaces in a value", `user: "${" ".repeat(MIB)}`, "Unexpected EOF"],
    [
      "aliases of aliases",
      `endpoints: [&a0 [x]${Array.from({ length: 60 }, (_, i) => `, &a${i + 1} [*a${i}, *a${i}]`).join("")}]`,
      "Excessive aliasing",
    ],
  ];
  test.each(hostile)(
    "refuses a mebibyte of %s in time, and in a short message",
    (_, text, fact) => {
      const before = performance.now();
      const message = refusal(text);
      expect(message).toContain(fact);
      expect(message).toContain(`${PATH} line `);
      expect(message.length).toBeLessThan(250);
      expect(performance.now() - before).toBeLessThan(QUADRATIC_MS);
    },
  );
});
