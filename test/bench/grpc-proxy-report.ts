// Collects the figures of the gRPC proxy's benchmark, prints them, and writes the medians into
// the generated section of docs/performance.md.
import { cpus, release } from "node:os";
import { median } from "./processes.ts";

export type Target = "direct" | "etcd" | "ours";

/** One measurement of calls. */
export interface CallFigures {
  readonly callsPerSecond: number;
  /** CPU time of the target per call. */
  readonly cpuUs: number;
}

type Unit = "us" | "ms" | "KiB" | "";

const FILE = `${import.meta.dir}/../../docs/performance.md`;
const BEGIN = "<!-- Written by test/bench/grpc-proxy.bench.ts; do not edit. -->";
const END = "<!-- end -->";

const TITLES = ["etcd asked directly", "etcd's gRPC proxy", "etcd-gateway"];

export class GrpcProxyReport {
  readonly #calls: string[] = [];
  readonly #others: string[] = [];
  readonly #skipped: string[] = [];

  /** Adds a row about calls: CPU time and calls per second of each target. */
  addCalls(title: string, figures: Record<Target, CallFigures[]>): void {
    print(title, figures);
    const cells = [figures.direct, figures.etcd, figures.ours].map(callCell);
    const ratio = (key: keyof CallFigures) => {
      const ratios = figures.ours.map((figure, i) => figure[key] / figures.etcd[i]![key]);
      return isAnswered(figures.etcd) ? median(ratios).toFixed(2) : "";
    };
    this.#calls.push(row([title, ...cells, ratio("cpuUs"), ratio("callsPerSecond")]));
  }

  /** Adds a row about anything else. Targets that have no such figure are left out. */
  add(title: string, unit: Unit, figures: Partial<Record<Target, number[]>>): void {
    print(title, figures);
    const { direct, etcd, ours } = figures;
    this.#others.push(row([title, cell(direct, unit), cell(etcd, unit), cell(ours, unit)]));
  }

  /** Names a row that was not measured. */
  skip(title: string, why: string): void {
    console.log(`NOT MEASURED: ${title}: ${why}`);
    this.#skipped.push(`${title} (${why})`);
  }

  /** Replaces the section in the documentation. */
  async write(): Promise<void> {
    const text = await Bun.file(FILE).text();
    const [before, rest] = text.split(BEGIN);
    const after = rest?.split(END)[1];
    if (after === undefined) throw new Error(`${FILE} has no generated section`);
    await Bun.write(FILE, `${before}${BEGIN}\n\n${this.#section()}\n${END}${after}`);
  }

  #section(): string {
    const [kernel] = /^\d+\.\d+/.exec(release())!;
    const machine = `${cpus().length} shared cores (Linux ${kernel}, ${process.arch})`;
    const today = new Date().toISOString().slice(0, 10);
    const skipped =
      this.#skipped.length === 0 ? "" : `\nNot measured: ${this.#skipped.join("; ")}.\n`;
    return `Measured with \`scripts/bench grpc-proxy\` on ${today}, on ${machine}, with
etcd ${etcdVersion()} and its own gRPC proxy, without TLS. The targets take turns; figures are medians of the rounds. A ratio
is our figure divided by that of etcd's proxy: the median of the ratios of the rounds. Calls are made with h2load.

${row(["CPU time of the target per call, and calls per second", ...TITLES, "ratio of CPU time", "ratio of calls per second"])}
| --- | --- | --- | --- | --- | --- |
${this.#calls.join("\n")}

${row(["", ...TITLES])}
| --- | --- | --- | --- |
${this.#others.join("\n")}
${skipped}`;
  }
}

function print(title: string, figures: object): void {
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Number(value.toFixed(1)) : value;
  console.log(title, JSON.stringify(figures, rounded));
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** A tool that did not end counts as no calls. */
function isAnswered(figures: readonly CallFigures[]): boolean {
  return figures.every(({ callsPerSecond }) => callsPerSecond > 0);
}

function callCell(figures: readonly CallFigures[]): string {
  if (!isAnswered(figures)) return "hangs";
  const cpu = median(figures.map(({ cpuUs }) => cpuUs));
  const rate = median(figures.map(({ callsPerSecond }) => callsPerSecond));
  return `${shown(cpu, "us")}, ${count(rate)}`;
}

function cell(values: readonly number[] | undefined, unit: Unit): string {
  return values === undefined || values.length === 0 ? "" : shown(median(values), unit);
}

function shown(value: number, unit: Unit): string {
  if (unit === "us" && value >= 1000) return `${(value / 1000).toFixed(1)} ms`;
  if (unit === "us") return `${count(value)} µs`;
  if (unit === "KiB" && value >= 1000) return `${(value / 1024).toFixed(1)} MiB`;
  if (unit === "KiB") return `${value.toFixed(1)} KiB`;
  return unit === "" ? count(value) : `${count(value)} ${unit}`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function etcdVersion(): string {
  const { stdout } = Bun.spawnSync(["etcd", "--version"]);
  return /etcd Version: (\S+)/.exec(stdout.toString())![1]!;
}
