// The commands that query a running gateway: status and healthcheck of the compiled binary.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { freePort } from "../support/free-port.ts";
import { Closers, requireTool, run } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../support/gateway-process.ts";
import { Peer, PeerServer } from "../support/peer.ts";
import { deadPort } from "../support/scene.ts";

setDefaultTimeout(30_000);

const closers = new Closers();
afterEach(() => closers.close());

const startServer = () => closers.add(new PeerServer());

/** Starts a gateway; returns it and the --metrics-addr flag that queries it. */
async function start(port: number, flags: readonly string[] = []) {
  const flag = `--metrics-addr=127.0.0.1:${freePort()}`;
  const words = [`--endpoints=127.0.0.1:${port}`, flag, ...flags];
  return { gateway: closers.add(await GatewayProcess.start(words)), flag };
}

describe("commands that query a running gateway", () => {
  const cli = (words: readonly string[], env: Record<string, string> = {}) =>
    run([gatewayBinary(), ...words], { env });

  test("status prints a table, or the JSON of /status, without secrets", async () => {
    const dead = deadPort();
    const secrets = ["--user=root", "--password=hush", "--endpoints-auto-sync-interval=1h"];
    secrets.push(`--endpoints=http://root:hush@127.0.0.1:${dead}`);
    const { gateway, flag } = await start(dead, secrets);
    await (await Peer.connect(gateway.port)).gone();

    const { status, stdout } = await cli(["status", flag]);
    expect(status).toBe(0);
    expect(stdout).toContain("refused: 1 no_endpoint\n");
    expect(stdout).toMatch(new RegExp(`^127\\.0\\.0\\.1:${dead}  down `, "m"));
    expect(stdout).toContain(": connect: connection refused\n");

    const json = await cli(["status", "--output=json"], {
      ETCD_GATEWAY_METRICS_ADDR: flag.split("=")[1]!,
    });
    expect(JSON.parse(json.stdout)).toMatchObject({
      gateway: { accepted: 1, refused: { no_endpoint: 1 } },
      config: {
        user: "root",
        password: "(not shown)",
        endpoints: `127.0.0.1:${dead},http://127.0.0.1:${dead}`,
      },
    });

    expect(JSON.parse(json.stdout)).not.toHaveProperty("moments");
    expect(json.stdout).not.toContain("hush");
  });

  test("healthcheck reports through its exit status, and prints only errors", async () => {
    const server = startServer();
    const { gateway, flag } = await start(server.port, ["--retry-delay=1h"]);
    expect(await cli(["healthcheck", flag])).toMatchObject({ status: 0, stdout: "", stderr: "" });

    server.close();
    // The reset may arrive before connect(2) is reported as complete.
    await Peer.connect(gateway.port).then(
      (client) => client.gone(),
      () => {},
    );
    expect(await cli(["healthcheck", flag])).toMatchObject({
      status: 1,
      stdout: "",
      stderr: "etcd-gateway: not ready: no endpoint is up\n",
    });
  });

  test("status --watch ends when its output is closed", async () => {
    const { flag } = await start(startServer().port);
    const line = `"${gatewayBinary()}" status --watch ${flag} | head -n 1`;
    const { status, stdout } = await run([requireTool("sh"), "-c", line]);
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^etcd-gateway .*\n$/)]);
  });

  test("status fails when it cannot write its output", async () => {
    const { flag } = await start(startServer().port);
    const line = `"${gatewayBinary()}" status ${flag} >/dev/full`;
    expect(await run([requireTool("sh"), "-c", line])).toMatchObject({
      status: 1,
      stderr: "etcd-gateway: Cannot write to standard output: ENOSPC\n",
    });
  });

  const otherServers: [what: string, status: number, body: string][] = [
    ["404", 404, "nope"],
    ["500", 500, "Internal"],
    ["invalid JSON", 200, "<html>"],
    ["null", 200, "null"],
    ["other JSON", 200, '{"health":"true"}'],
    ["terminal escape sequences", 200, '{"gateway":{"listen":"\x1b]0;pwn"}}'],
  ];
  test.each(otherServers)(
    "status and healthcheck reject a response of %s",
    async (_, status, body) => {
      const server = Bun.serve({ port: 0, fetch: () => new Response(body, { status }) });
      closers.defer(() => server.stop(true));
      const address = `127.0.0.1:${server.port}`;
      for (const words of [["status"], ["status", "--output=json"], ["healthcheck"]])
        expect(await cli([...words, `--metrics-addr=${address}`])).toMatchObject({
          status: 1,
          stdout: "",
          stderr: `etcd-gateway: Cannot ask the gateway at ${address}: what answers there is not etcd-gateway\n`,
        });
    },
  );

  test.each(["status", "healthcheck"])(
    "%s reports a refused connection, and a missing --metrics-addr",
    async (name) => {
      const address = `127.0.0.1:${deadPort()}`;
      expect(await cli([name, `--metrics-addr=${address}`])).toMatchObject({
        status: 1,
        stdout: "",
        stderr: `etcd-gateway: Cannot ask the gateway at ${address}: connection refused; does the gateway run with this --metrics-addr?\n`,
      });
      const { status, stderr } = await cli([name]);
      expect([status, stderr.split("\n")[0]]).toEqual([
        2,
        "etcd-gateway: Missing --metrics-addr: give it as the running gateway has it, for example --metrics-addr=127.0.0.1:9379",
      ]);
    },
  );
});
