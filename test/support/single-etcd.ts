// An etcd of one member with flags that a cluster of etcd-cluster.ts does not have, such as
// those of its client listener's TLS.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EtcdRelease } from "./etcd-releases.ts";
import { freePorts } from "./free-port.ts";
import { Command } from "./gateway-command.ts";
import { until } from "./peer.ts";

export interface SingleEtcdOptions {
  readonly release: EtcdRelease;
  /** Default: `https`. */
  readonly scheme?: "http" | "https";
  /** `metricsPort` is a free port. */
  readonly flags?: (metricsPort: number) => readonly string[];
}

export class SingleEtcd {
  /** `127.0.0.1:port` for clients. */
  readonly address: string;
  readonly metricsPort: number;
  readonly #words: readonly string[];
  readonly #folder: string;
  #life: Command | undefined;

  private constructor(folder: string, { release, scheme = "https", flags }: SingleEtcdOptions) {
    const [port, peerPort, metricsPort] = freePorts(3) as [number, number, number];
    this.#folder = folder;
    this.address = `127.0.0.1:${port}`;
    this.metricsPort = metricsPort;
    const clientUrl = `${scheme}://${this.address}`;
    const peerUrl = `http://127.0.0.1:${peerPort}`;
    this.#words = [
      ...[release.etcd, "--name=single", `--data-dir=${join(folder, "data")}`, "--logger=zap"],
      ...[`--listen-client-urls=${clientUrl}`, `--advertise-client-urls=${clientUrl}`],
      ...[`--listen-peer-urls=${peerUrl}`, `--initial-advertise-peer-urls=${peerUrl}`],
      ...[`--initial-cluster=single=${peerUrl}`, ...(flags?.(metricsPort) ?? [])],
    ];
  }

  /** Starts a member; resolves when it serves clients. */
  static async start(options: SingleEtcdOptions): Promise<SingleEtcd> {
    for (let attempt = 1; ; attempt++) {
      const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-single-"));
      const etcd = new SingleEtcd(folder, options);
      try {
        await etcd.restart();
        return etcd;
      } catch (error) {
        await etcd.close();
        if (!String(error).includes("address already in use") || attempt === 5) throw error;
      }
    }
  }

  get port(): number {
    return Number(this.address.split(":")[1]);
  }

  /** Kills the member if it runs, and starts it; resolves when it serves clients. */
  async restart(): Promise<void> {
    await this.#life?.close();
    const life = new Command(this.#words, {
      env: { HOME: this.#folder, ETCD_UNSUPPORTED_ARCH: process.arch },
    });
    this.#life = life;
    const isServing = () => /serving client (traffic|requests)/.test(life.stderr);
    await until(() => isServing() || life.status !== undefined, "etcd served clients", 20_000);
    if (!isServing()) throw new Error(`etcd exited with ${life.status}: ${life.stderr}`);
  }

  /** Sends a signal; SIGSTOP freezes the member, SIGCONT resumes it. */
  signal(name: NodeJS.Signals): void {
    this.#life?.signal(name);
  }

  /** Kills the member and removes its data. May be called twice. */
  async close(): Promise<void> {
    await this.#life?.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
