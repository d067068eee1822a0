// Counts failed conversations, and prints those that no fault excuses. Clients'
// failures are judged at once, servers' reports after all clients have ended.
import type { Faults } from "./faults.ts";
import type { Failure } from "./load.ts";
import type { ConversationReport } from "./server-process.ts";

const MAX_PRINTED = 20;

// Time by which a server may notice an end late.
const REPORT_DELAY_MS = 2000;

export class FailureLog {
  /** Conversations with a wrong byte. */
  wrong = 0;
  /** Failures that no fault excuses, including those with wrong bytes. */
  unexcused = 0;
  /** Failures by kind, excused or not. */
  readonly counts = new Map<string, number>();
  /** Decides what is excused. Must be set before anything fails; without it nothing is excused. */
  excuses: Pick<Faults, "explain" | "recent"> | undefined;
  /** Conversations whose client failed with an excuse. */
  readonly #excused = new Set<number>();
  #reports: { server: number; report: ConversationReport; at: number }[] = [];

  /** Failures that a fault excuses. */
  get excused(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0) - this.unexcused;
  }

  /** Records the failure of a client's conversation. */
  add(failure: Failure): void {
    const { kind, message, server, number, startedAt, endedAt, isWrong } = failure;
    const excuse = this.excuses?.explain(failure);
    // Without its numbers, so that failures of the same kind count as one.
    this.#count(`${kind}: ${message.replace(/\d+/g, "N")}`);
    if (excuse !== undefined) {
      this.#excused.add(number);
      return;
    }

    if (isWrong) this.wrong++;
    const period = `${Math.round(startedAt)} to ${Math.round(endedAt)} ms`;
    this.#printError(
      `${kind} ${number}, served by ${server ?? "no server"}, ${period}: ${message}`,
    );
  }

  /** Records a server's report, until `judgeReports`. */
  addReport(server: number, report: ConversationReport): void {
    this.#reports.push({ server, report, at: performance.now() });
  }

  /** Judges the servers' reports. Must be called while no conversation is open. */
  judgeReports(): void {
    for (const { server, report, at } of this.#reports) {
      const { kind, number, what } = report;
      const isWrong = kind === "wrong";
      this.#count(`server: ${what.replace(/\d+/g, "N")}`);
      if (isWrong) this.wrong++;
      const seen = { server, startedAt: at - REPORT_DELAY_MS, endedAt: at, isWrong };
      const isExcused = this.#excused.has(number) || this.excuses?.explain(seen) !== undefined;
      if (isExcused && !isWrong) continue;

      this.#printError(`server ${server}, conversation ${number}, ${Math.round(at)} ms: ${what}`);
    }

    this.#reports = [];
    this.#excused.clear();
  }

  /** Returns what is wrong with the run so far. */
  problems(): string[] {
    const problems: string[] = [];
    if (this.wrong > 0) problems.push(`${this.wrong} conversations with wrong bytes`);
    if (this.unexcused > 0) problems.push(`${this.unexcused} failures that no fault excuses`);
    return problems;
  }

  #count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  #printError(message: string): void {
    if (++this.unexcused > MAX_PRINTED) return;

    const recent = this.excuses?.recent(performance.now());
    console.error(`NOT EXCUSED: ${message}; recent faults: ${recent || "none"}`);
  }
}
