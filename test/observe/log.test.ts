import { describe, expect, test } from "bun:test";
import { createLog } from "../../src/observe/log.ts";

function capture(format: "json" | "console", level: "debug" | "info" | "warn" | "error" = "info") {
  const lines: string[] = [];
  // 2026-11-21T03:25:17.123456Z
  const now = () => 1_795_231_517_123.456;
  const reader = { isReading: true };
  const write = (line: string) => {
    if (reader.isReading) lines.push(line);
    return reader.isReading;
  };
  const log = createLog({ level, format, write, now });
  return { log, lines, reader };
}

describe("createLog()", () => {
  test("writes JSON lines in etcd's format", () => {
    const { log, lines } = capture("json");
    log.from("gateway/gateway.ts").info("activated", { address: "127.0.0.1:2379" });
    expect(lines).toEqual([
      '{"level":"info","ts":"2026-11-21T03:25:17.123456Z","caller":"gateway/gateway.ts","msg":"activated","address":"127.0.0.1:2379"}\n',
    ]);
  });

  test("writes console lines, and quotes values so that an event stays on one line", () => {
    const { log, lines } = capture("console");
    log.warn("down", { address: "[::1]:2379", error: 'a "b"\nc', list: ["x:1", "y:2"] });
    expect(lines).toEqual([
      '2026-11-21T03:25:17.123456Z WARN  down address=[::1]:2379 error="a \\"b\\"\\nc" list=x:1,y:2\n',
    ]);
  });

  test("escapes in a console line what a terminal may obey, as a member may send it", () => {
    const { log, lines } = capture("console");
    log.warn("down", { error: "a\x1b[31m \x9b2J \x7f" });
    expect(lines[0]).toEndWith(' error="a\\u001b[31m \\u009b2J \\u007f"\n');
  });

  const levels = [
    ["debug", ["debug", "info", "warn", "error"]],
    ["info", ["info", "warn", "error"]],
    ["warn", ["warn", "error"]],
    ["error", ["error"]],
  ] as const;
  test.each(levels)("at level %s writes %j", (level, expected) => {
    const { log, lines } = capture("json", level);
    log.debug("m");
    log.info("m");
    log.warn("m");
    log.error("m");
    expect(lines.map((line) => JSON.parse(line).level)).toEqual([...expected]);
  });

  test("reports the number of dropped lines before it writes the next one", () => {
    const { log, lines, reader } = capture("json");
    log.info("first");
    reader.isReading = false;
    for (let i = 0; i < 3; i++) log.info("dropped");
    reader.isReading = true;
    log.info("second");
    log.info("third");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { msg: "first" },
      { level: "warn", msg: "dropped log lines", count: 3 },
      { msg: "second" },
      { msg: "third" },
    ]);
  });

  test("does not throttle 50 identical messages", () => {
    const { log, lines } = capture("json");
    for (let i = 0; i < 50; i++) log.info("the same");
    expect(lines).toHaveLength(50);
  });
});
