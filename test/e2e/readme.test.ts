// Every command that README.md and docs/ show is run here, or by continuous integration.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { freePort } from "../support/free-port.ts";
import { run } from "../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../support/gateway-process.ts";
import { readConfig } from "../support/flags.ts";

/** README.md and the pages of docs/, with the commands of their shell blocks. */
const pages = await Promise.all(
  ["README.md", ...[...new Bun.Glob("docs/**/*.md").scanSync()].toSorted()].map(async (page) => {
    const text = await Bun.file(page).text();
    const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block]) => block!);
    const commands = blocks
      .flatMap((block) => block.trim().split("\n"))
      .map((line) => line.replace(/\s+#.*$/, ""));
    return { page, text, commands };
  }),
);

/** Returns the commands of one page that start with `start`. */
function commandsOf(name: string, start = ""): string[] {
  const { commands } = pages.find(({ page }) => page === name)!;
  return commands.filter((line) => line.startsWith(start));
}

const BUILD = [
  "scripts/build",
  "install -m 755 dist/etcd-gateway /usr/local/bin/etcd-gateway",
] as const;

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

describe("README.md and docs/", () => {
  test("show the commands that are known here, and no other", () => {
    const shown = pages.filter(({ commands }) => commands.length > 0);
    expect(Object.fromEntries(shown.map(({ page, commands }) => [page, commands]))).toEqual({
      "README.md": [
        "scripts/demo",
        "scripts/test",
        ...BUILD,
        "etcd-gateway start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379",
        "etcd-gateway grpc-proxy start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379",
        "etcdctl --endpoints=127.0.0.1:23790 put greeting hello",
      ],
      "docs/deployment.md": [
        "docker build --tag etcd-gateway .",
        "docker run --publish 127.0.0.1:23790:23790 etcd-gateway start --endpoints=10.0.1.10:2379",
      ],
      "docs/discovery.md": [
        "etcd-gateway check --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379",
      ],
      "docs/grpc-proxy.md": [
        "etcd-gateway grpc-proxy start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379 --advertise-client-url=127.0.0.1:23790",
        "etcdctl --endpoints=127.0.0.1:23790 put greeting hello",
        "curl http://127.0.0.1:23790/health",
      ],
      "docs/http-proxy.md": [
        "etcd-gateway http-proxy start --endpoints=10.0.1.10:2379,10.0.1.11:2379,10.0.1.12:2379",
        "etcd-gateway --proxy on --listen-client-urls http://0.0.0.0:22379 --initial-cluster myetcd1=http://10.0.1.10:2380",
      ],
      "docs/install.md": [
        `apt install ./etcd-gateway_${packageJson.version.replace("-", "~")}-1_amd64.deb`,
        ...BUILD,
        "source <(etcd-gateway completion bash)",
        "scripts/man | man -l -",
      ],
      "docs/observability.md": [
        "etcd-gateway status --metrics-addr=127.0.0.1:9379",
        "etcd-gateway healthcheck --metrics-addr=127.0.0.1:9379",
      ],
      "docs/testing.md": ["scripts/faults", "scripts/soak 30", "scripts/soak 30 grpc-proxy"],
    });
  });

  test("show scripts that continuous integration runs", async () => {
    const ci = await Bun.file(".ci/run").text();
    for (const script of ["scripts/test", "scripts/demo", "scripts/image", "test/release/debian"])
      expect(ci.split("\n")).toContain(script);
    const tests = (await Bun.file("scripts/test").text()).split("\n");
    for (const line of ["scripts/build", "scripts/faults --short", "scripts/soak 0.5"])
      expect(tests).toContain(line);
    // It installs the package that it has built.
    expect(await Bun.file("test/release/debian").text()).toContain("apt install --yes ./");
  });

  test("show how to install, start and use the gateway", async () => {
    const [install] = commandsOf("README.md", "install ") as [string];
    const [start] = commandsOf("README.md", "etcd-gateway start ") as [string];
    const [put] = commandsOf("README.md", "etcdctl ") as [string];
    const bin = install.split(" ").with(-1, join(folder, "etcd-gateway"));
    expect((await run(bin)).status).toBe(0);
    // The addresses are examples; every other word is the README's.
    const words = [join(folder, "etcd-gateway"), ...start.split(" ").slice(1)];
    const flags = words.map((word) => word.replace(/(?<=^--endpoints=).*/, cluster.endpoints));
    const gateway = await GatewayProcess.start(flags.slice(2));
    const [, , ...args] = put.split(" ");
    const { status, stdout } = await cluster.etcdctl(gateway.address, args);
    expect([status, stdout.trim()]).toEqual([0, "OK"]);
    await gateway.close();
  });

  test.each(["README.md", "docs/grpc-proxy.md"])(
    "show how to start and use the gRPC proxy: %s",
    async (page) => {
      const [start] = commandsOf(page, "etcd-gateway grpc-proxy start ") as [string];
      const [put] = commandsOf(page, "etcdctl ") as [string];
      const [, ...words] = start.split(" ");
      const flags = words.map((word) => word.replace(/(?<=^--endpoints=).*/, cluster.endpoints));
      const address = `127.0.0.1:${freePort()}`;
      const command = [gatewayBinary(), ...flags, `--listen-addr=${address}`];
      const proxy = new GatewayProcess(command);
      await proxy.logged("started gRPC proxy");
      const [, , ...args] = put.split(" ");
      const { status, stdout } = await cluster.etcdctl(address, args);
      expect([status, stdout.trim()]).toEqual([0, "OK"]);
      for (const line of commandsOf(page, "curl ")) {
        const [, url] = line.replace("127.0.0.1:23790", address).split(" ");
        expect(await (await fetch(url!)).json()).toEqual({ health: "true", reason: "" });
      }
      await proxy.close();
    },
  );

  test("show how to check a configuration", async () => {
    const [check] = commandsOf("docs/discovery.md", "etcd-gateway check ") as [string];
    const [, ...words] = check.split(" ");
    const flags = words.map((word) => word.replace(/(?<=^--endpoints=).*/, cluster.endpoints));
    const { status, stdout } = await run([gatewayBinary(), ...flags]);
    expect([status, stdout.split("\n").at(-2)]).toEqual([0, "all is well"]);
  });

  test("show how to ask a gateway how it is", async () => {
    const address = `127.0.0.1:${freePort()}`;
    const flags = [`--endpoints=${cluster.endpoints}`, `--metrics-addr=${address}`];
    const gateway = await GatewayProcess.start(flags);
    for (const name of ["status", "healthcheck"]) {
      const [line] = commandsOf("docs/observability.md", `etcd-gateway ${name} `) as [string];
      const [, ...words] = line.replace("127.0.0.1:9379", address).split(" ");
      const { status, stderr } = await run([gatewayBinary(), ...words]);
      expect([status, stderr]).toEqual([0, ""]);
    }
    await gateway.close();
  });

  test("show a config file that the gateway takes", () => {
    const shown = pages.flatMap(({ text }) => [...text.matchAll(/^```yaml\n(.*?)^```/gms)]);
    expect(shown).toHaveLength(1);
    const [, text] = shown[0]!;
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
