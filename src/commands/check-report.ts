// Prints what a `check` found, as a table or as JSON.
import type { Output } from "../cli/output.ts";
import { table } from "../cli/table.ts";
import { StartError } from "../core/start-error.ts";
import type { CheckReport, Step } from "../resolver/cluster-check.ts";

/** What is printed in addition to the report. */
export interface ReportOptions {
  readonly isJson: boolean;
  /** About flags and variables that have no effect. */
  readonly warnings: readonly string[];
}

/**
 * Runs a check, prints its report, and resolves with the exit status: 0 only if every step
 * passed. A StartError of `check` is a part of the report.
 */
export async function printReport(
  check: () => Promise<CheckReport>,
  { isJson, warnings }: ReportOptions,
  { print }: Output,
): Promise<number> {
  const report = await check().catch(withError);
  print(
    isJson ? `${JSON.stringify({ ...report, warnings }, null, 2)}\n` : asTable(report, warnings),
  );
  return report.ok ? 0 : 1;
}

function withError(error: unknown): CheckReport {
  if (!(error instanceof StartError)) throw error;
  return { ok: false, endpoints: [], errors: [error.message] };
}

const HEAD = ["ENDPOINT", "FROM", "PRIORITY", "WEIGHT", "RESOLVES", "ACCEPTS", "VERIFIES"];

function asTable({ ok, endpoints, errors }: CheckReport, warnings: readonly string[]): string {
  const rows = endpoints.map(({ endpoint, from, priority, weight, ...steps }) => [
    endpoint,
    from,
    String(priority),
    String(weight),
    inWords(steps.resolves),
    inWords(steps.accepts),
    inWords(steps.verifies),
  ]);
  return [
    ...(rows.length === 0 ? [] : table([HEAD, ...rows])),
    ...warnings.map((warning) => `warning: ${warning}`),
    ...errors.map((error) => `error: ${error}`),
    ok ? "all is well" : "not all is well",
    "",
  ].join("\n");
}

function inWords(step: Step | null): string {
  if (step === null) return "-";
  return `${step.ok ? "" : "no: "}${step.text} (${step.ms}ms)`;
}
