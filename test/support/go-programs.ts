// Programs that Go builds from public modules, into a cache outside the repository. Building
// needs Go and the modules, and may take minutes.
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "./gateway-command.ts";

const CACHE = join(tmpdir(), "etcd-gateway-go");
const BUILD_MS = 600_000;

/**
 * Returns the folder of the cache that holds these programs: the path of each one's package, by
 * its name. All are of one version. Builds them if need be.
 */
export async function goPrograms(
  packages: Readonly<Record<string, string>>,
  version: string,
): Promise<string> {
  const folder = join(CACHE, `${Object.keys(packages).join("-")}-${version}`);
  if (!existsSync(folder)) await build(packages, version, folder);
  return folder;
}

async function build(
  packages: Readonly<Record<string, string>>,
  version: string,
  folder: string,
): Promise<void> {
  if (Bun.which("go") === null) throw new Error("go is not installed");
  await mkdir(CACHE, { recursive: true });
  const work = await mkdtemp(join(CACHE, "build-"));
  try {
    // Not `go install`: modules that replace others, as etcd's do, cannot be installed by name.
    await writeFile(join(work, "go.mod"), "module programs\n\ngo 1.24\n");
    await go(["get", ...Object.values(packages).map((path) => `${path}@${version}`)], work);
    for (const [name, path] of Object.entries(packages))
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
