// The command objects: complete, consistent with each other, and dispatched.
import { describe, expect, test } from "bun:test";
import packageJson from "../../package.json" with { type: "json" };
import { commandsByWords, listedFlags } from "../../src/cli/command.ts";
import { allFlags, commands, program, run } from "../../src/commands/commands.ts";
import { grpcProxyStatus, stubStatus } from "../support/status-stub.ts";

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
  test.each<[args: string[], message: string]>([
    [["--bogus"], 'Unknown flag "--bogus"'],
    [["--idle-timeout=1h"], 'Cannot use --idle-timeout with "grpc-proxy start": it is a flag of "start" and "check"'],
    [["--resolver-ttl=5"], 'Cannot use --resolver-ttl "5": invalid resolver-prefix ""'],
    [["--experimental-leasing-prefix", "p"], 'Cannot use --experimental-leasing-prefix "p": leasing is not supported'],
    [["--max-send-bytes"], "Missing value of --max-send-bytes: for example --max-send-bytes=10485760"],
    [["now"], 'Unexpected argument "now" after "grpc-proxy start"'],
  ])("refuses grpc-proxy start %p, and refers to its help", async (args, message) => {
    const { status, printed, errors } = await ran("grpc-proxy", "start", ...args);
    expect([status, printed]).toEqual([2, ""]);
    expect(errors).toStartWith(`etcd-gateway: ${message}`);
    expect(errors).toEndWith('\n"etcd-gateway help grpc-proxy start" explains every flag.\n');
  }); // prettier-ignore

  test("names the command below grpc-proxy", async () => {
    const { status, errors } = await ran("grpc-proxy", "stop");
    expect(status).toBe(2);
    expect(errors).toBe(
      'etcd-gateway: Unknown command "grpc-proxy stop"; did you mean "grpc-proxy start"?\n"etcd-gateway help grpc-proxy start" explains every flag.\n',
    );
  });

  test("exits with 1 if the password file of grpc-proxy start does not exist", async () => {
    const { status, errors } = await ran(
      "grpc-proxy",
      "start",
      "--user=u",
      "--password-file=/gone",
    );
    expect(status).toBe(1);
    expect(errors).toBe(
      'etcd-gateway: Cannot read --password-file "/gone": there is no such file\n',
    );
  });

  test("refuses a flag of the gRPC proxy for the gateway, and names its command", async () => {
    const { status, errors } = await ran("start", "--namespace=a/");
    expect(status).toBe(2);
    expect(errors).toBe(
      'etcd-gateway: Cannot use --namespace with "start": it is a flag of "grpc-proxy start" and "grpc-proxy check"\n"etcd-gateway help start" explains every flag.\n',
    );
  });

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
    const body = JSON.stringify(stubStatus({ gateway: grpcProxyStatus({ accepted: 7 }) }));
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

describe("status and healthcheck", () => {
  // Alone, some of these are half of a pair for the other proxy.
  const units: string[][] = [
    ["--trusted-ca-file=ca", "--discovery-srv=example.com", "--idle-timeout=1h"],
    ["--cacert=ca", "--namespace=a/", "--endpoints=unix:///run/m0", "--advertise-client-url="],
    ["--trusted-ca-file=ca", "--listen-addr=127.0.0.1:9"],
  ];
  test.each(units)("take the flags of either proxy: %p", async (...unit) => {
    const body = JSON.stringify(stubStatus({ gateway: grpcProxyStatus() }));
    const { server, flag } = stranger(200, body);
    const url = flag.replace("=", "=http://");
    expect(await ran("status", url, ...unit)).toMatchObject({ status: 0, errors: "" });
    expect(await ran("healthcheck", url, ...unit)).toMatchObject({
      status: 1,
      errors: expect.stringContaining("what answers there is not etcd-gateway"),
    });
    await server.stop(true);
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

  test("refers a flag of the gRPC proxy to the command that takes it", async () => {
    const { status, errors } = await ran("check", "--cacert=ca.pem");
    expect(status).toBe(2);
    expect(errors).toContain(
      'Cannot use --cacert with "check": it is a flag of "grpc-proxy start" and "grpc-proxy check"',
    );
  });
});
