// What /metrics tells: one table, of which docs/metrics.md is made. How it is
// written is metrics.ts' business.
import type { Counts, EndpointStatus, GatewayStatus, ProcessStatus } from "./status.ts";

export interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Names of its labels; a histogram has `le` besides. */
  readonly labels?: readonly string[];
  /** Undefined: not at this moment. */
  readonly samples: (gateway: GatewayStatus, process: ProcessStatus) => readonly Sample[];
}

export type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly labels?: Labels;
  readonly value: number;
  /** Behind the name, for the parts of a histogram. */
  readonly suffix?: "_bucket" | "_sum" | "_count";
}

const PREFIX = "etcd_gateway_";

const one = (value: number): Sample[] => [{ value }];
const ofCounts = (counts: Counts, label: string): Sample[] =>
  Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));
const ofEndpoints =
  (valueOf: (endpoint: EndpointStatus) => number) =>
  ({ endpoints }: GatewayStatus): Sample[] =>
    endpoints.map((endpoint) => ({
      labels: { endpoint: endpoint.address },
      value: valueOf(endpoint),
    }));

function dialTimes({ address, dialTimes: { boundsSeconds, counts, sumSeconds } }: EndpointStatus) {
  const labels = { endpoint: address };
  let below = 0;
  const buckets = counts.map((count, i): Sample => {
    below += count;
    const le = String(boundsSeconds[i] ?? "+Inf");
    return { labels: { ...labels, le }, value: below, suffix: "_bucket" };
  });
  const sum: Sample = { labels, value: sumSeconds, suffix: "_sum" };
  return [...buckets, sum, { labels, value: below, suffix: "_count" } satisfies Sample];
}

/** All that there is, in the order of /metrics. */
export const METRICS: readonly Metric[] = [
  {
    name: `${PREFIX}build_info`,
    type: "gauge",
    help: "Always 1; its labels are the versions of the gateway and of Bun.",
    labels: ["version", "runtime"],
    samples: (_, { version, runtime }) => [{ labels: { version, runtime }, value: 1 }],
  },
  {
    name: `${PREFIX}connections_accepted_total`,
    type: "counter",
    help: "Clients accepted: relayed, refused, or still being dialled for.",
    samples: ({ accepted }) => one(accepted),
  },
  {
    name: `${PREFIX}connections_relayed_total`,
    type: "counter",
    help: "Clients joined to an endpoint.",
    samples: ({ relayed }) => one(relayed),
  },
  {
    name: `${PREFIX}connections_refused_total`,
    type: "counter",
    help: "Clients reset instead of relayed, by reason; client_left and shutdown: before an endpoint had answered.",
    labels: ["reason"],
    samples: ({ refused }) => ofCounts(refused, "reason"),
  },
  {
    name: `${PREFIX}connections_active`,
    type: "gauge",
    help: "Clients at this moment, those being dialled for included.",
    samples: ({ active }) => one(active),
  },
  {
    name: `${PREFIX}connections_limit`,
    type: "gauge",
    help: "Clients at the same time beyond which more are reset.",
    samples: ({ maxConnections }) => one(maxConnections),
  },
  {
    name: `${PREFIX}relays_ended_total`,
    type: "counter",
    help: "Relays that are over, by what ended them; ..._closed: whose FIN came first in an orderly end.",
    labels: ["cause"],
    samples: ({ ended }) => ofCounts(ended, "cause"),
  },
  {
    name: `${PREFIX}relayed_bytes_total`,
    type: "counter",
    help: "Bytes taken by the receiver's kernel, by direction.",
    labels: ["direction"],
    samples: ({ bytesToServers, bytesToClients }) => [
      { labels: { direction: "to_server" }, value: bytesToServers },
      { labels: { direction: "to_client" }, value: bytesToClients },
    ],
  },
  {
    name: `${PREFIX}held_bytes`,
    type: "gauge",
    help: "Memory held for peers that do not read what they are sent.",
    samples: ({ heldBytes }) => one(heldBytes),
  },
  {
    name: `${PREFIX}draining`,
    type: "gauge",
    help: "1 while it stops and lets connections finish, else 0.",
    samples: ({ draining }) => one(Number(draining)),
  },
  {
    name: `${PREFIX}endpoint_up`,
    type: "gauge",
    help: "1 while the endpoint accepts connections, 0 while it is down.",
    labels: ["endpoint"],
    samples: ofEndpoints(({ up }) => Number(up)),
  },
  {
    name: `${PREFIX}endpoint_healthy`,
    type: "gauge",
    help: "1 unless the endpoint's health checks fail; without --health-url always 1.",
    labels: ["endpoint"],
    samples: ofEndpoints(({ healthy }) => Number(healthy)),
  },
  {
    name: `${PREFIX}endpoint_responsive`,
    type: "gauge",
    help: "0 while the endpoint does not answer its health checks; without --health-url always 1.",
    labels: ["endpoint"],
    samples: ofEndpoints(({ health }) => Number(health !== "unresponsive")),
  },
  {
    name: `${PREFIX}endpoint_connections`,
    type: "gauge",
    help: "Relays to the endpoint, and dials under way.",
    labels: ["endpoint"],
    samples: ofEndpoints(({ connections }) => connections),
  },
  {
    name: `${PREFIX}endpoint_priority`,
    type: "gauge",
    help: "The lowest priority that is up takes all new connections (RFC 2782).",
    labels: ["endpoint"],
    samples: ofEndpoints(({ priority }) => priority),
  },
  {
    name: `${PREFIX}endpoint_weight`,
    type: "gauge",
    help: "The endpoint's share among those of its priority (RFC 2782).",
    labels: ["endpoint"],
    samples: ofEndpoints(({ weight }) => weight),
  },
  {
    name: `${PREFIX}endpoint_dials_total`,
    type: "counter",
    help: "Clients' dials of the endpoint, by outcome; overtaken: another endpoint answered earlier.",
    labels: ["endpoint", "outcome"],
    samples: ({ endpoints }) =>
      endpoints.flatMap(({ address, dials }) =>
        ofCounts(dials, "outcome").map(({ labels, value }) => ({
          labels: { endpoint: address, ...labels },
          value,
        })),
      ),
  },
  {
    name: `${PREFIX}endpoint_dial_duration_seconds`,
    type: "histogram",
    help: "How long the dials took that connected, name lookup included.",
    labels: ["endpoint"],
    samples: ({ endpoints }) => endpoints.flatMap(dialTimes),
  },
  {
    name: `${PREFIX}discovery_refreshes_total`,
    type: "counter",
    help: "Looks for endpoints, by source.",
    labels: ["source"],
    samples: ({ discovery }) =>
      discovery.map(({ source, refreshes }) => ({ labels: { source }, value: refreshes })),
  },
  {
    name: `${PREFIX}discovery_failures_total`,
    type: "counter",
    help: "Looks for endpoints that found nothing that can be used, by source.",
    labels: ["source"],
    samples: ({ discovery }) =>
      discovery.map(({ source, failures }) => ({ labels: { source }, value: failures })),
  },
  {
    name: `${PREFIX}discovery_age_seconds`,
    type: "gauge",
    help: "How long ago the last good set of endpoints was found, by source.",
    labels: ["source"],
    samples: ({ discovery }) =>
      discovery.flatMap(({ source, ageMs }) =>
        ageMs === null ? [] : [{ labels: { source }, value: ageMs / 1000 }],
      ),
  },
  {
    name: `${PREFIX}event_loop_delay_seconds`,
    type: "gauge",
    help: "The longest that an event had to wait for its turn within the last ten seconds.",
    samples: (_, { eventLoopDelaySeconds }) => one(eventLoopDelaySeconds),
  },
  {
    name: "process_cpu_seconds_total",
    type: "counter",
    help: "User and system CPU time.",
    samples: (_, { cpuSeconds }) => one(cpuSeconds),
  },
  {
    name: "process_resident_memory_bytes",
    type: "gauge",
    help: "Resident memory.",
    samples: (_, { residentBytes }) => one(residentBytes),
  },
  {
    name: "process_open_fds",
    type: "gauge",
    help: "Open file descriptors; each client takes two.",
    samples: (_, { openDescriptors }) => one(openDescriptors),
  },
  {
    name: "process_max_fds",
    type: "gauge",
    help: "The limit of open file descriptors.",
    samples: (_, { maxDescriptors }) => one(maxDescriptors),
  },
  {
    name: "process_start_time_seconds",
    type: "gauge",
    help: "When the process started, in seconds since 1970.",
    samples: (_, { startTimeSeconds }) => one(startTimeSeconds),
  },
];
