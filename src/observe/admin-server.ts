// The HTTP server of --metrics-addr, loaded only if that flag is set. It is
// read-only. Its requests are untrusted and must not exhaust what gateway clients
// need: descriptors, memory, time on the event loop.
import http from "node:http";
import type { Socket } from "node:net";
import type { HostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import { DescriptorGuard, type GuardedListener } from "../net/descriptor-guard.ts";
import { EventLoopDelay } from "./event-loop-delay.ts";
import { type LogEvent, History } from "./history.ts";
import { MAX_ADMIN_CONNECTIONS, type ProcessStatus } from "./status.ts";
import {
  type AdminResponse,
  AdminRoutes,
  type ObservedProxy,
  textResponse,
} from "./admin-routes.ts";

export interface AdminServerDeps {
  readonly clock: Clock;
  readonly proxy: ObservedProxy;
  readonly process: () => Omit<ProcessStatus, "eventLoopDelaySeconds">;
  /** Returns the current configuration by flag name, without secrets. */
  readonly config: () => Readonly<Record<string, string>>;
  /** Reports whether `count` more sockets could be opened now. */
  readonly hasDescriptors: (count: number) => boolean;
}

// Ample for a GET without a body: half of HAProxy's default tune.bufsize.
const MAX_REQUEST_BYTES = 8192;
const REQUEST_TIMEOUT_MS = 5000;

const HEADERS = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  // Bun answers all pipelined requests before it handles other events, so each
  // connection gets one response.
  Connection: "close",
};

export class AdminServer implements GuardedListener {
  readonly #history: History;
  readonly #delay: EventLoopDelay;
  readonly #routes: AdminRoutes;
  #address: HostPort | undefined;
  #server: http.Server | undefined;
  #isClosed = false;
  readonly #guard: DescriptorGuard;

  constructor(deps: AdminServerDeps) {
    const { clock, proxy, config } = deps;
    this.#history = new History(clock, () => proxy.status());
    this.#delay = new EventLoopDelay(clock);
    this.#guard = new DescriptorGuard(clock, deps.hasDescriptors);
    this.#routes = new AdminRoutes({
      clock,
      proxy,
      config,
      process: () => ({ ...deps.process(), eventLoopDelaySeconds: this.#delay.seconds }),
      history: this.#history,
    });
  }

  /**
   * Listens on an IP literal and returns the bound address.
   *
   * @throws {Error} with a `code` such as EADDRINUSE; `start` may then be called again.
   */
  async start(address: HostPort): Promise<HostPort> {
    this.#address = address;
    this.#address = await this.#listen();
    if (this.#isClosed) return this.#address;
    this.#history.start();
    this.#delay.start();
    this.#guard.watch(this);
    return this.#address;
  }

  /** Adds a log event to the history that the page shows. */
  note(event: LogEvent): void {
    this.#history.note(event);
  }

  /** Stops listening and closes all connections at once. May be called twice. */
  close(): void {
    this.#isClosed = true;
    this.#guard.close();
    this.#history.close();
    this.#delay.close();
    this.suspend();
  }

  async #listen(): Promise<HostPort> {
    const { host, port } = this.#address!;
    const server = http.createServer(
      {
        maxHeaderSize: MAX_REQUEST_BYTES,
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
      },
      (request, response) => void this.#respond(request, response),
    );
    server.maxConnections = MAX_ADMIN_CONNECTIONS;
    server.on("clientError", rejectMalformed);

    await new Promise<void>((resolve, reject) => {
      server.on("error", reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });

    this.#server = server;
    // close() was called while the server was starting to listen.
    if (this.#isClosed) this.suspend();
    return { host, port: (server.address() as { port: number }).port };
  }

  /** For the descriptor guard, like `suspend` and `resume`. */
  get isOpen(): boolean {
    return this.#server !== undefined;
  }

  suspend(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#server = undefined;
  }

  async resume(): Promise<void> {
    await this.#listen();
  }

  async #respond(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const answer = this.#handle(request);
    // At once if possible: Bun closes pipelined requests that wait.
    const isHead = request.method === "HEAD";
    if (!(answer instanceof Promise)) return send(response, answer, isHead);
    try {
      send(response, await answer, isHead);
    } catch {
      send(response, textResponse("internal server error\n", 500), isHead);
    }
  }

  #handle(request: http.IncomingMessage): AdminResponse | Promise<AdminResponse> {
    const { method = "", url = "", headers } = request;
    if (Number(headers["content-length"]) > MAX_REQUEST_BYTES)
      return textResponse("request body too large\n", 413);
    return this.#routes.handle(method, url);
  }
}

function send(
  response: http.ServerResponse,
  { status, headers, body }: AdminResponse,
  isHead: boolean,
): void {
  const length = { "Content-Length": String(Buffer.byteLength(body)) };
  response.writeHead(status, { ...HEADERS, ...headers, ...length });
  response.end(isHead ? "" : body);
}

const STATUS_LINES: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

/** Answers input that is not a valid request: node:http has no response object for it. */
function rejectMalformed({ code = "" }: { code?: string }, socket: Pick<Socket, "end">): void {
  const status = STATUS_LINES[code] ?? "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
