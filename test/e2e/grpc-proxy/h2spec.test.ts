// The HTTP/2 conformance tests of h2spec against the compiled proxy. They run where h2spec is
// installed, or Go can build it; otherwise the output names them as skipped.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { etcdReleases } from "../../support/etcd-releases.ts";
import { Closers, run } from "../../support/gateway-command.ts";
import { goPrograms } from "../../support/go-programs.ts";
import { startGrpcProxy } from "../../support/grpc-proxy-process.ts";

// Building takes a minute where it has not been built before.
setDefaultTimeout(300_000);

const PACKAGE = "github.com/summerwind/h2spec/cmd/h2spec";
const VERSION = "v2.2.1+incompatible";

// It has 146 cases, with those that RFC 7540 only recommends.
const MIN_CASES = 140;

/** Cases that may fail, with the reason for which ours is right. */
const EXCEPTIONS: Readonly<Record<string, string>> = {};

const closers = new Closers();
afterAll(() => closers.close());

/** Returns the path of h2spec; undefined, after a line of output, if there is none. */
async function findH2spec(): Promise<string | undefined> {
  const installed = Bun.which("h2spec");
  if (installed !== null) return installed;
  try {
    return join(await goPrograms({ h2spec: PACKAGE }, VERSION), "h2spec");
  } catch (error) {
    console.log(`SKIPPED: h2spec, since ${(error as Error).message}`);
    return undefined;
  }
}

const h2spec = await findH2spec();

/** Returns the titles of the cases that failed, and how many passed. */
function resultsOf(output: string): { failed: string[]; passed: number } {
  const failures = output.slice(output.indexOf("\nFailures:") + 1);
  const failed = [...failures.matchAll(/× \d+: (.*)/g)].map(([, title]) => title!);
  const [, passed] = /(\d+) passed/.exec(output)!;
  return { failed: output.includes("\nFailures:") ? failed : [], passed: Number(passed) };
}

describe.skipIf(h2spec === undefined)("h2spec", () => {
  test("finds no fault in how the gRPC proxy speaks HTTP/2", async () => {
    const [release] = await etcdReleases();
    const cluster = closers.add(await EtcdCluster.start(1));
    const subject = { kind: "ours", release: release! } as const;
    // Case 5.1.2 opens more streams than this.
    const flags = [`--endpoints=${cluster.endpoints}`, "--max-concurrent-streams=100"];
    const proxy = closers.add(await startGrpcProxy(subject, flags));

    const [host, port] = proxy.address.split(":") as [string, string];
    const words = ["-h", host, "-p", port, "-P", "/h2spec", "-o", "5", "-S"];
    const { stdout } = await run([h2spec!, "generic", "http2", "hpack", ...words]);
    const { failed, passed } = resultsOf(stdout);
    console.log(`h2spec: ${passed} cases passed`);
    expect(failed.filter((title) => !(title in EXCEPTIONS))).toEqual([]);
    expect(passed).toBeGreaterThanOrEqual(MIN_CASES);
    expect(proxy.status).toBeUndefined();
    expect(proxy.log.filter(({ level }) => level === "error")).toEqual([]);
  });
});
