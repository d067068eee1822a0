// The metrics of endpoints and discovery, which every proxy has: one row each.
import { type Metric, perCount, PREFIX, type Sample } from "../observe/metrics.ts";
import type { EndpointStatus, ProxyStatus } from "../observe/status.ts";

const perEndpoint =
  (valueOf: (endpoint: EndpointStatus) => number) =>
  ({ endpoints }: ProxyStatus): Sample[] =>
    endpoints.map((endpoint) => ({
      labels: { endpoint: endpoint.address },
      value: valueOf(endpoint),
    }));

function dialHistogram({
  address,
  dialTimes: { boundsSeconds, counts, sumSeconds },
}: EndpointStatus) {
  const labels = { endpoint: address };

  let cumulative = 0;
  const buckets = counts.map((count, i): Sample => {
    cumulative += count;
    const le = String(boundsSeconds[i] ?? "+Inf");
    return { labels: { ...labels, le }, value: cumulative, suffix: "_bucket" };
  });

  const sum: Sample = { labels, value: sumSeconds, suffix: "_sum" };
  return [...buckets, sum, { labels, value: cumulative, suffix: "_count" } satisfies Sample];
}

export const CLUSTER_METRICS: readonly Metric<ProxyStatus>[] = [
  {
    name: `${PREFIX}endpoint_up`,
    type: "gauge",
    help: "1 if the endpoint is up, 0 if it is down.",
    labels: ["endpoint"],
    samples: perEndpoint(({ up }) => Number(up)),
  },
  {
    name: `${PREFIX}endpoint_healthy`,
    type: "gauge",
    help: "0 if the endpoint fails its health checks, otherwise 1. Always 1 without --health-url.",
    labels: ["endpoint"],
    samples: perEndpoint(({ healthy }) => Number(healthy)),
  },
  {
    name: `${PREFIX}endpoint_responsive`,
    type: "gauge",
    help: "0 if the endpoint does not answer its health checks, otherwise 1. Always 1 without --health-url.",
    labels: ["endpoint"],
    samples: perEndpoint(({ health }) => Number(health !== "unresponsive")),
  },
  {
    name: `${PREFIX}endpoint_connections`,
    type: "gauge",
    help: "Relays or calls that the endpoint serves, plus dials in progress.",
    labels: ["endpoint"],
    samples: perEndpoint(({ connections }) => connections),
  },
  {
    name: `${PREFIX}endpoint_priority`,
    type: "gauge",
    help: "Priority of the endpoint (RFC 2782). New connections go to the lowest priority among the endpoints that are up and in the best health.",
    labels: ["endpoint"],
    samples: perEndpoint(({ priority }) => priority),
  },
  {
    name: `${PREFIX}endpoint_weight`,
    type: "gauge",
    help: "Weight of the endpoint: its share of new connections within its priority (RFC 2782).",
    labels: ["endpoint"],
    samples: perEndpoint(({ weight }) => weight),
  },
  {
    name: `${PREFIX}endpoint_dials_total`,
    type: "counter",
    help: "Dials made for clients, by outcome. overtaken: another endpoint connected first.",
    labels: ["endpoint", "outcome"],
    samples: ({ endpoints }) =>
      endpoints.flatMap(({ address, dials }) =>
        perCount(dials, "outcome").map(({ labels, value }) => ({
          labels: { endpoint: address, ...labels },
          value,
        })),
      ),
  },
  {
    name: `${PREFIX}endpoint_dial_duration_seconds`,
    type: "histogram",
    help: "Duration of successful dials, including name resolution.",
    labels: ["endpoint"],
    samples: ({ endpoints }) => endpoints.flatMap(dialHistogram),
  },
  {
    name: `${PREFIX}discovery_refreshes_total`,
    type: "counter",
    help: "Discovery refreshes, by source.",
    labels: ["source"],
    samples: ({ discovery }) =>
      discovery.map(({ source, refreshes }) => ({ labels: { source }, value: refreshes })),
  },
  {
    name: `${PREFIX}discovery_failures_total`,
    type: "counter",
    help: "Discovery refreshes that returned no usable endpoints, by source.",
    labels: ["source"],
    samples: ({ discovery }) =>
      discovery.map(({ source, failures }) => ({ labels: { source }, value: failures })),
  },
  {
    name: `${PREFIX}discovery_age_seconds`,
    type: "gauge",
    help: "Time since the last successful discovery refresh, by source. Absent before the first one.",
    labels: ["source"],
    samples: ({ discovery }) =>
      discovery.flatMap(({ source, ageMs }) =>
        ageMs === null ? [] : [{ labels: { source }, value: ageMs / 1000 }],
      ),
  },
];
