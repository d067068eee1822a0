// A real etcd cluster on loopback: members that can be killed and started
// again, each with a folder of its own, and etcdctl to talk to them.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "./free-port.ts";
import { Command, type CommandOptions, eventually, requireTool, run } from "./gateway-command.ts";

// Debian's etcd 3.4 wants to be told on arm64 that this is a test.
const ETCD_ENVIRONMENT: Record<string, string> =
  process.arch === "arm64" ? { ETCD_UNSUPPORTED_ARCH: "arm64" } : {};

// An election within a second after a member's death, and none for lack of CPU.
const TIMING = ["--heartbeat-interval=100", "--election-timeout=1000"];

/** Files in PEM; with them a cluster serves TLS and asks its clients for a certificate. */
export interface ClusterTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

export class EtcdMember {
  readonly #words: readonly string[];
  #life: Command | undefined;

  constructor(
    readonly name: string,
    readonly port: number,
    words: readonly string[],
  ) {
    this.#words = words;
  }

  /** `host:port` of its clients' side. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
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

  /** Ends it without a word to anybody; resolves when it has gone and its port refuses. */
  async kill(): Promise<void> {
    await this.#life?.close();
  }
}

export class EtcdCluster {
  readonly members: readonly EtcdMember[];
  readonly #folder: string;
  readonly #tls: ClusterTls | undefined;

  private constructor(folder: string, members: readonly EtcdMember[], tls?: ClusterTls) {
    this.#folder = folder;
    this.members = members;
    this.#tls = tls;
  }

  /** A cluster that has a leader, and whose every member answers. */
  static async start(size: number, tls?: ClusterTls): Promise<EtcdCluster> {
    for (let attempt = 1; ; attempt++) {
      const cluster = await EtcdCluster.#create(size, tls);
      try {
        for (const member of cluster.members) member.start();
        await cluster.healthy();
        return cluster;
      } catch (error) {
        await cluster.close();
        // Somebody else took one of our ports after we had looked.
        const isTaken = cluster.members.some(({ log }) => /address already in use/.test(log));
        if (!isTaken || attempt === 5) throw error;
      }
    }
  }

  /** For a gateway's --endpoints. */
  get endpoints(): string {
    return this.members.map(({ address }) => address).join(",");
  }

  /** Resolves when each of these members answers a read that needs a leader. */
  async healthy(members: readonly EtcdMember[] = this.members): Promise<void> {
    for (const member of members) {
      await eventually(
        async () => {
          if (!member.isRunning) throw new Error(`${member.name} has ended: ${member.log}`);
          const args = ["endpoint", "health", "--dial-timeout=1s", "--command-timeout=1s"];
          const { status } = await this.etcdctl(member.address, args);
          return status === 0 ? true : undefined;
        },
        `${member.name} was healthy`,
        30_000,
      );
    }
  }

  /** Runs etcdctl at an address, with the cluster's certificates if it has any. */
  etcdctl(address: string, args: readonly string[], options?: CommandOptions): Promise<Command> {
    const tls = this.#tls;
    const certificates =
      tls === undefined
        ? []
        : [`--cacert=${tls.ca}`, `--cert=${tls.clientCert}`, `--key=${tls.clientKey}`];
    return etcdctl(address, [...certificates, ...args], options);
  }

  /** Kills all members and removes their folder. May be called twice. */
  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
    await rm(this.#folder, { recursive: true, force: true });
  }

  static async #create(size: number, tls: ClusterTls | undefined): Promise<EtcdCluster> {
    const etcd = requireTool("etcd");
    const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-e2e-"));
    const ports = freePorts(size * 2);
    const plans = Array.from({ length: size }, (_, i) => ({
      name: `member${i}`,
      port: ports[i]!,
      peerUrl: `http://127.0.0.1:${ports[size + i]!}`,
    }));
    const cluster = plans.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(",");
    const members = plans.map(({ name, port, peerUrl }) => {
      const clientUrl = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
      const flags = [
        ...["--name", name, "--data-dir", join(folder, name), "--initial-cluster", cluster],
        ...["--listen-client-urls", clientUrl, "--advertise-client-urls", clientUrl],
        ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
        ...["--logger=zap", ...TIMING, ...tlsFlags(tls)],
      ];
      return new EtcdMember(name, port, [etcd, ...flags]);
    });
    return new EtcdCluster(folder, members, tls);
  }
}

/** Runs etcdctl at an address; what it prints and its status are the outcome. */
export function etcdctl(
  address: string,
  args: readonly string[],
  { env, ...options }: CommandOptions = {},
): Promise<Command> {
  return run([requireTool("etcdctl"), `--endpoints=${address}`, ...args], {
    ...options,
    env: { ETCDCTL_API: "3", ...env },
  });
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
