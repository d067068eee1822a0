// SIGHUP after the config file of the compiled gateway has changed: it applies valid
// changes, rejects invalid ones, and disturbs no client.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { encode } from "../support/etcd-json.ts";
import { requestOnce } from "../support/etcd-request.ts";
import { Closers } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { Load } from "../support/load.ts";
import { until } from "../support/peer.ts";

setDefaultTimeout(120_000);

const closers = new Closers();
afterAll(() => closers.close());

let cluster: EtcdCluster;
beforeAll(async () => {
  cluster = closers.add(await EtcdCluster.start(3));
});

/** Starts a gateway with a config file of this text, and returns a function that changes it. */
async function gatewayWith(text: string, flags: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-reload-"));
  closers.defer(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "gateway.yaml");
  writeFileSync(path, text);
  const gateway = closers.add(await GatewayProcess.start([`--config-file=${path}`, ...flags]));
  /** Changes the file, sends SIGHUP and returns the log line with the outcome. */
  const reload = async (changed: string) => {
    const outcomes = () => [
      ...gateway.lines("reloaded"),
      ...gateway.lines("reload failed, nothing was changed"),
    ];
    const before = outcomes();
    writeFileSync(path, changed);
    gateway.signal("SIGHUP");
    await until(() => outcomes().length > before.length, "the reload was over");
    return outcomes().find((line) => !before.includes(line))!;
  };
  return { gateway, path, reload };
}

const endpoints = (...numbers: number[]) =>
  `endpoints: [${numbers.map((i) => cluster.members[i]!.address).join(", ")}]\n`;

describe("SIGHUP", () => {
  test("fails no request under load, whichever flags change", async () => {
    const { gateway, reload } = await gatewayWith(endpoints(0));
    const puts = new Load(gateway.port, 4, (n) => ({
      method: "POST",
      path: "/v3/kv/put",
      body: JSON.stringify({ key: encode(`reload/${n}`), value: encode(`${n}`) }),
    }));
    const reads = new Load(gateway.port, 4, () => ({ path: "/version" }));
    const texts = [
      endpoints(1),
      `${endpoints(0, 1, 2)}policy: least-connections\n`,
      `${endpoints(2, 0)}log-level: debug\n`,
      `${endpoints(1, 2)}max-connections: 100\nretry-delay: 1s\n`,
      `${endpoints(0, 1, 2)}drain-timeout: 1s\ndial-timeout: 1s\n`,
    ];
    for (let round = 0; round < 4; round++) {
      for (const text of texts) {
        expect(await reload(text)).toMatchObject({ msg: "reloaded" });
        await reads.successes(10);
      }
    }
    await Promise.all([puts.stop(), reads.stop()]);
    console.log(`20 reloads; puts: ${puts.report()}; reads: ${reads.report()}`);
    expect([puts.failed, reads.failed]).toEqual([[], []]);
    expect(puts.succeeded.length).toBeGreaterThan(100);
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("logs the flags that changed, and only those", async () => {
    const { reload } = await gatewayWith(`${endpoints(0)}retry-delay: 5s\n`);
    const line = await reload(`${endpoints(1)}retry-delay: 5s\nmax-connections: 7\n`);
    expect(line).toMatchObject({
      level: "info",
      msg: "reloaded",
      changed: ["--endpoints", "--max-connections"],
    });
    expect(await reload(`${endpoints(1)}retry-delay: 5s\nmax-connections: 7\n`)).toMatchObject({
      changed: [],
    });
  });

  test("does not change flags that need a restart, and logs that at each reload", async () => {
    const { gateway, reload } = await gatewayWith(endpoints(0));
    const moved = `${endpoints(0)}listen-addr: 127.0.0.1:1\nlog-format: console\n`;
    // The helper sets --listen-addr as a flag, which has priority: only log-format changes.
    expect(await reload(moved)).toMatchObject({ msg: "reloaded", changed: [] });
    const message = "cannot change while running; restart to apply it";
    expect(gateway.lines(message)).toMatchObject([{ level: "warn", flag: "--log-format" }]);
    await reload(moved);
    expect(gateway.lines(message)).toHaveLength(2);
    expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
  });

  test("changes the log level", async () => {
    const { gateway, reload } = await gatewayWith(endpoints(0));
    await requestOnce(gateway.port, { path: "/version" });
    expect(gateway.lines("relaying")).toEqual([]);
    await reload(`${endpoints(0)}log-level: debug\n`);
    await requestOnce(gateway.port, { path: "/version" });
    await gateway.logged("relaying");
  });

  const broken: [what: string, text: string, error: string][] = [
    ["an unknown key", "endpoint: a:1\n", '"endpoint" in PATH line 1: unknown key; did you mean "endpoints"?'],
    ["a wrong value", "retry-delay: 5\n", 'Cannot parse retry-delay in PATH "5": missing unit, for example "30s"'],
    ["no content", "", 'Cannot use --config-file "PATH": it is empty'],
    ["invalid YAML", "endpoints: [a:1\n", "PATH line 1"],
    ["no name that resolves", "endpoints: gone.invalid:1\n", 'Cannot resolve any of --endpoints: "gone.invalid:1"'],
    ["the gateway itself as endpoint", "endpoints: SELF\n", "this process's own --listen-addr"],
    ["a missing CA file", "trusted-ca-file: /gone.pem\n", 'Cannot use --trusted-ca-file "/gone.pem": there is no such file'],
  ]; // prettier-ignore
  test.each(broken)("changes nothing if the file has %s", async (_, text, error) => {
    const { gateway, path, reload } = await gatewayWith(endpoints(0));
    const line = await reload(text.replace("SELF", gateway.address));
    expect(line).toMatchObject({ level: "error", msg: "reload failed, nothing was changed" });
    expect(line["error"]).toContain(error.replace("PATH", path));
    expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
    expect(gateway.lines("endpoints changed")).toEqual([]);
    expect(await reload(endpoints(1))).toMatchObject({ msg: "reloaded" });
    expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
  });

  test("reloads after a hundred signals at once, and can still be stopped", async () => {
    const { gateway, reload } = await gatewayWith(endpoints(0));
    for (let i = 0; i < 100; i++) gateway.signal("SIGHUP");
    await gateway.logged("reloaded");
    await reload(endpoints(1));
    expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
  });

  test("reloads without a config file, and reports no change", async () => {
    const gateway = closers.add(await GatewayProcess.start([`--endpoints=${cluster.endpoints}`]));
    gateway.signal("SIGHUP");
    expect(await gateway.logged("reloaded")).toMatchObject({ changed: [] });
  });

  test("resets connections to a removed endpoint after --drain-timeout", async () => {
    const { gateway, reload } = await gatewayWith(`${endpoints(0)}drain-timeout: 200ms\n`);
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    await Bun.connect({
      hostname: "127.0.0.1",
      port: gateway.port,
      socket: { data() {}, close: (_, error) => resolve(error as Error | undefined) },
    });
    await requestOnce(gateway.port, { path: "/version" });
    await reload(`${endpoints(1)}drain-timeout: 200ms\n`);
    expect(await promise).toMatchObject({ code: "ECONNRESET" });
    expect(await gateway.logged("reset relays to a removed endpoint")).toMatchObject({
      address: cluster.members[0]!.address,
      relays: 1,
    });
  });
});
