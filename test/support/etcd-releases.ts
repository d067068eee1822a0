// The etcd releases that tests run against: Debian's, and newer ones that Go builds into a
// cache outside the repository. Building needs Go and the modules, and takes minutes, so it
// has to be requested: ETCD_GATEWAY_TEST_RELEASES=1.
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, requireTool } from "./gateway-command.ts";

/** The programs of one release. */
export interface EtcdRelease {
  /** `"3.4"`, for titles and for what a test expects of a release. */
  readonly name: string;
  /** Path of the server, which contains etcd's gRPC proxy. */
  readonly etcd: string;
  readonly etcdctl: string;
}

const NEWER = ["3.5.35", "3.6.16", "3.7.3"];
const CACHE = join(tmpdir(), "etcd-gateway-releases");
const BUILD_MS = 600_000;

const PROGRAMS = { etcd: "go.etcd.io/etcd/server/v3", etcdctl: "go.etcd.io/etcd/etcdctl/v3" };

let releases: Promise<readonly EtcdRelease[]> | undefined;

/** Returns the releases, oldest first. Prints which run and which do not, once per process. */
export function etcdReleases(): Promise<readonly EtcdRelease[]> {
  return (releases ??= findReleases());
}

async function findReleases(): Promise<readonly EtcdRelease[]> {
  const found = [installed()];
  if (process.env["ETCD_GATEWAY_TEST_RELEASES"] !== "1")
    skip(NEWER.join(", "), "ETCD_GATEWAY_TEST_RELEASES=1 is not set");
  else if (Bun.which("go") === null) skip(NEWER.join(", "), "go is not installed");
  else
    for (const version of NEWER)
      await builtRelease(version).then(
        (built) => found.push(built),
        (error: Error) => skip(version, error.message),
      );
  console.log(`etcd releases under test: ${found.map(({ name }) => name).join(", ")}`);
  return found;
}

function skip(versions: string, why: string): void {
  console.log(`SKIPPED: etcd ${versions}, since ${why}`);
}

function installed(): EtcdRelease {
  const etcd = requireTool("etcd");
  const version = Bun.spawnSync([etcd, "--version"]).stdout.toString();
  return release(/etcd Version: (\S+)/.exec(version)![1]!, etcd, requireTool("etcdctl"));
}

function release(version: string, etcd: string, etcdctl: string): EtcdRelease {
  return { name: version.split(".").slice(0, 2).join("."), etcd, etcdctl };
}

/** Returns a release from the cache, which it fills if need be. */
async function builtRelease(version: string): Promise<EtcdRelease> {
  const folder = join(CACHE, version);
  if (!existsSync(folder)) await build(version, folder);
  return release(version, join(folder, "etcd"), join(folder, "etcdctl"));
}

async function build(version: string, folder: string): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const work = await mkdtemp(join(CACHE, "build-"));
  try {
    // etcd's modules cannot be installed by name, since they replace each other by folders.
    await writeFile(join(work, "go.mod"), "module releases\n\ngo 1.24\n");
    const modules = Object.values(PROGRAMS);
    await go(["get", ...modules.map((path) => `${path}@v${version}`)], work);
    for (const [name, path] of Object.entries(PROGRAMS))
      await go(["build", "-o", join(work, "bin", name), path], work);
    // Another process may have built the same.
    if (!existsSync(folder)) await rename(join(work, "bin"), folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function go(words: readonly string[], cwd: string): Promise<void> {
  const env = { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=mod", GOTOOLCHAIN: "local" };
  const command = new Command(["go", ...words], { cwd, env: env as Record<string, string> });
  try {
    if ((await command.exited(BUILD_MS)) !== 0)
      throw new Error(`go ${words[0]} failed: ${command.stderr.trimEnd().split("\n").at(-1)}`);
  } finally {
    await command.close();
  }
}
