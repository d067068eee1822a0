// The etcd releases that tests run against: Debian's, and newer ones that Go builds into a
// cache outside the repository. Building needs Go and the modules, and takes minutes, so it
// has to be requested: ETCD_GATEWAY_TEST_RELEASES=1.
import { join } from "node:path";
import { requireTool } from "./gateway-command.ts";
import { goPrograms } from "./go-programs.ts";

/** The programs of one release. */
export interface EtcdRelease {
  /** `"3.4"`, for titles and for what a test expects of a release. */
  readonly name: string;
  /** Path of the server, which contains etcd's gRPC proxy. */
  readonly etcd: string;
  readonly etcdctl: string;
}

const NEWER = ["3.5.35", "3.6.16", "3.7.3"];

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
  const folder = await goPrograms(PROGRAMS, `v${version}`);
  return release(version, join(folder, "etcd"), join(folder, "etcdctl"));
}
