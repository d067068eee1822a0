// What failed, and whether something excuses it: the clients' failures at once,
// the servers' reports once their clients have said what they saw.
import type { Faults } from "./faults.ts";
import type { Failure } from "./load.ts";
import type { ConversationReport } from "./server-process.ts";

const MAX_SHOWN = 20;

// A server may notice an end this much later than it came.
const REPORT_LAG_MS = 2000;

export class Verdicts {
  /** Conversations with a wrong byte. */
  wrong = 0;
  /** Failures that nothing excuses, those included. */
  unexplained = 0;
  /** How often each kind of failure was seen, explained or not. */
  readonly counts = new Map<string, number>();
  /** To be set before anything fails; without it nothing is excused. */
  excuses: Pick<Faults, "explain" | "recent"> | undefined;
  readonly #excused = new Set<number>();
  #reports: { server: number; report: ConversationReport; at: number }[] = [];

  /** Failures that an excuse was found for. */
  get explained(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0) - this.unexplained;
  }

  failed(failure: Failure): void {
    const { kind, what, server, number, startedAt, endedAt, isWrong } = failure;
    const excuse = this.excuses?.explain(failure);
    // Without the numbers in it: what is the same kind of failure has one name.
    this.#count(`${kind}: ${what.replace(/\d+/g, "N")}`);
    if (excuse !== undefined) {
      this.#excused.add(number);
      return;
    }
    if (isWrong) this.wrong++;
    const lasted = `${Math.round(startedAt)} to ${Math.round(endedAt)} ms`;
    this.#complain(`${kind} ${number}, served by ${server ?? "nobody"}, ${lasted}: ${what}`);
  }

  /** A server saw something that the request did not announce. */
  reported(server: number, report: ConversationReport): void {
    this.#reports.push({ server, report, at: performance.now() });
  }

  /** To be called when no conversation is under way: judges what the servers reported. */
  settle(): void {
    for (const { server, report, at } of this.#reports) {
      const { kind, number, what } = report;
      const isWrong = kind === "wrong";
      this.#count(`server: ${what.replace(/\d+/g, "N")}`);
      if (isWrong) this.wrong++;
      const seen = { server, startedAt: at - REPORT_LAG_MS, endedAt: at, isWrong };
      const isExcused = this.#excused.has(number) || this.excuses?.explain(seen) !== undefined;
      if (isExcused && !isWrong) continue;
      this.#complain(`server ${server}, conversation ${number}, ${Math.round(at)} ms: ${what}`);
    }
    this.#reports = [];
    this.#excused.clear();
  }

  /** What is wrong with the run so far. */
  problems(): string[] {
    const problems: string[] = [];
    if (this.wrong > 0) problems.push(`${this.wrong} conversations with wrong bytes`);
    if (this.unexplained > 0) problems.push(`${this.unexplained} failures that no fault explains`);
    return problems;
  }

  #count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  #complain(what: string): void {
    if (++this.unexplained > MAX_SHOWN) return;
    const recently = this.excuses?.recent(performance.now());
    console.error(`NOT EXPLAINED: ${what}; recently: ${recently || "nothing"}`);
  }
}
