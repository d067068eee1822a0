// One member of a test's etcd cluster: a process with ports and a folder of its
// own, that can be killed and started again. Who belongs to whom is the cluster's.
import { join } from "node:path";
import { Command, requireTool } from "./gateway-command.ts";

// Debian's etcd 3.4 wants to be told on arm64 that this is a test.
const ETCD_ENVIRONMENT: Record<string, string> =
  process.arch === "arm64" ? { ETCD_UNSUPPORTED_ARCH: "arm64" } : {};

// An election within a second after a member's death, and none for lack of CPU.
const TIMING = ["--heartbeat-interval=100", "--election-timeout=1000"];

// Or else a cluster takes no new member before its members have been connected for 5 seconds.
const AT_ONCE = "--strict-reconfig-check=false";

/** Files in PEM; with them a cluster serves TLS and asks its clients for a certificate. */
export interface ClusterTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

export interface MemberOptions {
  /** The address of loopback where it listens for clients; undefined: 127.0.0.1. */
  readonly host?: string;
  /** The client URLs that it tells the cluster, made of the one it listens at; undefined: that one. */
  readonly advertise?: (listening: URL) => readonly string[];
}

/** What a member is from its first start on. */
export interface MemberPlan extends MemberOptions {
  readonly name: string;
  /** For its clients. */
  readonly port: number;
  readonly peerUrl: string;
  /** The cluster's; each member makes its own in it. */
  readonly folder: string;
  readonly tls?: ClusterTls | undefined;
}

export class EtcdMember {
  /** It takes no part in votes and answers almost no request, until the cluster promotes it. */
  isLearner = false;
  readonly #plan: MemberPlan;
  readonly #words: readonly string[];
  #life: Command | undefined;

  /** `initialCluster` are etcd's flags of this name: who founds it, or that it exists already. */
  constructor(plan: MemberPlan, initialCluster: readonly string[]) {
    this.#plan = plan;
    this.#words = [requireTool("etcd"), ...flagsOf(plan), ...initialCluster];
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

  /** `host:port` of its clients' side. */
  get address(): string {
    return addressOf(this.#plan);
  }

  get isRunning(): boolean {
    return this.#life !== undefined && this.#life.status === undefined;
  }

  /** What it has logged in this life. */
  get log(): string {
    return this.#life?.stderr ?? "";
  }

  /** Starts it, for the first time or again, and does not wait until it serves. */
  start(): void {
    this.#life = new Command(this.#words, { env: ETCD_ENVIRONMENT });
  }

  /** Whether it sees a leader and reads through it. A learner says so too, unlike to etcdctl. */
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

  /** SIGSTOP freezes it, SIGCONT lets it go on. */
  signal(name: NodeJS.Signals): void {
    this.#life?.signal(name);
  }

  /** Ends it without a word to anybody; resolves when it has gone and its port refuses. */
  async kill(): Promise<void> {
    await this.#life?.close();
  }

  /** Its status once it has ended by itself; undefined if it never ran. Rejects if it does not end. */
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
    ...["--logger=zap", ...TIMING, AT_ONCE, ...tlsFlags(tls)],
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
