// What the proxy answers to HTTP requests that are not gRPC, where its clients connect:
// health and metrics, by the paths of etcd's proxy.
// @see etcd server/etcdmain/grpc_proxy.go, mustHTTPListener
import type { AdminResponse } from "../observe/admin-routes.ts";
import { encodeMetrics, type MetricSamples, METRICS_TYPE } from "../observe/metrics.ts";
import { type HttpAnswer, textAnswer } from "./http-answer.ts";
import { GrpcCode } from "./grpc-status.ts";
import type { EtcdClient } from "./members/etcd-client.ts";
import type { MemberMetrics } from "./member-metrics.ts";
import { GrpcError } from "./own-calls.ts";

const HEALTH_TIMEOUT_MS = 1000;

/** The key that etcd's own proxy reads; it need not exist. */
const HEALTH_KEY = new TextEncoder().encode("a");

export class HttpRoutes {
  readonly #client: EtcdClient;
  readonly #memberMetrics: MemberMetrics;
  readonly #metrics: () => readonly MetricSamples[];
  /** The answers that are being made, by path. Clients that ask meanwhile get the same ones. */
  readonly #pending = new Map<string, Promise<HttpAnswer>>();

  /** `metrics` returns those of the proxy itself. */
  constructor(
    client: EtcdClient,
    memberMetrics: MemberMetrics,
    metrics: () => readonly MetricSamples[],
  ) {
    this.#client = client;
    this.#memberMetrics = memberMetrics;
    this.#metrics = metrics;
  }

  /** The paths that the admin server answers as etcd's proxy does. */
  get forAdmin(): Readonly<Record<string, () => Promise<AdminResponse>>> {
    const route = (path: string) => async () => {
      const { status, contentType, body } = await this.answer("GET", path);
      return { status, headers: { "Content-Type": contentType }, body };
    };
    const paths = ["/metrics", "/health", "/proxy/health"];
    return Object.fromEntries(paths.map((path) => [path, route(path)]));
  }

  /** Answers a request. `path` is without its query. */
  async answer(method: string, path: string): Promise<HttpAnswer> {
    const answer = this.#answerOf(path);
    if (answer === undefined) return textAnswer(404, "404 page not found\n");
    if (method !== "GET" && method !== "HEAD") return textAnswer(405, "Method Not Allowed\n");

    let pending = this.#pending.get(path);
    if (pending === undefined) {
      pending = answer();
      this.#pending.set(path, pending);
      void pending.finally(() => this.#pending.delete(path)).catch(() => {});
    }
    return await pending;
  }

  #answerOf(path: string): (() => Promise<HttpAnswer>) | undefined {
    switch (path) {
      case "/health":
      case "/proxy/health":
        return () => this.#health();
      case "/metrics":
        return () => this.#memberMetrics.fetch();
      case "/proxy/metrics":
        return () => this.#ownMetrics();
      default:
        return undefined;
    }
  }

  async #ownMetrics(): Promise<HttpAnswer> {
    return { status: 200, contentType: METRICS_TYPE, body: encodeMetrics(this.#metrics()) };
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
