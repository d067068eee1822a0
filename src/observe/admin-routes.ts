// Maps the paths of the admin server to responses. The HTTP server itself is
// admin-server.ts.
import type { Clock } from "../core/clock.ts";
import { encodeMetrics, type MetricSamples, METRICS_TYPE } from "./metrics.ts";
import { PAGE, PAGE_HEADERS } from "./page.ts";
import type { History } from "./history.ts";
import { withProcessSamples } from "./process-metrics.ts";
import type { ProcessStatus, ProxyStatus } from "./status.ts";

export interface AdminResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A proxy, as the admin server sees it. */
export interface ObservedProxy {
  status(): ProxyStatus;
  /** Returns the current samples of its metrics, in the order of /metrics. */
  metrics(): readonly MetricSamples[];
  /** Where its metrics are served. Undefined: /metrics. */
  readonly metricsPath?: string;
  /** Other paths that it answers itself, before those of the admin server. */
  readonly routes?: Readonly<Record<string, () => Promise<AdminResponse>>>;
}

export interface AdminRoutesDeps {
  readonly clock: Clock;
  readonly proxy: ObservedProxy;
  readonly process: () => ProcessStatus;
  /** Returns the current configuration by flag name, without secrets. */
  readonly config: () => Readonly<Record<string, string>>;
  readonly history: History;
}

// A status walks every relay, so requests that arrive together share one response.
const MAX_AGE_MS = 100;

const TEXT_HEADERS = { "Content-Type": "text/plain; charset=utf-8" };
const JSON_HEADERS = { "Content-Type": "application/json" };

export class AdminRoutes {
  readonly #deps: AdminRoutesDeps;
  readonly #cache = new Map<string, { readonly at: number; readonly response: AdminResponse }>();
  readonly #routes: Readonly<Record<string, () => AdminResponse | Promise<AdminResponse>>>;

  constructor(deps: AdminRoutesDeps) {
    this.#deps = deps;
    const { metricsPath = "/metrics", routes } = deps.proxy;
    this.#routes = {
      "/": () => ({ status: 200, headers: PAGE_HEADERS, body: PAGE }),
      [metricsPath]: () => this.#cached(metricsPath, () => this.#metrics()),
      "/health": () => this.#health(),
      "/livez": () => textResponse("ok\n"),
      "/readyz": () => this.#readyz(),
      "/status": () => this.#cached("/status", () => this.#status(true)),
      // Without the history, which is most of the response.
      "/status?moments=0": () => this.#cached("/status?moments=0", () => this.#status(false)),
      ...routes,
    };
  }

  /** Handles one request. `target` comes from the request line: a path or an absolute URL. */
  handle(method: string, target: string): AdminResponse | Promise<AdminResponse> {
    const pathAndQuery = target.replace(/^https?:\/\/[^/?]*/i, "");
    const path = Object.hasOwn(this.#routes, pathAndQuery)
      ? pathAndQuery
      : pathAndQuery.replace(/\?.*$/s, "");

    if (!Object.hasOwn(this.#routes, path)) {
      const paths = Object.keys(this.#routes).join(", ");
      return textResponse(`not found; available paths: ${paths}\n`, 404);
    }
    if (method === "GET" || method === "HEAD") return this.#routes[path]!();
    return textResponse("method not allowed; use GET or HEAD\n", 405, { Allow: "GET, HEAD" });
  }

  #metrics(): AdminResponse {
    const { proxy, process: processStatus } = this.#deps;
    const body = encodeMetrics(withProcessSamples(proxy.metrics(), processStatus()));
    return { status: 200, headers: { "Content-Type": METRICS_TYPE }, body };
  }

  #status(hasSamples: boolean): AdminResponse {
    const { config, history } = this.#deps;
    const response = {
      gateway: this.#deps.proxy.status(),
      process: this.#deps.process(),
      config: config(),
      ...(hasSamples && { moments: history.samples }),
      events: history.events,
    };
    return { status: 200, headers: JSON_HEADERS, body: JSON.stringify(response) };
  }

  /** Responds in etcd's /health format, so that a check made for etcd works here. */
  #health(): AdminResponse {
    const reason = notReadyReason(this.#deps.proxy.status());
    const health = reason === undefined ? { health: "true" } : { health: "false", reason };
    return { status: statusOf(reason), headers: JSON_HEADERS, body: JSON.stringify(health) };
  }

  #readyz(): AdminResponse {
    const reason = notReadyReason(this.#deps.proxy.status());
    return textResponse(`${reason ?? "ok"}\n`, statusOf(reason));
  }

  #cached(path: string, create: () => AdminResponse): AdminResponse {
    const now = this.#deps.clock.now();
    const cached = this.#cache.get(path);
    if (cached !== undefined && now - cached.at < MAX_AGE_MS) return cached.response;

    const response = create();
    this.#cache.set(path, { at: now, response });
    return response;
  }
}

/** Creates a plain-text response. */
export function textResponse(
  body: string,
  status = 200,
  headers: Record<string, string> = {},
): AdminResponse {
  return { status, headers: { ...TEXT_HEADERS, ...headers }, body };
}

/** Returns why new clients should go elsewhere, or undefined if the proxy can serve them. */
function notReadyReason({ draining, endpoints }: ProxyStatus): string | undefined {
  if (draining) return "draining";
  return endpoints.some(({ up }) => up) ? undefined : "no endpoint is up";
}

const statusOf = (reason: string | undefined) => (reason === undefined ? 200 : 503);
