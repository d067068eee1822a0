// The metrics of every process, whichever proxy it runs.
import {
  collect,
  type Metric,
  type MetricHead,
  type MetricSamples,
  PREFIX,
  single,
} from "./metrics.ts";
import type { ProcessStatus } from "./status.ts";

const BUILD_METRICS: readonly Metric<ProcessStatus>[] = [
  {
    name: `${PREFIX}build_info`,
    type: "gauge",
    help: "Always 1. The labels are the version of etcd-gateway, and the version and platform of Bun.",
    labels: ["version", "runtime"],
    samples: ({ version, runtime }) => [{ labels: { version, runtime }, value: 1 }],
  },
];

const PROCESS_METRICS: readonly Metric<ProcessStatus>[] = [
  {
    name: `${PREFIX}event_loop_delay_seconds`,
    type: "gauge",
    help: "Longest event loop delay in the last ten seconds.",
    samples: ({ eventLoopDelaySeconds }) => single(eventLoopDelaySeconds),
  },
  {
    name: "process_cpu_seconds_total",
    type: "counter",
    help: "Total user and system CPU time.",
    samples: ({ cpuSeconds }) => single(cpuSeconds),
  },
  {
    name: "process_resident_memory_bytes",
    type: "gauge",
    help: "Resident memory size.",
    samples: ({ residentBytes }) => single(residentBytes),
  },
  {
    name: "process_open_fds",
    type: "gauge",
    help: "Number of open file descriptors. A client of the gateway uses two, one of the gRPC proxy one.",
    samples: ({ openDescriptors }) => single(openDescriptors),
  },
  {
    name: "process_max_fds",
    type: "gauge",
    help: "Maximum number of open file descriptors.",
    samples: ({ maxDescriptors }) => single(maxDescriptors),
  },
  {
    name: "process_start_time_seconds",
    type: "gauge",
    help: "Start time of the process, in seconds since 1970.",
    samples: ({ startTimeSeconds }) => single(startTimeSeconds),
  },
];

/** Returns all metrics of a process whose proxy has `metrics`, in the order of /metrics. */
export function withProcessMetrics(metrics: readonly MetricHead[]): readonly MetricHead[] {
  return [...BUILD_METRICS, ...metrics, ...PROCESS_METRICS];
}

/** Returns the same with their current samples. */
export function withProcessSamples(
  metrics: readonly MetricSamples[],
  status: ProcessStatus,
): readonly MetricSamples[] {
  return [...collect(BUILD_METRICS, status), ...metrics, ...collect(PROCESS_METRICS, status)];
}
