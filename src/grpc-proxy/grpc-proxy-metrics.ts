// The metrics of the gRPC proxy: one row each, in the order of /metrics. docs/metrics.md is
// generated from them; observe/metrics.ts encodes them.
import { type Metric, perCount, PREFIX, type Sample, single } from "../observe/metrics.ts";
import { CLUSTER_METRICS } from "../resolver/cluster-metrics.ts";
import type { GrpcProxyStatus } from "./grpc-proxy-status.ts";
import { GRPC_CODE_NAMES } from "./grpc-status.ts";
import type { Method } from "./methods.ts";

/** The labels of go-grpc-prometheus, which etcd's proxy uses. */
const METHOD_LABELS = ["grpc_type", "grpc_service", "grpc_method"];

const labelsOf = ({ type, service, name }: Method) => ({
  grpc_type: type,
  grpc_service: service,
  grpc_method: name,
});

const perMethod =
  (valueOf: (method: Method) => number) =>
  ({ methods }: GrpcProxyStatus): Sample[] =>
    methods.map((method) => ({ labels: labelsOf(method), value: valueOf(method) }));

export const GRPC_PROXY_METRICS: readonly Metric<GrpcProxyStatus>[] = [
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
    name: `${PREFIX}calls_active`,
    type: "gauge",
    help: "Calls in progress, including those that wait for a member.",
    samples: ({ calls }) => single(calls),
  },
  {
    name: `${PREFIX}calls_waiting`,
    type: "gauge",
    help: "Calls that wait for a connection to a member.",
    samples: ({ waitingCalls }) => single(waitingCalls),
  },
  {
    name: `${PREFIX}sessions_active`,
    type: "gauge",
    help: "Open HTTP/2 connections to members.",
    samples: ({ sessions }) => single(sessions),
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
    help: "1 while the proxy drains before it stops: calls may finish. Otherwise 0.",
    samples: ({ draining }) => single(Number(draining)),
  },
  {
    name: "grpc_server_started_total",
    type: "counter",
    help: "Calls started.",
    labels: METHOD_LABELS,
    samples: perMethod(({ started }) => started),
  },
  {
    name: "grpc_server_handled_total",
    type: "counter",
    help: "Calls ended, by code.",
    labels: [...METHOD_LABELS, "grpc_code"],
    samples: ({ methods }) =>
      methods.flatMap((method) =>
        method.handled.flatMap((value, code): Sample[] =>
          value === 0
            ? []
            : [{ labels: { ...labelsOf(method), grpc_code: GRPC_CODE_NAMES[code]! }, value }],
        ),
      ),
  },
  {
    name: "grpc_server_msg_received_total",
    type: "counter",
    help: "Messages received from clients.",
    labels: METHOD_LABELS,
    samples: perMethod(({ messagesReceived }) => messagesReceived),
  },
  {
    name: "grpc_server_msg_sent_total",
    type: "counter",
    help: "Messages sent to clients.",
    labels: METHOD_LABELS,
    samples: perMethod(({ messagesSent }) => messagesSent),
  },
  ...CLUSTER_METRICS,
];
