// etcdctl's commands through the gRPC proxy, one after the other, compared with their output at
// the member. The sequence runs at the member first, and leaves things as they were.
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lease } from "../../support/etcd-rpcs.ts";
import { Command, run } from "../../support/gateway-command.ts";
import {
  type EtcdFault,
  GrpcProxyScene,
  isBefore,
  proxyTestOf,
  subjects,
} from "../../support/grpc-proxy-scene.ts";
import { until } from "../../support/peer.ts";

setDefaultTimeout(60_000);

/** Where a sequence runs, and what it has found. */
interface Run {
  readonly address: string;
  readonly folder: string;
  lease: string;
  member: string;
  peerUrl: string;
  revision: string;
}

interface Step {
  readonly words: (run: Run) => string;
  readonly input?: string;
  /** The first release that has the command. */
  readonly since?: string;
  readonly etcds?: EtcdFault;
}

const TXN = 'value("ctl/txn") = "1"\n\nput ctl/txn 2\n\nput ctl/txn 1\nget ctl/txn\n\n';
const ROOT = "--user=root:r";

const step = (words: string, options: Omit<Step, "words"> = {}): Step => ({
  words: () => words,
  ...options,
});
const dynamic = (words: (run: Run) => string, options: Omit<Step, "words"> = {}): Step => ({
  words,
  ...options,
});

/** In the order of `etcdctl help`, except that authentication comes last. */
const STEPS: readonly Step[] = [
  step("put ctl/a 1"),
  step("put ctl/a 2 --prev-kv"),
  step("put ctl/b", { input: "from stdin" }),
  step("put"),
  step("get ctl/a"),
  step("get ctl/ --prefix"),
  step("get ctl/ --prefix --keys-only --order=DESCEND --sort-by=CREATE"),
  step("get ctl/a --print-value-only --consistency=s"),
  step("get ctl/a ctl/z --limit=1 -w fields"),
  step("get ctl/ --prefix -w json"),
  dynamic(({ revision }) => `get ctl/a --rev=${revision}`),
  step("get ctl/a --rev=999999"),
  step("get '' --from-key --count-only -w fields"),
  step("txn", { input: TXN }),
  step("txn", { input: TXN }),
  step("del ctl/txn"),
  step("del ctl/ --prefix --prev-kv"),
  dynamic(({ revision }) => `compaction ${revision}`),
  dynamic(({ revision }) => `compaction ${revision}`),
  step("lease grant 100"),
  step("lease list"),
  dynamic(({ lease }) => `put ctl/leased 1 --lease=${lease}`),
  dynamic(({ lease }) => `lease timetolive ${lease} --keys`),
  dynamic(({ lease }) => `lease keep-alive --once ${lease}`),
  dynamic(({ lease }) => `lease revoke ${lease}`),
  dynamic(({ lease }) => `lease timetolive ${lease}`),
  step("lease revoke 77"),
  step("lock ctl-lock echo locked"),
  step("member list"),
  step("member list -w json"),
  dynamic(({ member, peerUrl }) => `member update ${member} --peer-urls=${peerUrl}`),
  step("member remove 77"),
  step("member promote 77", { etcds: { fault: "not implemented" } }),
  step("endpoint status"),
  step("endpoint status -w json"),
  step("endpoint health"),
  step("endpoint hashkv"),
  step("alarm list"),
  step("alarm disarm"),
  step("defrag"),
  step("move-leader 77"),
  step("downgrade validate 3.0.0", { since: "3.6" }),
  dynamic(({ folder }) => `snapshot save ${folder}/snapshot`),
  step("user add root:r"),
  step("user add u:p"),
  step("user list"),
  step("role add root"),
  step("role add reading"),
  step("role grant-permission reading read ctl/ --prefix"),
  step("role get reading"),
  step("role list"),
  step("user grant-role root root"),
  step("user grant-role u reading"),
  step("user get u --detail"),
  step("auth enable"),
  step("auth status", { since: "3.5" }),
  step("get ctl/a"),
  step(`${ROOT} put ctl/a 1`),
  step("--user=u:p get ctl/a"),
  step("--user=u:p put ctl/a 2"),
  step("--user=u:wrong get ctl/a"),
  step(`${ROOT} user passwd u --interactive=false`, { input: "q\n" }),
  step("--user=u:q get ctl/a"),
  step("--user=u:q endpoint health"),
  step(`${ROOT} auth disable`),
  step("user revoke-role u reading"),
  step("role revoke-permission reading ctl/ --prefix"),
  step("role delete reading"),
  step("role delete root"),
  step("user delete u"),
  step("user delete root"),
  step("del ctl/a"),
];

/** For titles. */
const NAMES: Run = {
  ...{ address: "ENDPOINT", folder: "DIR", lease: "LEASE" },
  ...{ member: "MEMBER", peerUrl: "URL", revision: "REVISION" },
};

/** Commands that may fail at the member, as their output then shows. */
const FAILING =
  /^put$|^get ctl\/a$|999999|--from-key|^compaction| 77$|downgrade|auth status|put ctl\/a 2$|wrong/;

describe.each(subjects)("%s", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const scene = new GrpcProxyScene(subject);
  const steps = STEPS.filter(({ since = "3.4" }) => !isBefore(subject.release.name, since));
  let folder: string;
  let direct: unknown[];
  let through: unknown[];

  beforeAll(async () => {
    await scene.start();
    folder = await mkdtemp(join(tmpdir(), "etcd-gateway-etcdctl-"));
    direct = await runSteps(scene.cluster.members[0]!.address);
    // The lock's lease outlives the command.
    const client = await scene.direct();
    for (const { id } of (await client.call(Lease.Leases)).leases)
      await client.call(Lease.Revoke, { id });
    through = await runSteps(scene.proxy.address);
  });
  afterEach(() => scene.endTest());
  afterAll(async () => {
    await scene.close();
    await rm(folder, { recursive: true });
  });

  const wordsOf = (address: string, words: string) => [
    subject.release.etcdctl,
    `--endpoints=${address}`,
    ...words.split(" ").map((word) => (word === "''" ? "" : word)),
  ];
  const ENV = { env: { ETCDCTL_API: "3" } };

  /** Starts a command that runs until it is stopped. */
  const start = (words: string) => scene.add(new Command(wordsOf(scene.proxy.address, words), ENV));

  const ctl = (words: string) => run(wordsOf(scene.proxy.address, words), ENV);

  /** Runs the sequence; returns what is comparable of each command's output. */
  async function runSteps(address: string): Promise<unknown[]> {
    const state: Run = { address, folder, lease: "", member: "", peerUrl: "", revision: "" };
    const first = await run(wordsOf(address, "put ctl/first 1 -w json"), ENV);
    state.revision = /"revision":(\d+)/.exec(first.stdout)![1]!;
    const results: unknown[] = [];
    for (const { words, input = "" } of steps) {
      const line = words(state);
      const { status, stdout, stderr } = await run(wordsOf(address, line), { ...ENV, input });
      state.lease = /^lease (\w+) granted/.exec(stdout)?.[1] ?? state.lease;
      if (line === "member list")
        [state.member, , , state.peerUrl] = stdout.split(", ") as [string, string, string, string];
      const text = (output: string) => comparable(output, state, /status|hashkv/.test(line));
      results.push({ status, stdout: text(stdout), stderr: text(stderr) });
    }
    return results;
  }

  /** Returns output without what two runs do not have in common. */
  function comparable(output: string, { address, lease, revision }: Run, isFigures: boolean) {
    const text = output
      .replaceAll(address, "ENDPOINT")
      .replaceAll(scene.cluster.endpoints, "ENDPOINT")
      .replaceAll(lease === "" ? "no lease" : lease, "LEASE")
      .replace(/"(\w*[rR]evision)":(\d+)/g, (_all, name, n) => `"${name}":${n - Number(revision)}`)
      .replace(/(Revision" : )(\d+)/g, (_all, name, n) => `${name}${n - Number(revision)}`)
      .replaceAll(`revision ${revision}`, "REVISION")
      .replace(/\d+(\.\d+)?[µm]?s\b/g, "TIME")
      .replace(/remaining\(\w+\)/, "REMAINING")
      .replace(/^\{"level".*\n/gm, "");
    return isFigures ? text.replace(/\d+/g, "N") : text;
  }

  for (const [i, { words, etcds }] of steps.entries())
    proxyTest(
      `etcdctl ${words(NAMES)} prints what it prints at the member (${i})`,
      async () => {
        expect(through[i]).toEqual(direct[i]);
      },
      etcds,
    );

  proxyTest("etcdctl watch prints events", async () => {
    const watch = start("watch ctl-watch/ --prefix");
    await until(() => watch.status === undefined, "it ran");
    for (let i = 0; !watch.stdout.includes("ctl-watch/a"); i++) {
      if (i === 50) throw new Error("no event was printed");
      await ctl("put ctl-watch/a 1");
    }
    await ctl("del ctl-watch/a");
    await until(() => watch.stdout.endsWith("DELETE\nctl-watch/a\n\n"), "the delete was printed");
  });

  proxyTest("etcdctl lock waits for another client's lock", async () => {
    const first = start("lock ctl-waits");
    await until(() => first.stdout.startsWith("ctl-waits/"), "the first had the lock");
    const second = start("lock ctl-waits echo second");
    const waits = async () => (await ctl("get ctl-waits/ --prefix --keys-only")).stdout;
    while ((await waits()).trim().split("\n").filter(Boolean).length < 2) await Bun.sleep(20);
    expect(second.stdout).toBe("");
    first.signal("SIGINT");
    expect(await second.exited()).toBe(0);
    expect(second.stdout).toBe("second\n");
  });

  proxyTest("etcdctl elect campaigns, and --listen follows", async () => {
    const leader = start("elect ctl-elect one");
    await until(() => leader.stdout.endsWith("one\n"), "one was the leader");
    const listener = start("elect ctl-elect --listen");
    await until(() => listener.stdout.endsWith("one\n"), "the listener saw it");
    const next = start("elect ctl-elect two");
    leader.signal("SIGINT");
    await until(() => listener.stdout.endsWith("two\n"), "the listener saw the next");
    await next.close();
  });

  proxyTest("etcdctl lease keep-alive prolongs a lease", async () => {
    const [, lease] = /^lease (\w+) granted/.exec((await ctl("lease grant 2")).stdout)!;
    const line = `lease ${lease} keepalived with TTL(2)\n`;
    const keepAlive = start(`lease keep-alive ${lease}`);
    await until(() => keepAlive.stdout.startsWith(line.repeat(5)), "it was prolonged five times");
  });

  proxyTest("etcdctl make-mirror copies through the proxy", async () => {
    await ctl("put ctl-from/a 1");
    start(`make-mirror --prefix=ctl-from/ --dest-prefix=ctl-to/ ${scene.proxy.address}`);
    const copied = async (key: string) => {
      while ((await ctl(`get ctl-to/${key} --print-value-only`)).stdout !== "1\n")
        await Bun.sleep(20);
    };
    await copied("a");
    await ctl("put ctl-from/b 1");
    await copied("b");
  });

  test("etcdctl fails at the member only where it should", () => {
    const failed = steps.filter((_step, i) => (direct[i] as Command).status !== 0);
    const unexpected = failed
      .map(({ words }) => words(NAMES))
      .filter((line) => !FAILING.test(line));
    expect(unexpected).toEqual([]);
  });
});
