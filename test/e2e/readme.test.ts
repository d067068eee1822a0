// Every command that the README shows is run here, or by continuous integration.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { readConfig } from "../../src/cli/read-config.ts";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { freePort } from "../support/free-port.ts";
import { run } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../support/gateway-process.ts";

const readme = await Bun.file("README.md").text();
const commands = [...readme.matchAll(/^```sh\n(.*?)^```/gms)]
  .flatMap(([, block]) => block!.trim().split("\n"))
  .map((line) => line.replace(/\s+#.*$/, ""));

let cluster: EtcdCluster;
let folder: string;

beforeAll(async () => {
  cluster = await EtcdCluster.start(1);
  folder = await mkdtemp(join(tmpdir(), "etcd-gateway-readme-"));
});

afterAll(async () => {
  await cluster.close();
  await rm(folder, { recursive: true });
});

describe("README.md", () => {
  test("shows the commands that are known here, and no other", () => {
    expect(commands).toEqual([
      "scripts/demo",
      "scripts/test",
      `apt install ./etcd-gateway_${packageJson.version.replace("-", "~")}-1_amd64.deb`,
      "scripts/build",
      "install -m 755 dist/etcd-gateway /usr/local/bin/etcd-gateway",
      "etcd-gateway start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379",
      "etcdctl --endpoints=127.0.0.1:23790 put greeting hello",
      "source <(etcd-gateway completion bash)",
      "scripts/man | man -l -",
      "etcd-gateway check --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379",
      "etcd-gateway status --metrics-addr=127.0.0.1:9379",
      "etcd-gateway healthcheck --metrics-addr=127.0.0.1:9379",
      "docker build --tag etcd-gateway .",
      "docker run --publish 127.0.0.1:23790:23790 etcd-gateway start --endpoints=10.0.1.10:2379",
      "scripts/faults",
      "scripts/soak 30",
    ]);
  });

  test("shows scripts that continuous integration runs", async () => {
    const ci = await Bun.file(".ci/run").text();
    for (const script of ["scripts/test", "scripts/demo", "scripts/image", "test/release/debian"])
      expect(ci.split("\n")).toContain(script);
    const tests = (await Bun.file("scripts/test").text()).split("\n");
    for (const line of ["scripts/build", "scripts/faults --short", "scripts/soak 0.5"])
      expect(tests).toContain(line);
    // Of the package that it has made.
    expect(await Bun.file("test/release/debian").text()).toContain("apt install --yes ./");
  });

  test("shows how to install, start and use the gateway", async () => {
    const [install, start, put] = commands.slice(4, 7) as [string, string, string];
    const bin = install.split(" ").with(-1, join(folder, "etcd-gateway"));
    expect((await run(bin)).status).toBe(0);
    // The addresses are examples; the words are the README's.
    const words = [join(folder, "etcd-gateway"), ...start.split(" ").slice(1)];
    const flags = words.map((word) => word.replace(/(?<=^--endpoints=).*/, cluster.endpoints));
    const gateway = await GatewayProcess.start(flags.slice(2));
    const [, , ...args] = put.split(" ");
    const { status, stdout } = await cluster.etcdctl(gateway.address, args);
    expect([status, stdout.trim()]).toEqual([0, "OK"]);
    await gateway.close();
  });

  test("shows how to check a configuration", async () => {
    const [, ...words] = commands.find((line) => line.startsWith("etcd-gateway check"))!.split(" ");
    const flags = words.map((word) => word.replace(/(?<=^--endpoints=).*/, cluster.endpoints));
    const { status, stdout } = await run([gatewayBinary(), ...flags]);
    expect([status, stdout.split("\n").at(-2)]).toEqual([0, "all is well"]);
  });

  test("shows how to ask a gateway how it is", async () => {
    const address = `127.0.0.1:${freePort()}`;
    const flags = [`--endpoints=${cluster.endpoints}`, `--metrics-addr=${address}`];
    const gateway = await GatewayProcess.start(flags);
    for (const name of ["status", "healthcheck"]) {
      const line = commands.find((command) => command.startsWith(`etcd-gateway ${name} `))!;
      const [, ...words] = line.replace("127.0.0.1:9379", address).split(" ");
      const { status, stderr } = await run([gatewayBinary(), ...words]);
      expect([status, stderr]).toEqual([0, ""]);
    }
    await gateway.close();
  });

  test("shows a config file that the gateway takes", async () => {
    const [, text] = /^```yaml\n(.*?)^```/ms.exec(readme)!;
    const config = readConfig({
      given: new Map([["config-file", "gw.yaml"]]),
      environment: {},
      readFile: () => text!,
    });
    expect(config).toMatchObject({
      config: { srv: { domain: "example.com" }, policy: "least-connections" },
      warnings: [],
    });
  });
});
