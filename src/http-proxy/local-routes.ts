// What the proxy answers itself where clients connect: the paths of etcd's own proxy.
import { collect, encodeMetrics, METRICS_TYPE } from "../observe/metrics.ts";
import type { Cluster } from "../resolver/cluster.ts";
import type { OwnAnswer } from "./answers.ts";
import { ETCD_PROXY_METRICS } from "./http-proxy-metrics.ts";
import type { HttpProxyStatus } from "./http-proxy-status.ts";

const CONFIG_PATH = "/v2/config/local/proxy";
const METRICS_PATH = "/metrics";

const TEXT_TYPE = "text/plain; charset=utf-8";

/** Returns the answer to a path of the proxy's own; undefined if a member has it. */
export function localAnswer(
  method: string,
  path: string | undefined,
  { pool }: Pick<Cluster, "pool">,
  status: () => HttpProxyStatus,
): OwnAnswer | undefined {
  if (path === METRICS_PATH) {
    const body = encodeMetrics(collect(ETCD_PROXY_METRICS, status()));
    return { status: 200, contentType: METRICS_TYPE, body };
  }
  if (path !== CONFIG_PATH) return undefined;
  if (method !== "GET") {
    const body = "Method Not Allowed\n";
    return { status: 405, contentType: TEXT_TYPE, headers: { Allow: "GET" }, body };
  }
  const up = pool.endpoints.filter(({ isUp }) => isUp);
  const endpoints = up.map(({ label }) => `http://${label}`);
  return { status: 200, contentType: TEXT_TYPE, body: `${JSON.stringify({ endpoints })}\n` };
}
