// --metrics-addr: answers who asks how the gateway is. Nothing of this is loaded
// without the flag, and nothing here changes anything.
import { formatHostPort, type HostPort } from "../config/address.ts";
import type { Clock } from "../config/clock.ts";
import { EventLoopDelay } from "./event-loop-delay.ts";
import { encodeMetrics, METRICS_TYPE } from "./metrics.ts";
import { PAGE, PAGE_HEADERS } from "./page.ts";
import { type Event, Recent } from "./recent.ts";
import type { GatewayStatus, ProcessStatus } from "./status.ts";

export interface StatusServerDeps {
  readonly clock: Clock;
  readonly gateway: () => GatewayStatus;
  readonly process: () => Omit<ProcessStatus, "eventLoopDelaySeconds">;
  /** The configuration in force, flag by flag, without secrets. */
  readonly config: () => Readonly<Record<string, string>>;
}

// Nobody has a reason to ask for more; HAProxy's tune.bufsize is twice that.
const MAX_REQUEST_BYTES = 8192;

export class StatusServer {
  readonly #deps: StatusServerDeps;
  readonly #recent: Recent;
  readonly #delay: EventLoopDelay;
  readonly #pages: Readonly<Record<string, () => Response>> = {
    "/": () => new Response(PAGE, { headers: { ...HEADERS, ...PAGE_HEADERS } }),
    "/metrics": () => this.#metrics(),
    "/health": () => this.#health(),
    "/livez": () => text("ok\n"),
    "/readyz": () => this.#ready(),
    "/status": () => Response.json(this.#status(), { headers: HEADERS }),
  };
  #server: Bun.Server<undefined> | undefined;

  /** Stores; `start` starts. */
  constructor(deps: StatusServerDeps) {
    this.#deps = deps;
    this.#recent = new Recent(deps.clock, deps.gateway);
    this.#delay = new EventLoopDelay(deps.clock);
  }

  /**
   * Listens on an IP literal and returns where.
   *
   * @throws {Error} with a `code` such as EADDRINUSE.
   */
  start({ host, port }: HostPort): HostPort {
    this.#server = Bun.serve({
      hostname: host,
      port,
      development: false,
      maxRequestBodySize: MAX_REQUEST_BYTES,
      fetch: (request) => this.#answer(request),
    });
    this.#recent.start();
    this.#delay.start();
    return { host, port: this.#server.port! };
  }

  /** A line of the log, for the page. */
  note(event: Event): void {
    this.#recent.note(event);
  }

  /** Ends its connections at once. May be called twice. */
  close(): void {
    this.#recent.close();
    this.#delay.close();
    void this.#server?.stop(true);
    this.#server = undefined;
  }

  #answer(request: Request): Response {
    if (sizeOf(request) > MAX_REQUEST_BYTES) return text("the request is too long\n", 431);
    const page = this.#pages[new URL(request.url).pathname];
    if (page === undefined) {
      const known = Object.keys(this.#pages).join(", ");
      return text(`there is nothing here; there are ${known}\n`, 404);
    }
    if (request.method === "GET" || request.method === "HEAD") return page();
    return text("only GET and HEAD\n", 405, { Allow: "GET, HEAD" });
  }

  #metrics(): Response {
    const body = encodeMetrics(this.#deps.gateway(), this.#process());
    return new Response(body, { headers: { ...HEADERS, "Content-Type": METRICS_TYPE } });
  }

  /** As etcd answers, so that whatever watches etcd can watch this. */
  #health(): Response {
    const why = whyNotReady(this.#deps.gateway());
    const body = why === undefined ? { health: "true" } : { health: "false", reason: why };
    return Response.json(body, { status: statusOf(why), headers: HEADERS });
  }

  #ready(): Response {
    const why = whyNotReady(this.#deps.gateway());
    return text(`${why ?? "ok"}\n`, statusOf(why));
  }

  #status() {
    return {
      gateway: this.#deps.gateway(),
      process: this.#process(),
      config: this.#deps.config(),
      moments: this.#recent.moments,
      events: this.#recent.events,
    };
  }

  #process(): ProcessStatus {
    return { ...this.#deps.process(), eventLoopDelaySeconds: this.#delay.seconds };
  }
}

const HEADERS = { "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff" };

function text(body: string, status = 200, headers: Record<string, string> = {}): Response {
  const type = { "Content-Type": "text/plain; charset=utf-8" };
  return new Response(body, { status, headers: { ...HEADERS, ...type, ...headers } });
}

/** Why no client should be sent here; undefined: some may. */
function whyNotReady({ draining, endpoints }: GatewayStatus): string | undefined {
  if (draining) return "draining";
  return endpoints.some(({ up }) => up) ? undefined : "no endpoint is up";
}

const statusOf = (why: string | undefined) => (why === undefined ? 200 : 503);

/** Its line and its headers, about as they were sent. */
function sizeOf({ url, headers }: Request): number {
  let bytes = url.length;
  for (const [name, value] of headers) bytes += name.length + value.length + 4;
  return bytes;
}

/** The failed listen on what the user wrote, in words that say what to do. */
export function statusListenFailure(listen: HostPort, error: unknown): string {
  const { code = String(error) } = error as { code?: string };
  const why = code === "EADDRINUSE" ? "the address is in use; choose another" : code;
  return `Cannot listen on --metrics-addr "${formatHostPort(listen)}": ${why}`;
}
