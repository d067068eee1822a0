// Prints the soak's progress: a line every 30 s, and a summary at the end.
import type { FailureLog } from "./failure-log.ts";
import type { Faults } from "./faults.ts";
import type { Load } from "./load.ts";
import { growthOf, type IdleSample, mib } from "./idle-sample.ts";
import type { SoakGateway } from "./soak-gateway.ts";

const PRINT_INTERVAL_MS = 30_000;

export interface ProgressDeps {
  readonly gateway: SoakGateway;
  readonly load: Load;
  readonly faults: Faults;
  readonly failures: FailureLog;
}

export class Progress {
  readonly #deps: ProgressDeps;
  #timer: ReturnType<typeof setInterval> | undefined;
  #startedAt = 0;
  #last = { at: 0, ticks: 0, total: 0 };

  constructor(deps: ProgressDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#startedAt = performance.now();
    this.#last = this.#sample();
    this.#timer = setInterval(() => this.#print(), PRINT_INTERVAL_MS);
  }

  /** May be called twice. */
  close(): void {
    clearInterval(this.#timer);
  }

  summarize(samples: readonly IdleSample[]): void {
    this.close();
    const { gateway, load, faults, failures } = this.#deps;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const rate = Math.round(load.total / seconds);

    console.log(
      `${load.total} connections in ${Math.round(seconds)} s, ${rate}/s including idle samples`,
    );
    console.log(
      `  ${(load.bytes / 2 ** 30).toFixed(2)} GiB sent and received by clients, each byte checked`,
    );
    console.log(`  conversations: ${list(load.counts)}`);
    console.log(`  faults: ${list(faults.counts)}`);
    console.log(`  failures, ${failures.excused} excused: ${list(failures.counts) || "none"}`);

    const rss = samples.map(({ residentKib }) => (residentKib / 1024).toFixed(1));
    const growth = growthOf(samples)?.toFixed(3) ?? "too few samples";
    console.log(
      `  RSS of idle samples, MiB: ${rss.join(" ")}; growth from second third to last: ${growth}`,
    );
    console.log(`  gateway log: ${list(new Map(Object.entries(gateway.messageCounts)))}`);
  }

  #print(): void {
    const { gateway, load, failures } = this.#deps;
    if (!gateway.isRunning) return;

    const { at, ticks, total } = this.#sample();
    const seconds = (at - this.#last.at) / 1000;
    const fields = [
      `${Math.round((at - this.#startedAt) / 1000)} s: ${total} connections`,
      `${Math.round((total - this.#last.total) / seconds)}/s`,
      `${load.open} open`,
      `failures: ${failures.excused} excused, ${failures.unexcused} not`,
      `${failures.wrong} with wrong bytes`,
      `RSS ${mib(gateway.residentKib)}`,
      `${gateway.descriptors} descriptors`,
      `CPU ${((ticks - this.#last.ticks) / seconds).toFixed(0)} %`,
    ];
    this.#last = { at, ticks, total };
    console.log(fields.join(", "));
  }

  #sample() {
    const { gateway, load } = this.#deps;
    return { at: performance.now(), ticks: gateway.cpuTicks, total: load.total };
  }
}

function list(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${count} ${name}`).join(", ");
}
