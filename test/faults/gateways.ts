// The gateways that are compared, each started as its user would start it: with its
// defaults, plus what a row requires. They run at the same time, on fixed ports that
// are free because the suite has its own network namespace.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "../support/etcd-json.ts";
import { Command, eventually, requireTool } from "../support/gateway-command.ts";
import { gatewayBinary } from "../support/gateway-process.ts";
import { post } from "./post.ts";

/** Flags of our gateway in every row, in addition to its defaults. */
export const OUR_FLAGS: readonly string[] = [];

/** A configuration that an HAProxy expert would write for etcd. Watches may be silent for an hour. */
export const HAPROXY_DEFAULTS = `defaults
  mode tcp
  balance roundrobin
  timeout connect 3s
  timeout client 1h
  timeout server 1h
  option redispatch
  retries 3
  default-server check inter 2s on-marked-down shutdown-sessions`;

export const KINDS = ["ours", "etcd", "haproxy"] as const;
export type Kind = (typeof KINDS)[number];

const PORTS: Readonly<Record<Kind, number>> = { ours: 23790, etcd: 23791, haproxy: 23792 };

export interface GatewayPlan {
  readonly endpoints: readonly string[];
  /** Our gateway and HAProxy request /health from members; etcd's gateway cannot. */
  readonly checksHealth?: boolean;
  /** Sends one request as this row's clients do; rejects if it fails. Default: a get. */
  readonly probe?: (port: number) => Promise<void>;
  /** A command prefix that ends in exec. */
  readonly wrapper?: readonly string[];
}

export class Gateway {
  readonly port: number;
  #words: readonly string[] = [];
  #life: Command | undefined;

  private constructor(readonly kind: Kind) {
    this.port = PORTS[kind];
  }

  /** Starts a gateway; resolves once a request succeeds. Its configuration goes into `folder`. */
  static async start(kind: Kind, plan: GatewayPlan, folder: string): Promise<Gateway> {
    const gateway = new Gateway(kind);
    gateway.#words = [...(plan.wrapper ?? []), ...(await wordsOf[kind](plan, folder))];
    gateway.#spawn();
    await eventually(async () => {
      if (!gateway.isRunning) throw new Error(`it has exited: ${gateway.#log}`);
      await (plan.probe ?? get)(gateway.port);
      return true;
    }, `the gateway (${kind}) served`);
    return gateway;
  }

  get isRunning(): boolean {
    return this.#life?.status === undefined;
  }

  /** Sends SIGKILL and, as a supervisor would, restarts the gateway at once. */
  async crash(): Promise<void> {
    await this.#life?.close();
    this.#spawn();
  }

  async close(): Promise<void> {
    await this.#life?.close();
  }

  get #log(): string {
    return `${this.#life?.stdout}${this.#life?.stderr}`;
  }

  #spawn(): void {
    this.#life = new Command(this.#words);
  }
}

async function get(port: number): Promise<void> {
  const { failure } = await post(port, "/v3/kv/range", { key: encode("ready") });
  if (failure !== undefined) throw new Error(failure);
}

/** Returns the gateways that are installed on this machine. */
export function installedKinds(): Kind[] {
  return KINDS.filter((kind) => kind !== "haproxy" || haproxy() !== null);
}

export async function versionOf(kind: Kind): Promise<string> {
  const words = {
    ours: [gatewayBinary(), "version"],
    etcd: [requireTool("etcd"), "--version"],
    haproxy: [haproxy() ?? "", "-v"],
  }[kind];
  const command = new Command(words);
  await command.exited();
  return command.stdout.split("\n")[0]!.trim();
}

const listenAddress = (kind: Kind) => `127.0.0.1:${PORTS[kind]}`;
const haproxy = () => Bun.which("haproxy", { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` });

const wordsOf: Record<Kind, (plan: GatewayPlan, folder: string) => Promise<string[]>> = {
  ours: async ({ endpoints, checksHealth }) => [
    ...[gatewayBinary(), "start", `--endpoints=${endpoints.join(",")}`],
    ...[`--listen-addr=${listenAddress("ours")}`, ...OUR_FLAGS],
    ...(checksHealth ? ["--health-url=http://{host}:{port}/health"] : []),
  ],
  etcd: async ({ endpoints }) => [
    ...[requireTool("etcd"), "gateway", "start", `--endpoints=${endpoints.join(",")}`],
    `--listen-addr=${listenAddress("etcd")}`,
  ],
  haproxy: async ({ endpoints, checksHealth }, folder) => {
    const file = join(folder, "haproxy.cfg");
    const lines = [
      HAPROXY_DEFAULTS,
      ...(checksHealth ? ["  option httpchk GET /health"] : []),
      "listen etcd",
      `  bind ${listenAddress("haproxy")}`,
      ...endpoints.map((endpoint, i) => `  server m${i} ${endpoint}`),
      "",
    ];
    await writeFile(file, lines.join("\n"));
    return [haproxy()!, "-db", "-f", file];
  },
};
