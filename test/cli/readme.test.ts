// What README.md and docs/ say of the command line is what the flag tables say.
import { describe, expect, test } from "bun:test";
import { type Flag, type FlagTable, fixedFlags, variableOf } from "../../src/cli/flag.ts";
import { gatewayFlags } from "../../src/commands/gateway-flags.ts";
import { grpcProxyFlags } from "../../src/commands/grpc-proxy-flags.ts";
import { httpProxyFlags } from "../../src/commands/http-proxy-flags.ts";
import {
  flagNamed,
  flagNames,
  parseArgv,
  readConfig,
  restartOnly,
  startFlagNames,
} from "../support/flags.ts";
import { run } from "../support/gateway-command.ts";

const names = ["README.md", ...[...new Bun.Glob("docs/**/*.md").scanSync()].toSorted()];
const pages = await Promise.all(
  names.map(async (page) => ({ page, text: await Bun.file(page).text() })),
);

/** Returns what a script prints. */
async function printed(script: string): Promise<string> {
  const { status, stdout, stderr } = await run([process.execPath, script]);
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}

describe("docs/flags.md", () => {
  const docs = pages.find(({ page }) => page === "docs/flags.md")!.text;

  test("is what scripts/flags-docs.ts prints", async () => {
    expect(docs).toBe(await printed("scripts/flags-docs.ts"));
  });

  const [gatewayDocs = "", proxyDocs = "", httpDocs = ""] = docs.split(
    /\n## The (?:gRPC|HTTP) proxy\n/,
  );

  test.each([
    ["gRPC", grpcProxyFlags, proxyDocs],
    ["HTTP", httpProxyFlags, httpDocs],
  ] as const)("has a section for each flag of the %s proxy, or a link", (_, flags, proxyDocs) => {
    const sections = proxyDocs.split(/\n###? /);
    const gateway: FlagTable = gatewayFlags;
    for (const [name, flag] of Object.entries<Flag<unknown>>(flags)) {
      const own = sections.filter((text) => text.startsWith(`\`--${name}\`\n`));
      if (gateway[name] === flag) {
        expect([name, own.length]).toEqual([name, 0]);
        expect(proxyDocs).toContain(`[\`--${name}\`](#--${name})`);
        continue;
      }
      expect([name, own.length]).toEqual([name, 1]);
      expect(own[0]!.replaceAll("\\_", "_")).toContain(`\n\n${flag.summary}`);
      expect(own[0]).toContain(
        `- default: ${flag.default === undefined ? "not set" : `\`${flag.default}\``}\n`,
      );
    }
  });

  test("names the flags of the gRPC proxy that only a restart changes", () => {
    const [, sentence = ""] = /^Only a restart changes (.*);/m.exec(proxyDocs) ?? [];
    const named = [...sentence.matchAll(/`--([\w-]+)`/g)].map(([, name]) => name);
    expect(named).toEqual(fixedFlags(grpcProxyFlags));
  });

  test("names the flags of the HTTP proxy that only a restart changes", () => {
    const [, sentence = ""] = /Only a restart changes (.*)\.$/m.exec(httpDocs) ?? [];
    const named = [...sentence.matchAll(/`--([\w-]+)`/g)].map(([, name]) => name);
    expect(named).toEqual(fixedFlags(httpProxyFlags));
  });

  test("has a section for each flag: meaning, default, example, variable and key", () => {
    const [, ...sections] = gatewayDocs.split("\n### ");
    expect(sections.map((section) => section.split("\n")[0])).toEqual(
      flagNames.map((name) => `\`--${name}\``),
    );
    for (const [i, name] of flagNames.entries()) {
      const { default: preset, summary, example, isFileKey } = flagNamed(name);
      const section = sections[i]!.replaceAll("\\_", "_");
      expect(section).toContain(`\n\n${summary}`);
      expect(section).toContain(
        `- default: ${preset === undefined ? "not set" : `\`${preset}\``}\n`,
      );
      expect(section).toContain(`- example: \`--${name}=${example}\`\n`);
      expect(section).toContain(`- variable: \`${variableOf(name)}\`\n`);
      const isKey = startFlagNames.includes(name) && isFileKey !== false;
      expect(section).toContain(`- config-file key: ${isKey ? `\`${name}\`` : "none"}\n`);
    }
  });
});

describe("README.md and docs/", () => {
  const commands = pages.flatMap(({ page, text }) =>
    [...text.matchAll(/(?:^|\/usr\/bin\/| )etcd-gateway ((?:gateway )?start .*)$/gm)].map(
      ([, command]) => [page, command!.replace(/\s+#.*$/, "")] as const,
    ),
  );

  test.each(commands)("%s shows a command that works: %s", (_, command) => {
    const { words, given } = parseArgv(command.split(" "));
    expect(words.at(-1)).toBe("start");
    expect(
      readConfig({ given, environment: {}, readFile: () => "" }).config.endpoints.length,
    ).toBeGreaterThan(0);
  });

  test("show at least three commands", () => {
    expect(commands.length).toBeGreaterThanOrEqual(3);
  });
});

describe("restartOnly", () => {
  test("is what every text says that needs a restart", async () => {
    const texts = new Map(pages.map(({ page, text }) => [page, text]));
    texts.set("scripts/default-config.ts", await printed("scripts/default-config.ts"));

    const claims = [...texts].flatMap(([page, text]) =>
      text
        .replace(/\n#? */g, " ")
        .split(/(?<=\.)\s/)
        .filter((sentence) => /\bneeds? a restart\b/.test(sentence))
        .map((sentence) => ({ page, flags: flagNames.filter((name) => mentions(sentence, name)) })),
    );

    expect(claims.map(({ page }) => page)).toEqual([
      "docs/flags.md",
      "docs/upgrades.md",
      "scripts/default-config.ts",
    ]);
    for (const { page, flags } of claims)
      expect([page, flags.toSorted()]).toEqual([page, restartOnly.toSorted()]);
  });

  function mentions(sentence: string, name: string): boolean {
    return new RegExp(`(?<![\\w-])(?:--)?${name}(?![\\w-])`).test(sentence);
  }
});
