// What is answered to whom asks how the gateway is, path by path.
import type { Clock } from "../core/clock.ts";
import { encodeMetrics, METRICS_TYPE } from "./metrics.ts";
import { PAGE, PAGE_HEADERS } from "./page.ts";
import type { History } from "./history.ts";
import type { GatewayStatus, ProcessStatus } from "./status.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface AdminRoutesDeps {
  readonly clock: Clock;
  readonly gateway: () => GatewayStatus;
  readonly process: () => ProcessStatus;
  /** The configuration in force, flag by flag, without secrets. */
  readonly config: () => Readonly<Record<string, string>>;
  readonly history: History;
}

// Each relay is looked at for what is told: not anew for everybody who asks at once.
const MAX_AGE_MS = 100;

const TEXT = { "Content-Type": "text/plain; charset=utf-8" };
const JSON_TYPE = { "Content-Type": "application/json" };

export class AdminRoutes {
  readonly #deps: AdminRoutesDeps;
  readonly #kept = new Map<string, { readonly at: number; readonly answer: Answer }>();
  readonly #pages: Readonly<Record<string, () => Answer>> = {
    "/": () => ({ status: 200, headers: PAGE_HEADERS, body: PAGE }),
    "/metrics": () => this.#keep("/metrics", () => this.#metrics()),
    "/health": () => this.#health(),
    "/livez": () => text("ok\n"),
    "/readyz": () => this.#ready(),
    "/status": () => this.#keep("/status", () => this.#status(true)),
    // For who wants no history, which is most of it.
    "/status?moments=0": () => this.#keep("/status?moments=0", () => this.#status(false)),
  };

  constructor(deps: AdminRoutesDeps) {
    this.#deps = deps;
  }

  /** `target` as it stands in the request line: a path, or a whole URL. */
  answer(method: string, target: string): Answer {
    const whole = target.replace(/^https?:\/\/[^/?]*/i, "");
    const path = Object.hasOwn(this.#pages, whole) ? whole : whole.replace(/\?.*$/s, "");
    if (!Object.hasOwn(this.#pages, path)) {
      const known = Object.keys(this.#pages).join(", ");
      return text(`there is nothing here; there are ${known}\n`, 404);
    }
    if (method === "GET" || method === "HEAD") return this.#pages[path]!();
    return text("only GET and HEAD\n", 405, { Allow: "GET, HEAD" });
  }

  #metrics(): Answer {
    const body = encodeMetrics(this.#deps.gateway(), this.#deps.process());
    return { status: 200, headers: { "Content-Type": METRICS_TYPE }, body };
  }

  #status(hasMoments: boolean): Answer {
    const { gateway, process, config, history } = this.#deps;
    const told = {
      gateway: gateway(),
      process: process(),
      config: config(),
      ...(hasMoments && { moments: history.moments }),
      events: history.events,
    };
    return { status: 200, headers: JSON_TYPE, body: JSON.stringify(told) };
  }

  /** As etcd answers, so that whatever watches etcd can watch this. */
  #health(): Answer {
    const why = whyNotReady(this.#deps.gateway());
    const health = why === undefined ? { health: "true" } : { health: "false", reason: why };
    return { status: statusOf(why), headers: JSON_TYPE, body: JSON.stringify(health) };
  }

  #ready(): Answer {
    const why = whyNotReady(this.#deps.gateway());
    return text(`${why ?? "ok"}\n`, statusOf(why));
  }

  #keep(path: string, make: () => Answer): Answer {
    const now = this.#deps.clock.now();
    const kept = this.#kept.get(path);
    if (kept !== undefined && now - kept.at < MAX_AGE_MS) return kept.answer;
    const answer = make();
    this.#kept.set(path, { at: now, answer });
    return answer;
  }
}

export function text(body: string, status = 200, headers: Record<string, string> = {}): Answer {
  return { status, headers: { ...TEXT, ...headers }, body };
}

/** Why no client should be sent here; undefined: some may. */
function whyNotReady({ draining, endpoints }: GatewayStatus): string | undefined {
  if (draining) return "draining";
  return endpoints.some(({ up }) => up) ? undefined : "no endpoint is up";
}

const statusOf = (why: string | undefined) => (why === undefined ? 200 : 503);
