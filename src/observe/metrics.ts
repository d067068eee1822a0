// What a metric is, and how metrics are encoded in the Prometheus text format.
// https://prometheus.io/docs/instrumenting/exposition_formats/
import type { Counts } from "./status.ts";

/** What a metric is called. */
export interface MetricHead {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Label names; a histogram also has `le`. */
  readonly labels?: readonly string[];
}

/** A row: a metric, and how its samples are read from a `Status`, which is that of a proxy or of the process. */
export interface Metric<Status> extends MetricHead {
  readonly samples: (status: Status) => readonly Sample[];
}

/** A metric with its current samples. Without any it is left out of /metrics. */
export interface MetricSamples extends MetricHead {
  readonly samples: readonly Sample[];
}

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
  /** Appended to the name for the series of a histogram. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
}

/** Prefix of the metrics whose names Prometheus does not define. */
export const PREFIX = "etcd_gateway_";

/** Returns the samples of a metric without labels. */
export const single = (value: number): Sample[] => [{ value }];

/** Returns a sample for each count; `label` holds its name. */
export const perCount = (counts: Counts, label: string): Sample[] =>
  Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Returns the samples of each row at this moment. */
export function collect<Status>(
  rows: readonly Metric<Status>[],
  status: Status,
): readonly MetricSamples[] {
  return rows.map((row) => ({ ...row, samples: row.samples(status) }));
}

/** Returns the body of /metrics in text format version 0.0.4. */
export function encodeMetrics(metrics: readonly MetricSamples[]): string {
  return metrics
    .map(({ name, type, help, samples }) => {
      const lines = samples.map(
        ({ suffix = "", labels, value }) => `${name}${suffix}${encodeLabels(labels)} ${value}\n`,
      );
      return lines.length === 0
        ? ""
        : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
    })
    .join("");
}

function encodeLabels(labels: Labels | undefined): string {
  if (labels === undefined) return "";
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`));
}
