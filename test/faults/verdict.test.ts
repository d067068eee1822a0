// The verdicts of docs/faults.md follow from its figures.
import { describe, expect, test } from "bun:test";
import { type Kind, KINDS } from "./gateways.ts";
import { PROXY_KINDS, type ProxyKind } from "./grpc-proxy/proxies.ts";
import { isBetter, type Noticed, PROXY_RULE, RULE, verdict } from "./verdict.ts";

function noticed(failed: number, attempts: number, longestWaitMs: number): Noticed {
  return { failed, attempts, longestWaitMs };
}

describe("isBetter()", () => {
  test.each([
    ["no failure, and one", noticed(0, 100, 10), noticed(1, 100, 10), true],
    ["less than half the share of failures", noticed(4, 1000, 10), noticed(9, 1000, 10), true],
    ["half the share of failures", noticed(4, 1000, 10), noticed(8, 1000, 10), false],
    ["as many failures of more attempts", noticed(4, 1900, 10), noticed(4, 750, 10), true],
    ["no failure, but a longer wait", noticed(0, 100, 9000), noticed(9, 100, 10), true],
    ["a wait shorter by more than a second", noticed(0, 100, 250), noticed(0, 100, 1260), true],
    ["a wait shorter by a second", noticed(0, 100, 250), noticed(0, 100, 1250), false],
    ["a wait of more than half", noticed(0, 100, 4000), noticed(0, 100, 7990), false],
    [
      "no event lost, but more failures",
      { ...noticed(9, 100, 10), events: 50, lost: 0 },
      { ...noticed(1, 100, 10), events: 50, lost: 1 },
      true,
    ],
    ["equal figures", noticed(2, 100, 10), noticed(2, 100, 10), false],
  ])("%s", (_, one, other, expected) => {
    expect(isBetter(one, other)).toBe(expected);
    if (expected) expect(isBetter(other, one)).toBe(false);
  });
});

describe("verdict()", () => {
  const good = noticed(0, 1400, 260);
  const bad = noticed(4, 16, 10_000);

  test.each<[[Noticed, Noticed?, Noticed?], string]>([
    [
      [good, bad, noticed(0, 1400, 10)],
      "Better than etcd's own gateway (4 of 16 requests failed, the longest wait was 10.00 s), on par with HAProxy: no request failed, the longest wait was 0.26 s.",
    ],
    [
      [bad, good, good],
      "Worse than etcd's own gateway (no request failed, the longest wait was 0.26 s) and HAProxy (no request failed, the longest wait was 0.26 s): 4 of 16 requests failed, the longest wait was 10.00 s.",
    ],
    [
      [good, good, good],
      "On par with etcd's own gateway and HAProxy: no request failed, the longest wait was 0.26 s.",
    ],
    [
      [good, good],
      "On par with etcd's own gateway: no request failed, the longest wait was 0.26 s.",
    ],
    [[good], "No request failed, the longest wait was 0.26 s."],
  ])("of %j", (figures, expected) => {
    const kinds = figures.map((one, i): [Kind, Noticed] => [KINDS[i]!, one!]);
    expect(verdict(new Map(kinds))).toBe(expected);
  });
});

describe("docs/faults.md", () => {
  test("has in each row the verdict that follows from the row's figures", async () => {
    const text = await Bun.file("docs/faults.md").text();
    expect(text).toContain(RULE);
    const [, section] = text.split("\n## What clients notice\n");
    const lines = section!.trim().split("\n\n")[0]!.split("\n").slice(2);
    expect(lines.length).toBeGreaterThan(20);

    for (const line of lines) {
      const [, ...cells] = line.split(" | ");
      const figures = KINDS.flatMap((kind, i): [Kind, Noticed][] => {
        const [failed, wait] = cells.slice(3 * i);
        return failed === "not installed" ? [] : [[kind, parsed(failed!, wait!)]];
      });
      expect(line).toEndWith(`| ${verdict(new Map(figures))} |`);
    }
  });

  test("has in each row of the gRPC proxy the verdict that follows from its figures", async () => {
    const text = await Bun.file("docs/faults.md").text();
    expect(text).toContain(PROXY_RULE);
    const [, section] = text.split("\n### What clients of the proxy notice\n");
    const lines = section!.trim().split("\n\n")[0]!.split("\n").slice(2);
    expect(lines.length).toBeGreaterThan(12);

    for (const line of lines) {
      const [, ...cells] = line.split(" | ");
      const figures = PROXY_KINDS.map((kind, i): [ProxyKind, Noticed] => {
        const [failed, wait, , lost] = cells.slice(5 * i);
        const { failed: count, attempts } = parsed(lost!, "0 s");
        return [kind, { ...parsed(failed!, wait!), lost: count, events: attempts }];
      });
      expect(line).toEndWith(`| ${verdict(new Map(figures))} |`);
    }
  });
});

function parsed(failed: string, wait: string): Noticed {
  const [, count, attempts] = /(\d+)\** of (\d+)/.exec(failed)!;
  return noticed(Number(count), Number(attempts), Number.parseFloat(wait) * 1000);
}
