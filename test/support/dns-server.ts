// A real DNS server on loopback: Debian's dnsmasq, with records that a test sets and
// changes. It can be stopped and restarted.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { Command, requireTool } from "./gateway-command.ts";
import { until } from "./peer.ts";

export interface SrvLine {
  /** `_etcd-client._tcp.a.test` */
  readonly name: string;
  readonly target: string;
  readonly port: number;
  readonly priority?: number;
  readonly weight?: number;
}

/** All records. Other names under `.test` do not exist; queries for the rest are refused. */
export interface Zone {
  readonly srv?: readonly SrvLine[];
  /** Addresses by host, IPv4 and IPv6. */
  readonly hosts?: Readonly<Record<string, readonly string[]>>;
  /** Targets by alias. */
  readonly cnames?: Readonly<Record<string, string>>;
  /** Of all records, in seconds; 60 unless it is given. */
  readonly ttl?: number;
}

export class DnsServer {
  readonly port: number;
  readonly #folder: string;
  readonly #host: string;
  #life: Command | undefined;

  private constructor(folder: string, host: string, port: number) {
    this.#folder = folder;
    this.#host = host;
    this.port = port;
  }

  /** Starts a server with these records, on any free port unless one is given. */
  static async start(zone: Zone, host = "127.0.0.1", port?: number): Promise<DnsServer> {
    const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-dns-"));
    for (let attempt = 1; ; attempt++) {
      const server = new DnsServer(folder, host, port ?? freePort());
      try {
        await server.change(zone);
        return server;
      } catch (error) {
        // Another process took the port since freePort() found it free.
        const isTaken = /Address already in use/.test((error as Error).message);
        if (isTaken && port === undefined && attempt < 5) continue;
        await server.close();
        throw error;
      }
    }
  }

  /** `host:port`, for --discovery-servers. */
  get address(): string {
    return `${this.#host}:${this.port}`;
  }

  /** The questions since the last start, as dnsmasq logs them: `SRV _etcd-client._tcp.a.test`. */
  get questions(): string[] {
    const lines = this.#life?.stderr.matchAll(/query\[(\w+)\] (\S+) from/g) ?? [];
    return [...lines].map(([, type, name]) => `${type} ${name}`);
  }

  /** Replaces the records. dnsmasq reads SRV records only at start, so it restarts. */
  async change(zone: Zone): Promise<void> {
    await this.stop();
    await writeFile(this.#configPath, this.#configuration(zone));
    await this.restart();
  }

  /** Begins an outage. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (life?.status !== undefined) return;
    // Not SIGKILL: dnsmasq's children, one per TCP connection, would keep the port.
    life?.signal("SIGTERM");
    await life?.exited().finally(() => life.close());
  }

  /** Ends the outage; resolves when the server answers, with the same records. */
  async restart(): Promise<void> {
    // Not --no-daemon, with which one open TCP connection blocks all other clients.
    const words = [
      requireTool("dnsmasq"),
      "--keep-in-foreground",
      `--conf-file=${this.#configPath}`,
    ];
    const life = new Command(words);
    this.#life = life;

    // dnsmasq logs this once it listens.
    const isStartedOrExited = () =>
      life.stderr.includes(": started, ") || life.status !== undefined;
    await until(isStartedOrExited, "dnsmasq listened");
    if (life.status !== undefined) throw new Error(`dnsmasq exited: ${life.stderr}`);
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #configPath(): string {
    return join(this.#folder, "dnsmasq.conf");
  }

  #configuration({ srv = [], hosts = {}, cnames = {}, ttl = 60 }: Zone): string {
    return [
      `listen-address=${this.#host}`,
      `port=${this.port}`,
      // dnsmasq drops root privileges by default, and could not read this file then.
      ...(process.getuid?.() === 0 ? ["user=root"] : []),
      ...["bind-interfaces", "no-resolv", "no-hosts", "pid-file="],
      `local-ttl=${ttl}`,
      ...["local=/test/", "cache-size=0", "log-queries", "log-facility=-"],
      ...srv.map(
        ({ name, target, port, priority = 0, weight = 0 }) =>
          `srv-host=${name},${target},${port},${priority},${weight}`,
      ),
      ...Object.entries(hosts).flatMap(([host, addresses]) =>
        addresses.map((address) => `host-record=${host},${address}`),
      ),
      ...Object.entries(cnames).map(([alias, target]) => `cname=${alias},${target}`),
      "",
    ].join("\n");
  }
}
