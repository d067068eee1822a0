// Reload with a scripted configuration and a proxy that a test can hold up.
import { describe, expect, test } from "bun:test";
import { UsageError } from "../../src/core/usage-error.ts";
import { createLog } from "../../src/observe/log.ts";
import { wallClock } from "../../src/os/clock.ts";
import { Reload } from "../../src/service/reload.ts";
import { until } from "../support/peer.ts";

interface Config {
  readonly logLevel: "debug" | "info";
  readonly version: number;
}

function scene() {
  const calls: string[] = [];
  const lines: string[] = [];
  const state = {
    config: { logLevel: "info", version: 0 } as Config,
    next: { logLevel: "info", version: 1 } as Config,
    error: undefined as Error | undefined,
    reconfigured: Promise.withResolvers<void>(),
  };
  const log = createLog({
    level: "info",
    format: "json",
    now: wallClock,
    write: (line) => lines.push(JSON.parse(line).msg) > 0,
  });
  const reload = new Reload<Config>({
    log,
    provider: {
      get config() {
        return state.config;
      },
      warnings: [],
      texts: () => ({}),
      async reread() {
        calls.push("reread");
        const config = state.next;
        const commit = () => {
          calls.push("commit");
          state.config = config;
        };
        return { config, warnings: [], changed: ["--a"], needRestart: ["--b"], commit };
      },
    },
    proxy: {
      async reconfigure({ version }) {
        calls.push(`reconfigure ${version}`);
        await state.reconfigured.promise;
        if (state.error !== undefined) throw state.error;
      },
    },
  });
  const listener = {
    reloading: () => void calls.push("reloading"),
    reloaded: () => void calls.push("reloaded"),
  };
  const once = ["reloading", "reread", "reconfigure 1", "commit", "reloaded"];
  return { calls, lines, state, reload, listener, once };
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("Reload", () => {
  test("serves a request that came before begin() once, then", async () => {
    const { calls, state, reload, listener, once } = scene();
    state.reconfigured.resolve();
    reload.request();
    reload.request();
    await nextTurn();
    expect(calls).toEqual([]);

    reload.begin(listener);
    await until(() => calls.includes("reloaded"), "it was reloaded");
    await nextTurn();
    expect(calls).toEqual(once);
  });

  test("makes one further reload of all requests during a reload", async () => {
    const { calls, lines, state, reload, listener, once } = scene();
    reload.begin(listener);
    for (let i = 0; i < 5; i++) reload.request();
    await until(() => calls.includes("reconfigure 1"), "the first reload was in progress");
    reload.request();
    state.reconfigured.resolve();
    await until(() => calls.filter((call) => call === "reloaded").length === 2, "both were over");
    await nextTurn();
    expect(calls).toEqual([...once, ...once]);
    expect(lines).toEqual(
      Array(2).fill(["cannot change while running; restart to apply it", "reloaded"]).flat(),
    );
  });

  test("keeps the configuration in force when the proxy refuses another", async () => {
    const { calls, lines, state, reload, listener } = scene();
    state.error = new UsageError("Cannot use it");
    state.reconfigured.resolve();
    reload.begin(listener);
    reload.request();
    await until(() => calls.includes("reloaded"), "the reload was over");
    expect(calls).not.toContain("commit");
    expect(state.config.version).toBe(0);
    expect(lines).toEqual(["reload failed, nothing was changed"]);
  });

  test("ignores requests after end()", async () => {
    const { calls, reload, listener } = scene();
    reload.begin(listener);
    reload.end();
    reload.request();
    await nextTurn();
    expect(calls).toEqual([]);
  });
});
