// Measures the gRPC proxy alongside etcd's own and etcd asked directly, in alternating rounds:
// CPU time and throughput of calls, added latency, watches and memory. scripts/bench has it
// write the figures to docs/performance.md. Sets no limits, because shared machines are
// noisy; fails only if a call or an event of ours is lost.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { KV } from "../support/etcd-rpcs.ts";
import { Crowd, type CrowdSize } from "./crowd.ts";
import { GrpcProxyReport, type Target } from "./grpc-proxy-report.ts";
import {
  etcdBenchmark,
  hasEtcdBenchmark,
  type Load,
  type LoadFigures,
  RepeatedCall,
} from "./load-generators.ts";
import { Child, median, startEtcd, startEtcdGrpcProxy, startGrpcProxy } from "./processes.ts";

const ROUNDS = 5;
// Of what starts a process or takes long.
const FEW_ROUNDS = 3;
const KIB = 1 << 10;

const report = new GrpcProxyReport();
let etcd: Child;
let removeEtcd: () => Promise<void>;

beforeAll(async () => {
  ({ etcd, remove: removeEtcd } = await startEtcd());
  await etcd.ready();
});

afterAll(async () => {
  await removeEtcd();
  // Not after a run of some tests.
  if (process.env["ETCD_GATEWAY_BENCH_DOCS"] === "1") await report.write();
});

/** Measures the targets in turn, every other round backwards. */
async function alternate<Figures>(
  targets: readonly Target[],
  rounds: number,
  measure: (target: Target) => Promise<Figures>,
): Promise<Record<Target, Figures[]>> {
  const figures: Record<Target, Figures[]> = { direct: [], etcd: [], ours: [] };
  for (let round = 0; round < rounds; round++)
    for (const target of round % 2 === 0 ? targets : targets.toReversed())
      figures[target].push(await measure(target));
  return figures;
}

describe("calls", () => {
  const targets = {} as Record<Target, Child>;
  const range = new RepeatedCall(KV.Range, { key: "kib" }, KIB);
  const put = new RepeatedCall(KV.Put, { key: "put", value: "v".repeat(8 * KIB) }, 5);
  const seed = new RepeatedCall(KV.Put, { key: "kib", value: "v".repeat(KIB) }, 5);

  beforeAll(async () => {
    targets.direct = etcd;
    targets.etcd = startEtcdGrpcProxy(etcd.port);
    targets.ours = startGrpcProxy(etcd.port);
    await Promise.all(Object.values(targets).map((target) => target.ready()));
    await Promise.all([range, put, seed].map((call) => call.start()));
    await seed.run(etcd.port, { calls: 1, connections: 1, streams: 1 });
    // So that the compilers of our engine are done.
    for (const { port } of Object.values(targets)) {
      await range.run(port, { calls: 20_000, connections: 4, streams: 16 });
      await range.run(port, { calls: 10_000, connections: 1, streams: 1 });
    }
  }, 60_000);

  afterAll(async () => {
    await Promise.all([targets.etcd.stop(), targets.ours.stop()]);
    await Promise.all([range, put, seed].map((call) => call.close()));
  });

  const all: readonly Target[] = ["direct", "etcd", "ours"];

  async function measure(call: RepeatedCall, target: Child, load: Load) {
    const before = target.cpuUs;
    const figures = await call.run(target.port, load);
    return { ...figures, cpuUs: (target.cpuUs - before) / load.calls };
  }

  test.each<[string, RepeatedCall, number, Load]>([
    ["Range of 1 KiB, 1 client", range, ROUNDS, { calls: 3000, connections: 1, streams: 1 }],
    ["Range of 1 KiB, 16 clients", range, ROUNDS, { calls: 6000, connections: 16, streams: 1 }],
    ["Range of 1 KiB, 64 clients", range, ROUNDS, { calls: 6000, connections: 64, streams: 1 }],
    [
      "Range of 1 KiB, 4 clients, 16 calls each",
      range,
      ROUNDS,
      { calls: 10_000, connections: 4, streams: 16 },
    ],
    ["Put of 8 KiB, 16 clients", put, FEW_ROUNDS, { calls: 1000, connections: 16, streams: 1 }],
  ])("%s", async (title, call, rounds, load) => {
    const figures = await alternate(all, rounds, (target) => measure(call, targets[target], load));
    report.addCalls(title, figures);
    if (load.connections === 1) addLatency(figures);
  });

  function addLatency(figures: Record<Target, LoadFigures[]>): void {
    const added = (target: Target) =>
      figures[target].map(({ medianUs }, i) => medianUs - figures.direct[i]!.medianUs);
    report.add("added to the median duration of a call, 1 client", "us", {
      etcd: added("etcd"),
      ours: added("ours"),
    });
  }

  test.each<[string, number, string[], RegExp]>([
    ["put", 8000, ["put", "--sequential-keys", "--val-size=256"], /Requests\/sec:\s+([\d.]+)/],
    ["lease-keepalive", 4000, ["lease-keepalive"], /Requests\/sec:\s+([\d.]+)/],
    ["stm", 800, ["stm"], /Requests\/sec:\s+([\d.]+)/],
  ])("etcd's benchmark: %s", async (name, calls, words, pattern) => {
    const title = `etcd's benchmark: \`${name}\`, 16 clients`;
    if (!hasEtcdBenchmark) {
      report.skip(title, "etcd's benchmark is not installed");
      return;
    }

    const hung = new Set<Target>();
    const figures = await alternate(all, FEW_ROUNDS, async (target) => {
      const child = targets[target];
      const before = child.cpuUs;
      const text = hung.has(target)
        ? undefined
        : etcdBenchmark(child.port, [...words, `--total=${calls}`]);
      if (text === undefined) hung.add(target);
      const callsPerSecond = Number(pattern.exec(text ?? "")?.[1] ?? 0);
      return { callsPerSecond, cpuUs: (child.cpuUs - before) / calls };
    });
    expect(hung).not.toContain("ours");
    report.addCalls(title, figures);
  });

  test("etcd's benchmark: watch-latency", async () => {
    const title = "etcd's benchmark: `watch-latency`, average";
    if (!hasEtcdBenchmark) {
      report.skip(title, "etcd's benchmark is not installed");
      return;
    }

    const words = ["watch-latency", "--put-total=500", "--put-rate=500"];
    const figures = await alternate(all, FEW_ROUNDS, async (target) => {
      const text = etcdBenchmark(targets[target].port, words) ?? "";
      return Number(/Watch events summary:[^]*?Average:\s+([\d.]+)/.exec(text)?.[1]) * 1e6;
    });
    report.add(title, "us", figures);
  });
});

const proxies: readonly Target[] = ["etcd", "ours"];

describe("watches and memory", () => {
  const start = (target: Target) =>
    target === "ours" ? startGrpcProxy(etcd.port) : startEtcdGrpcProxy(etcd.port);
  const settled = () => Bun.sleep(1000);

  test("start", async () => {
    const figures = await alternate(proxies, ROUNDS, async (target) => {
      const proxy = start(target);
      const ms = await proxy.ready();
      await settled();
      const kib = proxy.residentKib;
      await proxy.stop();
      return { ms, kib };
    });
    const of = (key: "ms" | "kib") => ({
      etcd: figures.etcd.map((figure) => figure[key]),
      ours: figures.ours.map((figure) => figure[key]),
    });
    report.add("start to the first client", "ms", of("ms"));
    report.add("memory at start", "KiB", of("kib"));
  });

  /** Returns the resident memory of a proxy, with and without files, as crowds are added. */
  async function memoryKib(target: Target, crowds: readonly CrowdSize[]) {
    const proxy = start(target);
    await proxy.ready();
    await settled();
    const kib = [{ all: proxy.residentKib, anonymous: proxy.anonymousKib }];
    const opened: Crowd[] = [];
    for (const size of crowds) {
      const crowd = new Crowd(proxy.port, size);
      opened.push(crowd);
      await crowd.opened();
      await settled();
      kib.push({ all: proxy.residentKib, anonymous: proxy.anonymousKib });
    }
    await Promise.all(opened.map((crowd) => crowd.stop()));
    await proxy.stop();
    return kib;
  }

  test("idle connections", async () => {
    const size = { connections: 1000, streams: 0 };
    const figures = await alternate(proxies, FEW_ROUNDS, (target) =>
      memoryKib(target, [size, size]),
    );
    const added = (target: Target) =>
      figures[target].map(([before, one]) => one!.all - before!.all);
    report.add("memory for 1,000 idle connections", "KiB", {
      etcd: added("etcd"),
      ours: added("ours"),
    });
    // The first thousand also brought pages of the program and compiled code.
    const each = (target: Target) =>
      figures[target].map(([, one, two]) => (two!.anonymous - one!.anonymous) / 1000);
    report.add("memory for each of 1,000 more", "KiB", { etcd: each("etcd"), ours: each("ours") });
  });

  test("watches", async () => {
    const streams = 10_000;
    const figures = await alternate(proxies, FEW_ROUNDS, (target) =>
      memoryKib(target, [{ connections: 1, streams }]),
    );
    const each = (target: Target) =>
      figures[target].map(([before, after]) => (after!.all - before!.all) / streams);
    const title = "memory for each of 10,000 watches on one connection";
    report.add(title, "KiB", { etcd: each("etcd"), ours: each("ours") });
  });

  test("a broadcast", async () => {
    const [watchers, events] = [1000, 200];
    const figures = await alternate(proxies, FEW_ROUNDS, async (target) => {
      const proxy = start(target);
      await proxy.ready();
      const crowd = new Crowd(proxy.port, { connections: watchers, streams: 1 });
      await crowd.opened();
      const before = proxy.cpuUs;
      const received = await crowd.broadcast(etcd.port, events);
      const cpuMs = (proxy.cpuUs - before) / 1000;
      const peak = proxy.peakKib;
      await crowd.stop();
      await proxy.stop();
      return { cpuMs, peak, lost: watchers * events - received };
    });

    expect(median(figures.ours.map(({ lost }) => lost))).toBe(0);
    const of = (key: "cpuMs" | "peak" | "lost") => ({
      etcd: figures.etcd.map((figure) => figure[key]),
      ours: figures.ours.map((figure) => figure[key]),
    });
    const title = `${events} events to ${watchers.toLocaleString("en")} clients`;
    report.add(`${title}: CPU time`, "ms", of("cpuMs"));
    report.add(`${title}: most memory`, "KiB", of("peak"));
    report.add(`${title}: lost events`, "", of("lost"));
  });
});
