// The soak of the gRPC proxy: scripts/soak MINUTES grpc-proxy. Two proxies in front of three
// members; phases of load with faults, each followed by a comparison of all answers with the
// store's history, and an idle sample of the proxy that is never restarted.
import { EtcdClient } from "../../support/etcd-client.ts";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { KV } from "../../support/etcd-rpcs.ts";
import { Closers } from "../../support/gateway-command.ts";
import {
  describeSample,
  growthOf,
  type IdleSample,
  problemsOf,
  sampleIdle,
} from "../idle-sample.ts";
import { randomOf } from "../seeded.ts";
import { Checker } from "./checker.ts";
import { GROUPS, KEYS, WRITERS } from "./jobs.ts";
import { Load } from "./load.ts";
import { LongWatch, type WatchedRange } from "./long-watch.ts";
import { ProxyFaults } from "./proxy-faults.ts";
import { Reports } from "./reports.ts";
import { SoakClient } from "./soak-client.ts";
import { SoakProxy } from "./soak-proxy.ts";
import { endOf, FROM_KEY, StoreHistory } from "./store-history.ts";
import { valueOf } from "./values.ts";

const MAX_PHASE_MS = 60_000;
/** What follows the load: the last events, the comparison and the idle sample. */
const AFTER_LOAD_MS = 9000;
const LAST_EVENTS_MS = 60_000;

const minutes = Number(process.argv[2]);
if (!(minutes > 0)) {
  console.error(
    "usage: scripts/soak MINUTES grpc-proxy (0.5 is 30 s); SOAK_SEED=... repeats a run",
  );
  process.exit(2);
}
const seed = Number(process.env["SOAK_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const closers = new Closers();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => void closers.close().finally(() => process.exit(130)));

const reports = new Reports();
const history = new StoreHistory();
const checker = new Checker(history, reports);
let isPassed = false;
try {
  isPassed = await soak();
} catch (error) {
  console.error("FAILED: the soak was aborted:", error);
} finally {
  await closers.close();
}
console.log(isPassed ? "passed" : `failed: SOAK_SEED=${seed} scripts/soak ${minutes} grpc-proxy`);
process.exit(isPassed ? 0 : 1);

async function soak(): Promise<boolean> {
  console.log(`SOAK_SEED=${seed} scripts/soak ${minutes} grpc-proxy`);
  const cluster = closers.add(await EtcdCluster.start(3));
  const proxies = await startProxies(cluster);
  const addresses = proxies.map(({ address }) => address);
  const load = new Load({ seed, reports, checker, proxies: addresses });
  const watches = longWatches(addresses);
  const [steady, restarted] = proxies as [SoakProxy, SoakProxy];
  const faults = new ProxyFaults({ cluster, proxy: restarted, random: randomOf(seed, 0), reports });

  // Opens what the proxy opens once: that is not a leak.
  load.start();
  await Bun.sleep(500);
  await load.stop();
  const before = await sampleIdle(steady.process, undefined);
  console.log(`before the load: ${describeSample(before)}`);
  const samples = await runPhases({ cluster, load, watches, faults, steady }, before);

  const problems = [
    ...problemsOf(before, samples),
    ...reports.problems(),
    ...proxies.flatMap((proxy) => proxy.problems),
  ];
  for (const { address, process } of proxies) {
    process.signal("SIGTERM");
    const status = await process.exited();
    if (status !== 0) problems.push(`${address}: exit status ${status} after SIGTERM`);
  }
  summarize(faults, samples);
  for (const problem of problems) console.error(`FAILED: ${problem}`);
  return problems.length === 0;
}

async function startProxies(cluster: EtcdCluster): Promise<SoakProxy[]> {
  // Loopback addresses of their own, whose port the system never assigns to a client.
  const network = `127.${1 + ((process.pid >> 8) % 250)}.${process.pid & 255}`;
  const flags = [`--endpoints=${cluster.endpoints}`, "--drain-timeout=2s"];
  const proxies = [1, 2].map((host) => new SoakProxy(`${network}.${host}:2379`, flags));
  for (const proxy of proxies) {
    closers.add(proxy);
    await proxy.start();
  }
  return proxies;
}

function longWatches(proxies: readonly string[]): LongWatch[] {
  const prefix = (from: string) => ({ from, end: endOf(from) });
  const single = (from: string) => ({ from, end: "" });
  const singles = Array.from({ length: WRITERS * KEYS }, (_, i) =>
    single(`r/${Math.floor(i / KEYS)}/${i % KEYS}`),
  );
  const specs: WatchedRange[][] = [
    [{ from: FROM_KEY, end: FROM_KEY }],
    [prefix("r/")],
    [{ ...prefix("r/"), prevKv: true }],
    [{ ...prefix("c/"), progressNotify: true }],
    [prefix("d/"), prefix("l/"), prefix("r/0/")],
    [prefix("b/")],
    [single("c/0")],
    singles,
  ];
  return [...specs, ...specs].map((ranges, i) => {
    const random = randomOf(seed, 1000 + i);
    const client = new SoakClient({ name: `watch${i}`, random, reports, proxies });
    return new LongWatch(client, { checker, reports }, ranges);
  });
}

interface Parts {
  readonly cluster: EtcdCluster;
  readonly load: Load;
  readonly watches: readonly LongWatch[];
  readonly faults: ProxyFaults;
  readonly steady: SoakProxy;
}

async function runPhases(parts: Parts, before: IdleSample): Promise<IdleSample[]> {
  const { cluster, load, watches, faults, steady } = parts;
  const totalMs = minutes * 60_000;
  const phases = Math.max(1, Math.round(totalMs / MAX_PHASE_MS));
  const start = performance.now();
  const samples: IdleSample[] = [];
  for (let phase = 1; phase <= phases; phase++) {
    for (const watch of watches) watch.start(0);
    load.start();
    await faults.run(start + (phase * totalMs) / phases - AFTER_LOAD_MS);
    await load.stop();
    await cluster.healthy();
    await settle(parts);
    await Promise.all(watches.map((watch) => watch.stop()));

    const sample = await sampleIdle(steady.process, before);
    samples.push(sample);
    console.log(`phase ${phase} of ${phases}: ${figures()}; ${describeSample(sample)}`);
    if (steady.problems.length > 0) break;
  }
  return samples;
}

/** Puts a last event into each watch, waits for it, and compares everything. */
async function settle({ cluster, watches }: Parts): Promise<void> {
  const { address } = cluster.members[0]!;
  const client = await EtcdClient.connect(address);
  try {
    const keys = new Set(watches.flatMap(({ ranges }) => ranges.map(markerOf)));
    const writes = [...keys].map((key) => checker.write("soak", key));
    const success = writes.map(({ id, key }) => ({ put: { key, value: valueOf(id, 20) } }));
    const { floor } = checker;
    const { revision } = (await client.call(KV.Txn, { success })).header!;
    checker.acknowledged(writes, revision, floor);
    await untilReached(watches, revision);
    await history.read(address, revision);
    for (const watch of watches) watch.settle(revision);
    checker.settle();
    checker.oldest = revision;
    await client.call(KV.Compact, { revision, physical: true });
  } finally {
    client.close();
  }
}

/** The key of the last event of a watch. */
function markerOf({ from, end }: WatchedRange): string {
  return end === "" || end === FROM_KEY ? from : `${from}~`;
}

async function untilReached(watches: readonly LongWatch[], revision: number): Promise<void> {
  const deadline = performance.now() + LAST_EVENTS_MS;
  for (;;) {
    const waiting = watches.filter((watch) => !watch.hasReached(revision));
    if (waiting.length === 0) return;
    if (performance.now() > deadline) {
      for (const watch of waiting) reports.wrong("watch", `want ${revision}: ${watch.describe()}`);
      return;
    }
    await Bun.sleep(20);
  }
}

function figures(): string {
  const { reads, writes, unknownWrites, events } = checker;
  const { wrongAnswers, unexcused } = reports;
  const excused = [...reports.counts.values()].reduce((sum, n) => sum + n, 0) - unexcused;
  return [
    `${SoakClient.calls} calls, ${reads} reads, ${writes} writes (${unknownWrites} unanswered)`,
    `${events} events of watches, opened ${LongWatch.resumptions} times`,
    `${wrongAnswers} wrong answers, ${excused} excused failures, ${unexcused} not`,
  ].join("; ");
}

function summarize(faults: ProxyFaults, samples: readonly IdleSample[]): void {
  const list = (counts: ReadonlyMap<string, number>) =>
    [...counts].map(([name, count]) => `${count} ${name}`).join(", ");
  console.log(`clients: ${GROUPS.reduce((sum, { clients }) => sum + clients, 0)}; ${figures()}`);
  console.log(`  longest call: ${(SoakClient.longestMs / 1000).toFixed(2)} s`);
  console.log(`  faults: ${list(faults.counts)}`);
  for (const [kind, count] of reports.counts) console.log(`  failures: ${count} times ${kind}`);
  const rss = samples.map(({ residentKib }) => (residentKib / 1024).toFixed(1));
  const growth = growthOf(samples)?.toFixed(3) ?? "too few samples";
  console.log(
    `  RSS of idle samples, MiB: ${rss.join(" ")}; growth from second third to last: ${growth}`,
  );
}
