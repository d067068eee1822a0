// Prints docs/metrics.md, made of the table that /metrics is made of:
// bun scripts/metrics-docs.ts > docs/metrics.md
import { METRICS } from "../src/observe/metrics-table.ts";

const rows = METRICS.map(({ name, type, labels = [], help }) => {
  const shown = labels.map((label) => `\`${label}\``).join(", ");
  return `| \`${name}\` | ${type} | ${shown} | ${help} |`;
});

console.log(`# Metrics

With \`--metrics-addr=HOST:PORT\` the gateway answers Prometheus at \`/metrics\`. Made by \`scripts/metrics-docs.ts\`,
not by hand. The number of series is bounded by the number of endpoints: no label has anything of a client.

| name | type | labels | what it tells |
| --- | --- | --- | --- |
${rows.join("\n")}`);
