// What the soak prints: a line every 30 s, and the figures at the end.
import type { Faults } from "./faults.ts";
import type { Load } from "./load.ts";
import { growthOf, mib, type QuietMoment } from "./quiet.ts";
import type { SoakGateway } from "./soak-gateway.ts";
import type { Verdicts } from "./verdicts.ts";

const LINE_MS = 30_000;

export interface ProgressDeps {
  readonly gateway: SoakGateway;
  readonly load: Load;
  readonly faults: Faults;
  readonly verdicts: Verdicts;
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
    this.#timer = setInterval(() => this.#print(), LINE_MS);
  }

  /** May be called twice. */
  close(): void {
    clearInterval(this.#timer);
  }

  summarize(moments: readonly QuietMoment[]): void {
    this.close();
    const { gateway, load, faults, verdicts } = this.#deps;
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const rate = Math.round(load.total / seconds);
    console.log(
      `${load.total} connections in ${Math.round(seconds)} s, ${rate} a second, quiet moments included`,
    );
    console.log(`  ${(load.bytes / 2 ** 30).toFixed(2)} GiB at the clients, each byte checked`);
    console.log(`  conversations: ${list(load.counts)}`);
    console.log(`  faults: ${list(faults.counts)}`);
    console.log(`  failures, ${verdicts.explained} explained: ${list(verdicts.counts) || "none"}`);
    const rss = moments.map(({ residentKib }) => (residentKib / 1024).toFixed(1));
    const growth = growthOf(moments)?.toFixed(3) ?? "too few to tell";
    console.log(`  RSS in quiet moments, MiB: ${rss.join(" ")}; last third to second: ${growth}`);
    console.log(`  the gateway said: ${list(new Map(Object.entries(gateway.said)))}`);
  }

  #print(): void {
    const { gateway, load, verdicts } = this.#deps;
    if (!gateway.isRunning) return;
    const { at, ticks, total } = this.#sample();
    const seconds = (at - this.#last.at) / 1000;
    const words = [
      `${Math.round((at - this.#startedAt) / 1000)} s: ${total} connections`,
      `${Math.round((total - this.#last.total) / seconds)} a second`,
      `${load.open} open`,
      `failures: ${verdicts.explained} explained, ${verdicts.unexplained} not`,
      `${verdicts.wrong} with wrong bytes`,
      `RSS ${mib(gateway.residentKib)}`,
      `${gateway.descriptors} descriptors`,
      `CPU ${((ticks - this.#last.ticks) / seconds).toFixed(0)} %`,
    ];
    this.#last = { at, ticks, total };
    console.log(words.join(", "));
  }

  #sample() {
    const { gateway, load } = this.#deps;
    return { at: performance.now(), ticks: gateway.cpuTicks, total: load.total };
  }
}

function list(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${count} ${name}`).join(", ");
}
