// Encodes the metrics of metrics-table.ts in the Prometheus text format.
// https://prometheus.io/docs/instrumenting/exposition_formats/
import { type Labels, METRICS } from "./metrics-table.ts";
import type { GatewayStatus, ProcessStatus } from "./status.ts";

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Returns the body of /metrics in text format version 0.0.4. */
export function encodeMetrics(gateway: GatewayStatus, processStatus: ProcessStatus): string {
  return METRICS.map(({ name, type, help, samples }) => {
    const lines = samples(gateway, processStatus).map(
      ({ suffix = "", labels, value }) => `${name}${suffix}${encodeLabels(labels)} ${value}\n`,
    );
    return lines.length === 0
      ? ""
      : `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
  }).join("");
}

function encodeLabels(labels: Labels | undefined): string {
  if (labels === undefined) return "";
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return `{${pairs.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`));
}
