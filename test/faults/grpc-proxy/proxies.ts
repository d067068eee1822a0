// The two gRPC proxies that are compared, each with its defaults, plus what a row requires. They
// run at the same time, on fixed ports that are free in the suite's own network namespace.
import { Command, eventually, requireTool } from "../../support/gateway-command.ts";
import { gatewayBinary } from "../../support/gateway-process.ts";
import { KV } from "../../support/etcd-rpcs.ts";
import { FaultClient, type Login } from "./fault-client.ts";

export const PROXY_KINDS = ["our proxy", "etcd's proxy"] as const;
export type ProxyKind = (typeof PROXY_KINDS)[number];

const PORTS: Readonly<Record<ProxyKind, number>> = { "our proxy": 23793, "etcd's proxy": 23794 };

export interface ProxyPlan {
  readonly endpoints: readonly string[];
  /** Our proxy requests /health from members; etcd's proxy cannot. */
  readonly checksHealth?: boolean;
  /** What clients authenticate with. */
  readonly login?: Login;
  /** Whether all values are as large as the largest. */
  readonly isBulk?: boolean;
}

export class Proxy {
  readonly kind: ProxyKind;
  readonly #words: readonly string[];
  #life: Command | undefined;

  private constructor(kind: ProxyKind, { endpoints, checksHealth }: ProxyPlan) {
    this.kind = kind;
    const isOurs = kind === "our proxy";
    this.#words = [
      ...[isOurs ? gatewayBinary() : requireTool("etcd"), "grpc-proxy", "start"],
      ...[`--listen-addr=${this.address}`, `--endpoints=${endpoints.join(",")}`],
      ...(isOurs && checksHealth === true ? ["--health-url=http://{host}:{port}/health"] : []),
    ];
  }

  /** Starts a proxy; resolves once a read succeeds. */
  static async start(kind: ProxyKind, plan: ProxyPlan): Promise<Proxy> {
    const proxy = new Proxy(kind, plan);
    proxy.spawn();
    const client = new FaultClient(proxy.address, plan.login);
    const isServed = async () => {
      if (proxy.#life?.status !== undefined) throw new Error(proxy.#life.stderr);
      const { failure } = await client.call(KV.Range, { key: "ready" });
      if (failure !== undefined) throw new Error(failure);
      return true;
    };
    await eventually(isServed, `${kind} served`).finally(() => client.close());
    return proxy;
  }

  get port(): number {
    return PORTS[this.kind];
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts the process, without waiting until it serves. */
  spawn(): void {
    this.#life = new Command(this.#words);
  }

  /** Sends SIGTERM; resolves when the process has exited. */
  async stop(): Promise<void> {
    this.#life?.signal("SIGTERM");
    await this.#life?.exited(60_000);
  }

  async close(): Promise<void> {
    await this.#life?.close();
  }
}
