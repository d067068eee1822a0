// An HTTP server with the page of this source tree and a /status that the test
// sets. There is no gateway.
import { PAGE, PAGE_HEADERS } from "../../src/observe/page.ts";
import type { LogEvent, Sample } from "../../src/observe/history.ts";
import type { GatewayStatus } from "../../src/gateway/gateway-status.ts";
import type { GrpcProxyStatus } from "../../src/grpc-proxy/grpc-proxy-status.ts";
import { type Method, MethodTable } from "../../src/grpc-proxy/methods.ts";
import type { EndpointStatus, ProcessStatus, ProxyStatus } from "../../src/observe/status.ts";

export interface Status {
  readonly gateway: ProxyStatus;
  readonly process: ProcessStatus;
  readonly config: Readonly<Record<string, string>>;
  readonly moments: readonly Sample[];
  readonly events: readonly LogEvent[];
}

export class StatusStub {
  /** Responds to requests for /status. */
  respond: () => Response | Promise<Response> = () => Response.json(this.status);
  status: Status;
  readonly #server: Bun.Server<undefined>;

  constructor(status: Status) {
    this.status = status;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => {
        const { pathname } = new URL(url);
        if (pathname === "/") return new Response(PAGE, { headers: PAGE_HEADERS });
        return pathname === "/status" ? this.respond() : new Response("", { status: 404 });
      },
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  async close(): Promise<void> {
    await this.#server.stop(true);
  }
}

export function endpointStatus(overrides: Partial<EndpointStatus> = {}): EndpointStatus {
  return {
    address: "10.0.0.11:2379",
    origin: "SRV",
    priority: 0,
    weight: 50,
    up: true,
    healthy: true,
    health: "healthy",
    why: null,
    sinceMs: 90_000,
    connections: 0,
    bytesToServer: 0,
    bytesToClients: 0,
    dials: { connected: 0, refused: 0, overtaken: 0, abandoned: 0 },
    dialTimes: { boundsSeconds: [], counts: [], sumSeconds: 0 },
    ...overrides,
  };
}

export function gatewayStatus(overrides: Partial<GatewayStatus> = {}): GatewayStatus {
  return {
    listen: "10.0.0.5:23790",
    uptimeMs: 100_000,
    draining: false,
    maxConnections: 1000,
    active: 0,
    accepted: 0,
    relayed: 0,
    refused: {},
    ended: {},
    bytesToServers: 0,
    bytesToClients: 0,
    heldBytes: 0,
    endpoints: [endpointStatus()],
    discovery: [],
    ...overrides,
  };
}

/** Returns what the gRPC proxy has, which does not relay connections. */
export function grpcProxyStatus(overrides: Partial<GrpcProxyStatus> = {}): GrpcProxyStatus {
  const { relayed: _relayed, ended: _ended, ...common } = gatewayStatus();
  return { ...common, calls: 0, waitingCalls: 0, sessions: 0, methods: [], ...overrides };
}

/** Returns a method with `started` calls, of which `handled` ended, by code. */
export function methodOf(path: string, started: number, handled: readonly number[]): Method {
  const method = new MethodTable().find(path);
  return { ...method, started, handled: method.handled.map((n, code) => handled[code] ?? n) };
}

export function processStatus(overrides: Partial<ProcessStatus> = {}): ProcessStatus {
  return {
    version: "1.2.3",
    runtime: "Bun",
    startTimeSeconds: 1,
    cpuSeconds: 0,
    residentBytes: 88_960_064,
    openDescriptors: 43,
    maxDescriptors: 20_000,
    eventLoopDelaySeconds: 0.004,
    ...overrides,
  };
}

export function stubStatus(overrides: Partial<Status> = {}): Status {
  const empty = { config: {}, moments: [], events: [] };
  return { gateway: gatewayStatus(), process: processStatus(), ...empty, ...overrides };
}

/** Returns a status that fills every part of the page, with long values and `markup` in the texts. */
export function fullStatus(markup: string): Status {
  const long = `etcd-0.etcd-headless.${"a-long-name-".repeat(5)}.svc.cluster.local:2379`;
  const endpoints = [
    { address: long, connections: 12_345, origin: markup },
    { address: `${markup}:2379`, up: false, why: `refused: ${markup}` },
    { healthy: false, health: "unhealthy", why: "HTTP 503" } as const,
    { healthy: false, health: "unresponsive", why: "no answer in time" } as const,
  ].map((overrides) => endpointStatus({ ...overrides, bytesToServer: 1_000_000 }));
  const counts = { [markup]: 44, a_second: 3 };
  const sample = { active: 5, accepted: 6, bytesToServers: 7, bytesToClients: 8 };
  return stubStatus({
    gateway: gatewayStatus({
      ...sample,
      endpoints,
      active: 990,
      refused: counts,
      ended: counts,
      discovery: [{ source: `SRV ${markup}`, refreshes: 4, failures: 1, ageMs: null }],
    }),
    config: { endpoints: long.repeat(3), "discovery-srv": markup },
    moments: Array.from({ length: 120 }, (_, i) => ({
      ageMs: (119 - i) * 5000 + 2500,
      ...sample,
      endpoints: endpoints.map(({ address }) => {
        return { address, connections: i, bytes: i * 1000, dials: i, dialSeconds: i };
      }),
    })),
    events: ["debug", "info", "warn", "error"].flatMap((level) =>
      Array.from({ length: 10 }, (_, i) => ({
        ts: `2026-11-21T12:04:${10 + i}.528173Z`,
        level,
        msg: `message ${markup}`,
        fields: { [markup]: markup, list: [long, long] },
      })),
    ),
  });
}

/** Returns the same for the gRPC proxy. */
export function fullGrpcProxyStatus(markup: string): Status {
  const full = fullStatus(markup);
  const handled = Array.from({ length: 17 }, (_, code) => 10 ** (code % 8));
  const started = 1_234_567_890;
  const known = ["/etcdserverpb.KV/Range", "/etcdserverpb.Auth/UserRevokeRole"];
  const methods = known.map((path) => methodOf(path, started, handled));
  const { endpoints, discovery } = full.gateway;
  return {
    ...full,
    gateway: grpcProxyStatus({
      ...{ endpoints, discovery, calls: 123_456, waitingCalls: 12_345, sessions: 12 },
      methods: [...methods, { ...methodOf("/a/b", 1, []), service: markup, name: "b".repeat(80) }],
    }),
  };
}
