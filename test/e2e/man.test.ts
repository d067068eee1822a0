// The manual page that scripts/man-page.ts prints: its content, and its format by the
// linters of groff and mandoc.
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandsByWords } from "../../src/cli/command.ts";
import { commands as allCommands } from "../../src/commands/commands.ts";
import { output, requireTool, run } from "../support/gateway-command.ts";
import { type Flag, type FlagTable, variableOf } from "../../src/cli/flag.ts";
import { gatewayFlags } from "../../src/commands/gateway-flags.ts";
import { grpcProxyFlags } from "../../src/commands/grpc-proxy-flags.ts";
import { flagNamed, flagNames, parseArgv } from "../support/flags.ts";

const byWords = commandsByWords(allCommands);

let source: string;
/** The page on a terminal of 200 columns, without bold and underline. */
let shown: string;

beforeAll(async () => {
  source = await output([process.execPath, "scripts/man-page.ts", "2026-11-21"]);
  const groff = [requireTool("groff"), "-mandoc", "-Tascii", "-P-c", "-rLL=200n"];
  shown = (await output(groff, { input: source })).replace(/.\x08/g, "");
});

describe("etcd-gateway(1)", () => {
  const PROXY_OPTIONS = "   Options of the gRPC proxy\n";

  test("has every flag of the gRPC proxy, in full or among those of the gateway", () => {
    const [, options = ""] = shown.split(PROXY_OPTIONS);
    const [flags = "", variables = ""] = options.split(/^ENVIRONMENT$/m);
    const [shared = ""] = flags.split("Its own flags");
    const gateway: FlagTable = gatewayFlags;
    for (const [name, flag] of Object.entries<Flag<unknown>>(grpcProxyFlags)) {
      if (gateway[name] === flag) expect(shared).toMatch(new RegExp(`--${name}[,.]`));
      else expect(flags).toMatch(new RegExp(`^     --${name}(=.*)?$`, "m"));
      expect(variables).toMatch(new RegExp(`^     ${variableOf(name)}\n +--${name}$`, "m"));
    }
  });

  test("has every flag of the gateway with its value, default, example and variable", () => {
    const [, options = ""] = shown.split(/^OPTIONS$/m);
    const [all = "", variables = ""] = options.split(/^ENVIRONMENT$/m);
    const [flags = ""] = all.split(PROXY_OPTIONS);
    for (const name of flagNames) {
      const { value, default: text = "not set" } = flagNamed(name);
      const head = value === "" ? `     --${name}\n` : `     --${name}=${value}\n`;
      expect(flags).toContain(`\n${head}`);
      const [section = ""] = flags.split(`\n${head}`)[1]!.split("\n\n");
      const words = section.replace(/-\n +/g, "").replace(/\s+/g, " ");
      expect(words).toContain(`Default: ${text}. Example: --${name}=`);
      expect(variables).toMatch(new RegExp(`^     ${variableOf(name)}\n +--${name}$`, "m"));
    }
  });

  test("has every command", () => {
    const [, commands = ""] = shown.split(/^COMMANDS$/m);
    for (const name of [...byWords.keys()].filter((name) => /^([\w-]+|[\w-]+ start)$/.test(name)))
      expect(commands).toMatch(new RegExp(`^     ${name}\\b`, "m"));
  });

  test("has the standard sections of a command, in order", () => {
    const headings: string[] = shown.match(/^[A-Z][A-Z ]+$/gm) ?? [];
    expect(headings).toEqual([
      ...["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "ENVIRONMENT", "FILES"],
      ...["SIGNALS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"],
    ]);
  });

  test("has examples that the command line parser accepts", () => {
    const [, examples = ""] = shown.split(/^EXAMPLES$/m);
    const lines = [...examples.matchAll(/^ +etcd-gateway (.*)$/gm)].map(([, words]) => words!);
    expect(lines.length).toBeGreaterThanOrEqual(3);
    for (const line of lines)
      expect([...byWords.keys()]).toContain(parseArgv(line.split(" ")).words.join(" "));
  });

  test("does not hyphenate flags and commands", () => {
    expect(shown.match(/--\w+-$/gm)).toBeNull();
    expect(shown).toContain("etcd-gateway start --endpoints=10.0.1.10:2379,10.0.1.11:2379");
  });

  test.each(["ascii", "utf8", "ps"])(
    "is formatted by groff for %s without a warning",
    async (device) => {
      const words = [requireTool("groff"), "-ww", "-mandoc", `-T${device}`];
      const { status, stderr } = await run(words, { input: source });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    },
  );

  test("passes mandoc's linter", async () => {
    const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-man-"));
    try {
      const page = join(folder, "etcd-gateway.1");
      await Bun.write(page, source);
      // Below warnings, mandoc reports pages of SEE ALSO that this machine does not have.
      const words = [requireTool("mandoc"), "-T", "lint", "-W", "warning", page];
      const { status, stdout, stderr } = await run(words);
      expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("has the given date, and fails without one", async () => {
    expect(source).toContain("\n.Dd November 21, 2026\n");
    const { status, stderr } = await run([process.execPath, "scripts/man-page.ts"]);
    expect(status).toBe(1);
    expect(stderr).toContain('missing date of the page, for example "2026-11-21"');
  });
});
