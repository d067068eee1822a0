// One member of a test's etcd cluster: a process with its own ports and data folder
// that can be killed and restarted. Membership is the concern of etcd-cluster.ts.
import { join } from "node:path";
import { Command, requireTool } from "./gateway-command.ts";

// etcd 3.4 refuses to start on arm64 without this.
const ETCD_ENVIRONMENT: Record<string, string> =
  process.arch === "arm64" ? { ETCD_UNSUPPORTED_ARCH: "arm64" } : {};

// Elect a leader soon after a crash, but never because a busy machine is slow.
const TIMING = ["--heartbeat-interval=100", "--election-timeout=1000"];

// Lets a cluster accept a new member before its members have been connected for 5 seconds.
const RELAXED_RECONFIG = "--strict-reconfig-check=false";

/** Paths of PEM files. With them, a cluster serves TLS and requires client certificates. */
export interface ClusterTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

export interface MemberOptions {
  /** The loopback address where it listens for clients. Default: 127.0.0.1. */
  readonly host?: string;
  /** Maps the listen URL to the advertised client URLs. Default: the listen URL. */
  readonly advertise?: (listening: URL) => readonly string[];
  /** Path of the etcd that it runs. Default: the installed one. */
  readonly program?: string;
  /** Further flags of etcd. */
  readonly flags?: readonly string[];
}

/** The fixed properties of a member. */
export interface MemberPlan extends MemberOptions {
  readonly name: string;
  /** The port for clients. */
  readonly port: number;
  readonly peerUrl: string;
  /** The cluster's folder, which contains the members' data folders. */
  readonly folder: string;
  readonly tls?: ClusterTls | undefined;
}

export class EtcdMember {
  /** True for a member without a vote, which rejects almost all requests until it is promoted. */
  isLearner = false;
  readonly #plan: MemberPlan;
  readonly #words: readonly string[];
  #life: Command | undefined;

  /** `initialCluster` holds etcd's flags --initial-cluster and --initial-cluster-state. */
  constructor(plan: MemberPlan, initialCluster: readonly string[]) {
    this.#plan = plan;
    this.#words = [plan.program ?? requireTool("etcd"), ...flagsOf(plan), ...initialCluster];
  }

  get name(): string {
    return this.#plan.name;
  }

  get port(): number {
    return this.#plan.port;
  }

  get peerUrl(): string {
    return this.#plan.peerUrl;
  }

  /** `host:port` for clients. */
  get address(): string {
    return addressOf(this.#plan);
  }

  get isRunning(): boolean {
    return this.#life !== undefined && this.#life.status === undefined;
  }

  /** The log since the last start. */
  get log(): string {
    return this.#life?.stderr ?? "";
  }

  /** Starts or restarts the process, without waiting until it serves. */
  start(): void {
    this.#life = new Command(this.#words, { env: ETCD_ENVIRONMENT });
  }

  /** Reports whether the member has a leader and serves reads. Works for a learner too, unlike etcdctl. */
  async isHealthy(): Promise<boolean> {
    const { tls } = this.#plan;
    const identity = tls && {
      ca: Bun.file(tls.ca),
      cert: Bun.file(tls.clientCert),
      key: Bun.file(tls.clientKey),
    };
    const response = await fetch(`${clientUrlOf(this.#plan)}/health`, {
      ...(identity && { tls: identity }),
      signal: AbortSignal.timeout(1000),
      keepalive: false,
    });
    return ((await response.json()) as { health?: string }).health === "true";
  }

  /** Sends a signal; SIGSTOP freezes the member, SIGCONT resumes it. */
  signal(name: NodeJS.Signals): void {
    this.#life?.signal(name);
  }

  /** Sends SIGKILL; resolves when the process has exited and its port refuses connections. */
  async kill(): Promise<void> {
    await this.#life?.close();
  }

  /** Resolves with its status once it has exited by itself; undefined if it never ran. */
  async exited(): Promise<number | null | undefined> {
    return await this.#life?.exited();
  }
}

function addressOf({ host = "127.0.0.1", port }: MemberPlan): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function clientUrlOf(plan: MemberPlan): string {
  return `${plan.tls === undefined ? "http" : "https"}://${addressOf(plan)}`;
}

function flagsOf(plan: MemberPlan): string[] {
  const { name, peerUrl, folder, tls } = plan;
  const clientUrl = clientUrlOf(plan);
  const advertised = plan.advertise?.(new URL(clientUrl)) ?? [clientUrl];
  return [
    ...["--name", name, "--data-dir", join(folder, name)],
    ...["--listen-client-urls", clientUrl, "--advertise-client-urls", advertised.join(",")],
    ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
    ...["--logger=zap", ...TIMING, RELAXED_RECONFIG, ...tlsFlags(tls)],
    ...(plan.flags ?? []),
  ];
}

function tlsFlags(tls: ClusterTls | undefined): string[] {
  if (tls === undefined) return [];
  const { ca, cert, key } = tls;
  return [
    `--cert-file=${cert}`,
    `--key-file=${key}`,
    `--trusted-ca-file=${ca}`,
    "--client-cert-auth",
  ];
}
