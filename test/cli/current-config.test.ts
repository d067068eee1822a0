import { describe, expect, test } from "bun:test";
import { CurrentConfig } from "../../src/cli/current-config.ts";
import { gatewayFlags } from "../../src/commands/gateway-flags.ts";
import { UsageError } from "../../src/core/usage-error.ts";

/** A configuration that is read from a file, whose text the test may change. */
async function loaded(text: string) {
  const file = { text };
  const current = await CurrentConfig.load(gatewayFlags, {
    given: new Map([["config-file", "/gw.yaml"]]),
    environment: {},
    readFile: () => Promise.resolve(file.text),
  });
  return { current, file };
}

describe("CurrentConfig", () => {
  test("keeps the configuration in force until the change is committed", async () => {
    const { current, file } = await loaded("retry-delay: 1s\n");
    file.text = "retry-delay: 2s\n";
    const change = await current.reread();
    expect(current.config.retryDelayMs).toBe(1000);
    expect(change.config.retryDelayMs).toBe(2000);

    change.commit();
    expect(current.config.retryDelayMs).toBe(2000);
    expect(current.texts()).toMatchObject({ "retry-delay": "2s" });
  });

  test("reread() keeps the fixed flags, and names those that changed", async () => {
    const { current, file } = await loaded("listen-addr: ':1'\nlog-level: info\n");
    file.text = "listen-addr: ':2'\nlog-level: warn\nreuse-port: true\nlog-format: json\n";
    const change = await current.reread();
    expect(change).toMatchObject({
      changed: ["--log-level"],
      needRestart: ["--listen-addr", "--reuse-port", "--log-format"],
      config: {
        listen: { host: "", port: 1 },
        reusePort: false,
        logFormat: "auto",
        logLevel: "warn",
      },
    });

    change.commit();
    expect(current.texts()).toMatchObject({ "listen-addr": ":1", "reuse-port": "false" });
    // A fixed flag that is set back has not changed.
    file.text = "listen-addr: ':1'\nlog-level: warn\n";
    expect(await current.reread()).toMatchObject({ changed: [], needRestart: [] });
  });

  test("reread() refuses a config file that has become empty", async () => {
    const { current, file } = await loaded("retry-delay: 1s\n");
    file.text = "# half-written\n";
    await expect(current.reread()).rejects.toThrow(
      new UsageError('Cannot use --config-file "/gw.yaml": it is empty'),
    );
    expect(current.config.retryDelayMs).toBe(1000);
  });

  test("texts() shows neither secrets nor credentials in URLs", async () => {
    const { current } = await loaded(
      "user: u\npassword: hush\nendpoints: http://root:hush@a:1\nendpoints-auto-sync-interval: 1s\n",
    );
    const texts = current.texts();
    expect(texts).toMatchObject({ password: "(not shown)", endpoints: "http://a:1" });
    expect(JSON.stringify(texts)).not.toContain("hush");
  });
});
