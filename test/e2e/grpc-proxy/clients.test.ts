// Client libraries of etcd through the gRPC proxy: the Go client, npm's and PyPI's etcd3. One
// that cannot be built or installed is skipped, with a line that says so.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { EtcdClient } from "../../support/etcd-client.ts";
import { KV } from "../../support/etcd-rpcs.ts";
import { Command } from "../../support/gateway-command.ts";
import {
  type EtcdFault,
  GrpcProxyScene,
  proxyOnlyTestOf,
  subjects,
} from "../../support/grpc-proxy-scene.ts";
import { until } from "../../support/peer.ts";

setDefaultTimeout(90_000);

const CACHE = join(tmpdir(), "etcd-gateway-clients");
const INSTALL_MS = 75_000;
const OWN_FOLDER = fileURLToPath(new URL(".", import.meta.url));

interface Client {
  readonly name: string;
  /** Changes when what it installs does. */
  readonly version: string;
  /** Fills a folder. */
  readonly install: (folder: string) => readonly string[];
  /** Runs the program of a filled folder at an address. */
  readonly program: (folder: string, address: string) => readonly string[];
  readonly cwd?: string;
  readonly etcds?: EtcdFault;
}

const CLIENTS: readonly Client[] = [
  {
    name: "the Go client",
    version: "go-3.6.16",
    install: (folder) => ["go", "build", "-o", join(folder, "client"), "."],
    program: (folder, address) => [join(folder, "client"), address],
    cwd: join(OWN_FOLDER, "go-client"),
    etcds: { fault: "progress requests are ignored" },
  },
  {
    name: "npm's etcd3",
    version: "npm-1.1.2",
    install: (folder) => [process.execPath, "add", "--cwd", folder, "--exact", "etcd3@1.1.2"],
    program: (folder, address) => [
      Bun.which("node") ?? process.execPath,
      join(OWN_FOLDER, "npm-client.js"),
      ...[address, folder],
    ],
  },
  {
    name: "PyPI's etcd3",
    version: "pypi-0.12.0",
    install: (folder) => [
      ...["python3", "-m", "pip", "install", "--quiet", "--root-user-action=ignore"],
      ...["--target", folder, "etcd3==0.12.0", "protobuf==3.20.3"],
    ],
    program: (folder, address) => [
      ...["env", `PYTHONPATH=${folder}`, "python3"],
      ...[join(OWN_FOLDER, "python-client.py"), address],
    ],
    etcds: { fault: "half-close of a keepalive is taken for cancel" },
  },
];

/** The folders of the clients that are there. */
const folders = new Map(
  await Promise.all(CLIENTS.map(async (client) => [client, await installed(client)] as const)),
);

/** Returns a folder with the client, from the cache if it is there; undefined if it cannot be had. */
async function installed(client: Client): Promise<string | undefined> {
  const folder = join(CACHE, client.version);
  if (existsSync(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const work = await mkdtemp(join(CACHE, "install-"));
  try {
    await writeFile(join(work, "package.json"), "{}");
    await install(client, work);
    if (!existsSync(folder)) await rename(work, folder);
    return folder;
  } catch (error) {
    console.log(`SKIPPED: ${client.name}, since ${(error as Error).message}`);
    return undefined;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function install({ install: words, cwd }: Client, folder: string): Promise<void> {
  const line = words(folder);
  if (Bun.which(line[0]!) === null) throw new Error(`${line[0]} is not installed`);
  const env = { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local" };
  const command = new Command(line, {
    env: env as Record<string, string>,
    ...(cwd !== undefined && { cwd }),
  });
  try {
    const status = await command.exited(INSTALL_MS);
    if (status !== 0) throw new Error(command.stderr.trimEnd().split("\n").at(-1));
  } finally {
    await command.close();
  }
}

describe.each(subjects)("%s", (_, subject) => {
  const proxyTest = proxyOnlyTestOf(subject);
  const scene = new GrpcProxyScene(subject);

  const programs = new Map<Client, Command>();

  beforeAll(async () => {
    await scene.start(3);
    for (const [client, folder] of folders)
      if (folder !== undefined)
        programs.set(client, scene.add(new Command(client.program(folder, scene.proxy.address))));
    for (const [{ name }, program] of programs) {
      const isHalfway = () => program.stdout.includes("halfway") || program.status !== undefined;
      await until(isHalfway, `${name} was halfway`, 60_000);
    }
    const { leader, follower } = await scene.cluster.roles();
    await follower.kill();
    const direct = scene.add(await EtcdClient.connect(leader.address));
    await direct.call(KV.Put, { key: "stop", value: "1" });
  });
  afterAll(() => scene.close());

  for (const [client, folder] of folders)
    if (folder !== undefined)
      proxyTest(
        `${client.name} works, and goes on when a member is killed`,
        async () => {
          const program = programs.get(client)!;
          const status = await program.exited(30_000);
          expect({ status, stderr: program.stderr }).toEqual({ status: 0, stderr: "" });
          expect(program.stdout).toEndWith("ok resume\n");
        },
        client.etcds,
      );
});
