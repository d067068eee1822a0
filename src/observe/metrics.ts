// What a metric is, and how metrics are encoded in the Prometheus text format.
// https://prometheus.io/docs/instrumenting/exposition_formats/
import type { GatewayStatus, ProcessStatus } from "./status.ts";

export interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Label names; a histogram also has `le`. */
  readonly labels?: readonly string[];
  /** Returns the current samples. A metric without samples is left out of /metrics. */
  readonly samples: (gateway: GatewayStatus, processStatus: ProcessStatus) => readonly Sample[];
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

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Returns the body of /metrics in text format version 0.0.4. */
export function encodeMetrics(
  metrics: readonly Metric[],
  gateway: GatewayStatus,
  processStatus: ProcessStatus,
): string {
  return metrics
    .map(({ name, type, help, samples }) => {
      const lines = samples(gateway, processStatus).map(
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
