// The command objects: complete, consistent with each other, and dispatched.
import { describe, expect, test } from "bun:test";
import packageJson from "../../package.json" with { type: "json" };
import { commandsByWords, listedFlags } from "../../src/cli/command.ts";
import { allFlags, commands, program, run } from "../../src/commands/commands.ts";
import { proxyStatus, stubStatus } from "../support/status-stub.ts";

/** Runs the program in this process. */
async function ran(...args: string[]) {
  let printed = "";
  let errors = "";
  const status = await run(
    args,
    {},
    {
      print: (text) => ((printed += text), true),
      printError: (text) => (errors += text),
    },
  );
  return { status, printed, errors };
}

describe("commands", () => {
  test("have different words", () => {
    const words = commands.flatMap(({ words, aliases = [] }) => [
      words,
      ...aliases.map((alias) => alias.words),
    ]);
    expect(new Set(words).size).toBe(words.length);
  });

  test("agree on what kind of flag a name is, as flags may precede the command", () => {
    for (const { flags } of commands)
      for (const [name, { value, repeatable }] of Object.entries(flags)) {
        const known = allFlags[name]!;
        expect([name, value === "", repeatable]).toEqual([
          name,
          known.value === "",
          known.repeatable,
        ]);
      }
  });

  test.each(commands)("$words lists and shows only flags that it takes", (command) => {
    const shown = command.usage.flatMap((part) => ("flag" in part ? [part.flag] : []));
    for (const name of [...listedFlags(command), ...shown])
      expect(Object.keys(command.flags)).toContain(name);
  });

  test.each(commands)("$words opens its help with its description", async (command) => {
    const { status, printed, errors } = await ran("help", ...command.words.split(" "));
    expect({ status, errors }).toEqual({ status: 0, errors: "" });
    expect(printed).toStartWith(`${command.description}\n\nUsage:\n  ${program.name} `);
  });

  test("have each summary in the program's help", async () => {
    const { printed } = await ran("help");
    for (const { words, summary, aliases = [] } of commands)
      for (const each of [{ words, summary }, ...aliases].filter((entry) => entry.summary))
        expect(printed).toMatch(
          new RegExp(`^  etcd-gateway ${each.words}\\b.* ${each.summary}$`, "m"),
        );
  });

  const runnable = [...commandsByWords(commands)].filter(([, { run, operand }]) => run && !operand);
  test.each(runnable.map(([words]) => words))("%s --version prints the version", async (words) => {
    const { status, printed } = await ran(...words.split(" "), "--version");
    expect(status).toBe(0);
    expect(printed).toStartWith(`${program.name} ${packageJson.version}\n`);
  });
});

describe("run()", () => {
  test("names the commands that take a flag", async () => {
    const { status, errors } = await ran("healthcheck", "--watch");
    expect(status).toBe(2);
    expect(errors).toStartWith(
      'etcd-gateway: Cannot use --watch with "healthcheck": it is a flag of "status"\n',
    );
  });
});

/** Answers each request with this status and body, as a server that is not a gateway. */
function stranger(status: number, body: string) {
  const server = Bun.serve({
    ...{ hostname: "127.0.0.1", port: 0 },
    fetch: () => new Response(body, { status }),
  });
  return { server, flag: `--metrics-addr=127.0.0.1:${server.port}` };
}

describe("status", () => {
  test("says that what answers is not a gateway if its answer lacks something", async () => {
    const body = '{"gateway":{"listen":"a"},"process":{"version":"1"}}';
    const { server, flag } = stranger(200, body);
    const { status, printed, errors } = await ran("status", flag);
    await server.stop(true);
    expect([status, printed]).toEqual([1, ""]);
    expect(errors).toEndWith(": what answers there is not etcd-gateway\n");
  });

  test("prints of a proxy that does not relay what every proxy has", async () => {
    const body = JSON.stringify(stubStatus({ gateway: proxyStatus({ accepted: 7 }) }));
    const { server, flag } = stranger(200, body);
    const { status, printed } = await ran("status", flag);
    await server.stop(true);
    expect(status).toBe(0);
    expect(printed.split("\n").slice(0, 4)).toEqual([
      "etcd-gateway 1.2.3 on 10.0.0.5:23790, up 1m40s",
      "clients: 0 of at most 1000, 7 accepted",
      "refused: none",
      "bytes: 0 B to servers, 0 B to clients, 0 B buffered",
    ]);
  });
});

describe("healthcheck", () => {
  test("escapes what a terminal may obey in the answer", async () => {
    const { server, flag } = stranger(503, "no\x1b[31m \x9b2J");
    const { status, errors } = await ran("healthcheck", flag);
    await server.stop(true);
    expect([status, errors]).toEqual([1, "etcd-gateway: not ready: no\\u001b[31m \\u009b2J\n"]);
  });
});

describe("check", () => {
  test("says in words that a file is too long", async () => {
    const { status, errors } = await ran("check", "--config-file=/dev/zero");
    expect(status).toBe(1);
    expect(errors).toBe(
      'etcd-gateway: Cannot read --config-file "/dev/zero": it is longer than 16 MiB\n',
    );
  });
});
