// The setting of the gRPC proxy's abuse tests: a member, the compiled proxy, a visitor that the
// proxy must serve all the time, and programs that abuse it, each a process of its own.
import { readFileSync } from "node:fs";
import { Program, raisedLimit } from "./abuse-scene.ts";
import { EtcdClient } from "./etcd-client.ts";
import { EtcdCluster } from "./etcd-cluster.ts";
import { etcdReleases } from "./etcd-releases.ts";
import { KV } from "./etcd-rpcs.ts";
import { type Closers, eventually } from "./gateway-command.ts";
import type { GatewayProcess } from "./gateway-process.ts";
import { startGrpcProxy } from "./grpc-proxy-process.ts";
import { until } from "./peer.ts";

const VISIT_INTERVAL_MS = 20;
// A member needs seconds for 10,000 watches, and more on a machine that does other things.
const VISIT_MS = 30_000;

/** A client that reads a key again and again, on one connection. */
export class Visitor {
  visits = 0;
  readonly failures: string[] = [];
  readonly #client: EtcdClient;
  #isClosed = false;
  #isAway = Promise.resolve();

  private constructor(client: EtcdClient) {
    this.#client = client;
  }

  static async start(address: string): Promise<Visitor> {
    const visitor = new Visitor(await EtcdClient.connect(address));
    visitor.#isAway = visitor.#visit();
    return visitor;
  }

  async #visit(): Promise<void> {
    while (!this.#isClosed) {
      const failure = await this.#read().catch(String);
      if (failure !== undefined) {
        this.failures.push(failure);
        return;
      }
      this.visits++;
      await Bun.sleep(VISIT_INTERVAL_MS);
    }
  }

  /** Reads the key. Returns what went wrong. */
  async #read(): Promise<string | undefined> {
    const call = this.#client.grpc.call(KV.Range.path);
    call.send(KV.Range.request.encode({ key: Buffer.from("key") }));
    call.halfClose();
    const { status, message } = await call.answer(VISIT_MS);
    return status === 0 ? undefined : `${status}: ${message}`;
  }

  /** Resolves after `count` more visits. */
  async more(count: number): Promise<void> {
    const goal = this.visits + count;
    const isDone = () => this.visits >= goal || this.failures.length > 0;
    await until(isDone, `${count} more visits`, VISIT_MS);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#isAway;
    this.#client.close();
  }
}

export class GrpcAbuseScene {
  readonly #closers: Closers;
  readonly #prefix: readonly string[];

  private constructor(
    closers: Closers,
    prefix: readonly string[],
    readonly cluster: EtcdCluster,
    readonly proxy: GatewayProcess,
    readonly visitor: Visitor,
  ) {
    this.#closers = closers;
    this.#prefix = prefix;
  }

  /** Starts a member and a proxy with these flags, and puts a value of 100 KiB at the key "big". */
  static async start(closers: Closers, flags: readonly string[]): Promise<GrpcAbuseScene> {
    const prefix = await raisedLimit();
    const [release] = await etcdReleases();
    const cluster = closers.add(await EtcdCluster.start(1));
    const all = [`--endpoints=${cluster.endpoints}`, ...flags];
    const options = { wrapper: prefix };
    const proxy = await startGrpcProxy({ kind: "ours", release: release! }, all, options);
    closers.add(proxy);
    const visitor = closers.add(await Visitor.start(proxy.address));
    const client = await EtcdClient.connect(proxy.address);
    await client.call(KV.Put, { key: Buffer.from("big"), value: Buffer.alloc(100 * 1024) });
    client.close();
    return new GrpcAbuseScene(closers, prefix, cluster, proxy, visitor);
  }

  /** Starts a program that abuses the proxy in this way. */
  abuse(kind: string, count: number): Program {
    const words = [kind, ...this.proxy.address.split(":"), String(count)];
    return this.#closers.add(new Program(this.#prefix, "grpc-abuse-program", words));
  }

  /** Returns what a program reports. */
  async outcome(program: Program, index = 0): Promise<Readonly<Record<string, unknown>>> {
    return JSON.parse(await program.line(index));
  }

  /** Returns a metric of the proxy: the sum of all its series. */
  async metric(name: string): Promise<number> {
    const response = await fetch(`http://${this.proxy.address}/proxy/metrics`);
    const samples = new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, "gm");
    const values = [...(await response.text()).matchAll(samples)].map(([, value]) => Number(value));
    return values.reduce((sum, value) => sum + value, 0);
  }

  /** Resolves when the only call is the visitor's, and nothing is held. Every call that began was counted as ended. */
  async quiet(): Promise<void> {
    const isQuiet = async () => {
      const held = await this.metric("etcd_gateway_held_bytes");
      const connections = await this.metric("etcd_gateway_endpoint_connections");
      const handled = await this.metric("grpc_server_handled_total");
      const open = (await this.metric("grpc_server_started_total")) - handled;
      // The visitor may call in between.
      return held === 0 && connections <= 1 && open <= 2 ? true : undefined;
    };
    await eventually(isQuiet, "nothing was held and all calls had ended");
  }

  /** The peak of the proxy's resident memory so far. */
  get peakKib(): number {
    const status = readFileSync(`/proc/${this.proxy.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+)/.exec(status)![1]);
  }
}
