// The gateways that are compared, each as its user would start it: its defaults,
// and what a row says on top. They listen beside each other on fixed ports, of
// which there are enough in a namespace of one's own.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "../support/etcd-json.ts";
import { Command, eventually, requireTool } from "../support/gateway-command.ts";
import { gatewayBinary } from "../support/gateway-process.ts";
import { ask } from "./ask.ts";

/** Flags of ours beyond its defaults, in every row. */
export const OUR_FLAGS: readonly string[] = [];

/** What an administrator who knows HAProxy writes for etcd; `timeout` as long as watches are silent. */
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
  /** Members are asked for /health, by those gateways that can: ours and HAProxy. */
  readonly asksHealth?: boolean;
  /** One request of this row's clients; rejects if it was not answered. Default: a get. */
  readonly probe?: (port: number) => Promise<void>;
  /** A command that ends in exec, before the gateway's own words. */
  readonly wrapper?: readonly string[];
}

export class Gateway {
  readonly port: number;
  #words: readonly string[] = [];
  #life: Command | undefined;

  private constructor(readonly kind: Kind) {
    this.port = PORTS[kind];
  }

  /** A gateway through which a request was answered. `folder` takes its configuration. */
  static async start(kind: Kind, plan: GatewayPlan, folder: string): Promise<Gateway> {
    const gateway = new Gateway(kind);
    gateway.#words = [...(plan.wrapper ?? []), ...(await wordsOf[kind](plan, folder))];
    gateway.#begin();
    await eventually(async () => {
      if (!gateway.isRunning) throw new Error(`it has ended: ${gateway.#log}`);
      await (plan.probe ?? get)(gateway.port);
      return true;
    }, `the gateway (${kind}) served`);
    return gateway;
  }

  get isRunning(): boolean {
    return this.#life?.status === undefined;
  }

  /** Kills it with -9, and is its supervisor: starts it again as soon as it has gone. */
  async crash(): Promise<void> {
    await this.#life?.close();
    this.#begin();
  }

  async close(): Promise<void> {
    await this.#life?.close();
  }

  get #log(): string {
    return `${this.#life?.stdout}${this.#life?.stderr}`;
  }

  #begin(): void {
    this.#life = new Command(this.#words);
  }
}

async function get(port: number): Promise<void> {
  const { failure } = await ask(port, "/v3/kv/range", { key: encode("ready") });
  if (failure !== undefined) throw new Error(failure);
}

/** What of the three can run here. */
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
  ours: async ({ endpoints, asksHealth }) => [
    ...[gatewayBinary(), "start", `--endpoints=${endpoints.join(",")}`],
    ...[`--listen-addr=${listenAddress("ours")}`, ...OUR_FLAGS],
    ...(asksHealth ? ["--health-url=http://{host}:{port}/health"] : []),
  ],
  etcd: async ({ endpoints }) => [
    ...[requireTool("etcd"), "gateway", "start", `--endpoints=${endpoints.join(",")}`],
    `--listen-addr=${listenAddress("etcd")}`,
  ],
  haproxy: async ({ endpoints, asksHealth }, folder) => {
    const file = join(folder, "haproxy.cfg");
    const lines = [
      HAPROXY_DEFAULTS,
      ...(asksHealth ? ["  option httpchk GET /health"] : []),
      "listen etcd",
      `  bind ${listenAddress("haproxy")}`,
      ...endpoints.map((endpoint, i) => `  server m${i} ${endpoint}`),
      "",
    ];
    await writeFile(file, lines.join("\n"));
    return [haproxy()!, "-db", "-f", file];
  },
};
