// The metrics of the HTTP proxy: one row each, in the order of /metrics. Those of etcd's own
// proxy have its names and labels. observe/metrics.ts encodes them.
import { type Metric, perCount, PREFIX, type Sample, single } from "../observe/metrics.ts";
import { CLUSTER_METRICS } from "../resolver/cluster-metrics.ts";
import type { HttpProxyStatus } from "./http-proxy-status.ts";
import { BOUNDS_SECONDS, type MethodCounts } from "./request-counts.ts";

/** The rows that etcd's proxy has, which name no endpoint. @see etcd proxy/httpproxy/metrics.go */
export const ETCD_PROXY_METRICS: readonly Metric<HttpProxyStatus>[] = [
  {
    name: "etcd_proxy_requests_total",
    type: "counter",
    help: "Requests received, by method.",
    labels: ["method"],
    samples: ({ methods }) =>
      methods.map(({ method, requests }) => ({ labels: { method }, value: requests })),
  },
  {
    name: "etcd_proxy_handled_total",
    type: "counter",
    help: "Requests answered, by method and status code.",
    labels: ["method", "code"],
    samples: ({ methods }) =>
      methods.flatMap(({ method, handled }) =>
        Object.entries(handled).map(([code, value]) => ({ labels: { method, code }, value })),
      ),
  },
  {
    name: "etcd_proxy_dropped_total",
    type: "counter",
    help: "Requests that no member answered, by method and reason.",
    labels: ["method", "proxying_error"],
    samples: ({ methods }) =>
      methods.flatMap(({ method, dropped }) =>
        Object.entries(dropped).map(([reason, value]) => ({
          labels: { method, proxying_error: reason },
          value,
        })),
      ),
  },
  {
    name: "etcd_proxy_handling_duration_seconds",
    type: "histogram",
    help: "Time from the head of a request to the head of its answer, by method.",
    labels: ["method"],
    samples: ({ methods }) => methods.flatMap(histogramOf),
  },
];

/** Cumulative buckets, as Prometheus wants them. */
function histogramOf({ method, buckets, sumSeconds }: MethodCounts): Sample[] {
  let count = 0;
  const samples = buckets.map((value, i): Sample => {
    count += value;
    const le = i < BOUNDS_SECONDS.length ? String(BOUNDS_SECONDS[i]) : "+Inf";
    return { suffix: "_bucket", labels: { method, le }, value: count };
  });
  return [
    ...samples,
    { suffix: "_sum", labels: { method }, value: sumSeconds },
    { suffix: "_count", labels: { method }, value: count },
  ];
}

export const HTTP_PROXY_METRICS: readonly Metric<HttpProxyStatus>[] = [
  {
    name: `${PREFIX}connections_accepted_total`,
    type: "counter",
    help: "Client connections accepted, including those that were then refused.",
    samples: ({ accepted }) => single(accepted),
  },
  {
    name: `${PREFIX}connections_refused_total`,
    type: "counter",
    help: "Client connections that were not served, by reason.",
    labels: ["reason"],
    samples: ({ refused }) => perCount(refused, "reason"),
  },
  {
    name: `${PREFIX}connections_active`,
    type: "gauge",
    help: "Open client connections.",
    samples: ({ active }) => single(active),
  },
  {
    name: `${PREFIX}connections_limit`,
    type: "gauge",
    help: "Maximum number of concurrent client connections; further ones are reset.",
    samples: ({ maxConnections }) => single(maxConnections),
  },
  {
    name: `${PREFIX}requests_active`,
    type: "gauge",
    help: "Requests in progress, including those that wait for a member.",
    samples: ({ requests }) => single(requests),
  },
  {
    name: `${PREFIX}member_connections_active`,
    type: "gauge",
    help: "Open connections to members, including idle ones.",
    samples: ({ memberConnections }) => single(memberConnections),
  },
  {
    name: `${PREFIX}held_bytes`,
    type: "gauge",
    help: "Bytes buffered for peers that read slowly or not at all.",
    samples: ({ heldBytes }) => single(heldBytes),
  },
  {
    name: `${PREFIX}draining`,
    type: "gauge",
    help: "1 while the proxy drains before it stops: requests may finish. Otherwise 0.",
    samples: ({ draining }) => single(Number(draining)),
  },
  ...ETCD_PROXY_METRICS,
  ...CLUSTER_METRICS,
];
