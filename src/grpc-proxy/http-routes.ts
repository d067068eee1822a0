// What the proxy answers to HTTP requests that are not gRPC, where its clients connect:
// health and metrics, by the paths of etcd's proxy.
// @see etcd server/etcdmain/grpc_proxy.go, mustHTTPListener
import { encodeMetrics, type MetricSamples, METRICS_TYPE } from "../observe/metrics.ts";
import { GrpcCode } from "./grpc-status.ts";
import type { EtcdClient } from "./members/etcd-client.ts";
import { GrpcError } from "./own-calls.ts";

/** An answer to a request. */
export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const TEXT = "text/plain; charset=utf-8";

/** Returns an answer of plain text. */
export const textAnswer = (status: number, body: string): HttpAnswer => ({
  status,
  contentType: TEXT,
  body,
});

const HEALTH_TIMEOUT_MS = 1000;

/** The key that etcd's own proxy reads; it need not exist. */
const HEALTH_KEY = new TextEncoder().encode("a");

/** What the routes read of the proxy. */
export interface RoutedProxy {
  metrics(): readonly MetricSamples[];
  /** Returns the metrics of a member that is up. */
  memberMetrics(): Promise<HttpAnswer>;
}

export class HttpRoutes {
  readonly #client: EtcdClient;
  readonly #proxy: RoutedProxy;

  constructor(client: EtcdClient, proxy: RoutedProxy) {
    this.#client = client;
    this.#proxy = proxy;
  }

  /** Answers a request. `path` is without its query. */
  async answer(method: string, path: string): Promise<HttpAnswer> {
    const answer = this.#answerOf(path);
    if (answer === undefined) return textAnswer(404, "404 page not found\n");
    if (method !== "GET" && method !== "HEAD") return textAnswer(405, "Method Not Allowed\n");
    return await answer();
  }

  #answerOf(path: string): (() => HttpAnswer | Promise<HttpAnswer>) | undefined {
    switch (path) {
      case "/health":
      case "/proxy/health":
        return () => this.#health();
      case "/metrics":
        return () => this.#proxy.memberMetrics();
      case "/proxy/metrics":
        return () => this.#ownMetrics();
      default:
        return undefined;
    }
  }

  #ownMetrics(): HttpAnswer {
    return { status: 200, contentType: METRICS_TYPE, body: encodeMetrics(this.#proxy.metrics()) };
  }

  /** Healthy: the cluster answers a linearizable read, so it has a leader. */
  async #health(): Promise<HttpAnswer> {
    try {
      await this.#client.probe(HEALTH_KEY, HEALTH_TIMEOUT_MS);
      return healthAnswer(200, "");
    } catch (error) {
      // A refusal for lack of rights shows that etcd answers.
      if (error instanceof GrpcError && isRefusal(error)) return healthAnswer(200, "");
      return healthAnswer(503, `GET ERROR:${(error as Error).message}`);
    }
  }
}

function isRefusal({ code, message }: GrpcError): boolean {
  return code === GrpcCode.PERMISSION_DENIED || message.includes("user name is empty");
}

function healthAnswer(status: number, reason: string): HttpAnswer {
  const body = JSON.stringify({ health: String(status === 200), reason });
  return { status, contentType: "application/json", body };
}
