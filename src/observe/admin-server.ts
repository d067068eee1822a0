// --metrics-addr: answers who asks how the gateway is. Nothing of this is loaded
// without the flag, and nothing here changes anything. Whoever asks may be
// anybody, and must not take what clients need: descriptors, memory, turns.
import http from "node:http";
import type { Socket } from "node:net";
import type { HostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import { EventLoopDelay } from "./event-loop-delay.ts";
import { type LogEvent, History } from "./history.ts";
import { MAX_STATUS_CONNECTIONS, type GatewayStatus, type ProcessStatus } from "./status.ts";
import { type Answer, AdminRoutes, text } from "./admin-routes.ts";

export interface AdminServerDeps {
  readonly clock: Clock;
  readonly gateway: () => GatewayStatus;
  readonly process: () => Omit<ProcessStatus, "eventLoopDelaySeconds">;
  /** The configuration in force, flag by flag, without secrets. */
  readonly config: () => Readonly<Record<string, string>>;
  /** Whether so many sockets could be opened now. */
  readonly hasDescriptors: (count: number) => boolean;
}

// Nobody has a reason to ask for more; HAProxy's tune.bufsize is twice that.
const MAX_REQUEST_BYTES = 8192;
const REQUEST_TIMEOUT_MS = 5000;

const LOOK_MS = 1000;
// To listen again: for the listener, and for who asks.
const DESCRIPTORS_WANTED = 3;

const HEADERS = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  // Bun answers all requests that came at once before it looks at anything else.
  Connection: "close",
};

export class AdminServer {
  readonly #deps: AdminServerDeps;
  readonly #history: History;
  readonly #delay: EventLoopDelay;
  readonly #pages: AdminRoutes;
  #address: HostPort | undefined;
  #server: http.Server | undefined;
  #isClosed = false;
  #cancelLook = () => {};

  /** Stores; `start` starts. */
  constructor(deps: AdminServerDeps) {
    const { clock, gateway, config } = deps;
    this.#deps = deps;
    this.#history = new History(clock, gateway);
    this.#delay = new EventLoopDelay(clock);
    const process = () => ({ ...deps.process(), eventLoopDelaySeconds: this.#delay.seconds });
    this.#pages = new AdminRoutes({ clock, gateway, process, config, history: this.#history });
  }

  /**
   * Listens on an IP literal and returns where.
   *
   * @throws {Error} with a `code` such as EADDRINUSE; it may be called again then.
   */
  async start(address: HostPort): Promise<HostPort> {
    this.#address = address;
    this.#address = await this.#listen();
    if (this.#isClosed) return this.#address;
    this.#history.start();
    this.#delay.start();
    this.#watchDescriptors();
    return this.#address;
  }

  /** A line of the log, for the page. */
  note(event: LogEvent): void {
    this.#history.note(event);
  }

  /** Ends its connections at once. May be called twice. */
  close(): void {
    this.#isClosed = true;
    this.#cancelLook();
    this.#history.close();
    this.#delay.close();
    this.#stop();
  }

  async #listen(): Promise<HostPort> {
    const { host, port } = this.#address!;
    const server = http.createServer(
      {
        maxHeaderSize: MAX_REQUEST_BYTES,
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
      },
      (request, response) => send(response, this.#answer(request), request.method === "HEAD"),
    );
    server.maxConnections = MAX_STATUS_CONNECTIONS;
    server.on("clientError", refuse);
    await new Promise<void>((resolve, reject) => {
      server.on("error", reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
    this.#server = server;
    // Closed while it was being opened.
    if (this.#isClosed) this.#stop();
    return { host, port: (server.address() as { port: number }).port };
  }

  #stop(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#server = undefined;
  }

  /** As the gateway's own door (gateway/acceptor.ts): Bun 1.4.5 spins where it cannot accept. */
  #watchDescriptors(): void {
    this.#cancelLook = this.#deps.clock.after(LOOK_MS, () => {
      this.#watchDescriptors();
      const { hasDescriptors } = this.#deps;
      if (this.#server !== undefined) {
        if (!hasDescriptors(1)) this.#stop();
      } else if (hasDescriptors(DESCRIPTORS_WANTED)) void this.#listen().catch(() => {});
    });
  }

  #answer({ method = "", url = "", headers }: http.IncomingMessage): Answer {
    if (Number(headers["content-length"]) > MAX_REQUEST_BYTES)
      return text("the request is too long\n", 413);
    return this.#pages.answer(method, url);
  }
}

function send(response: http.ServerResponse, answer: Answer, isHead: boolean): void {
  const length = { "Content-Length": String(Buffer.byteLength(answer.body)) };
  response.writeHead(answer.status, { ...HEADERS, ...answer.headers, ...length });
  response.end(isHead ? "" : answer.body);
}

const REFUSALS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: "431 Request Header Fields Too Large",
  ERR_HTTP_REQUEST_TIMEOUT: "408 Request Timeout",
};

/** What is no request has no response. */
function refuse({ code = "" }: { code?: string }, socket: Pick<Socket, "end">): void {
  const status = REFUSALS[code] ?? "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}
