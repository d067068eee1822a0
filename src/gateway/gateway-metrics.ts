// The metrics of the L4 gateway: one row each, in the order of /metrics. docs/metrics.md
// is generated from them; observe/metrics.ts encodes them.
import { type Metric, perCount, PREFIX, single } from "../observe/metrics.ts";
import { CLUSTER_METRICS } from "../resolver/cluster-metrics.ts";
import type { GatewayStatus } from "./gateway-status.ts";

export const GATEWAY_METRICS: readonly Metric<GatewayStatus>[] = [
  {
    name: `${PREFIX}connections_accepted_total`,
    type: "counter",
    help: "Client connections accepted: relayed, refused or still waiting for an endpoint.",
    samples: ({ accepted }) => single(accepted),
  },
  {
    name: `${PREFIX}connections_relayed_total`,
    type: "counter",
    help: "Client connections relayed to an endpoint.",
    samples: ({ relayed }) => single(relayed),
  },
  {
    name: `${PREFIX}connections_refused_total`,
    type: "counter",
    help: "Client connections that ended without being relayed, by reason. client_left and shutdown: the client closed, or the gateway stopped, before an endpoint accepted.",
    labels: ["reason"],
    samples: ({ refused }) => perCount(refused, "reason"),
  },
  {
    name: `${PREFIX}connections_active`,
    type: "gauge",
    help: "Open client connections, including those waiting for an endpoint.",
    samples: ({ active }) => single(active),
  },
  {
    name: `${PREFIX}connections_limit`,
    type: "gauge",
    help: "Maximum number of concurrent client connections; further ones are reset.",
    samples: ({ maxConnections }) => single(maxConnections),
  },
  {
    name: `${PREFIX}relays_ended_total`,
    type: "counter",
    help: "Ended relays, by cause. client_closed and server_closed: the side that sent the first FIN of an orderly end.",
    labels: ["cause"],
    samples: ({ ended }) => perCount(ended, "cause"),
  },
  {
    name: `${PREFIX}relayed_bytes_total`,
    type: "counter",
    help: "Bytes written to the receiving socket, by direction.",
    labels: ["direction"],
    samples: ({ bytesToServers, bytesToClients }) => [
      { labels: { direction: "to_server" }, value: bytesToServers },
      { labels: { direction: "to_client" }, value: bytesToClients },
    ],
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
    help: "1 while the gateway drains before it stops: open connections may finish. Otherwise 0.",
    samples: ({ draining }) => single(Number(draining)),
  },
  ...CLUSTER_METRICS,
];
