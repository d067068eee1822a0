// A real DNS server on loopback: Debian's dnsmasq, with records that a test
// gives and changes. It can be stopped and come back.
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

/** All records that there are. Everything else under `.test` does not exist; other names are refused. */
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

  /** A server with these records, that answers; on a port of its own unless one is given. */
  static async start(zone: Zone, host = "127.0.0.1", port?: number): Promise<DnsServer> {
    const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-dns-"));
    for (let attempt = 1; ; attempt++) {
      const server = new DnsServer(folder, host, port ?? freePort());
      try {
        await server.change(zone);
        return server;
      } catch (error) {
        // Somebody else took the port after we had looked.
        const isTaken = /Address already in use/.test((error as Error).message);
        if (isTaken && port === undefined && attempt < 5) continue;
        await server.close();
        throw error;
      }
    }
  }

  /** For --discovery-servers. */
  get address(): string {
    return `${this.#host}:${this.port}`;
  }

  /** What it was asked in this life, as dnsmasq writes it: `SRV _etcd-client._tcp.a.test`. */
  get questions(): string[] {
    const lines = this.#life?.stderr.matchAll(/query\[(\w+)\] (\S+) from/g) ?? [];
    return [...lines].map(([, type, name]) => `${type} ${name}`);
  }

  /** Other records from now on. dnsmasq reads SRV records at start only: it is away for some ms. */
  async change(zone: Zone): Promise<void> {
    await this.stop();
    await writeFile(this.#configPath, this.#configuration(zone));
    await this.restart();
  }

  /** An outage: nobody answers any more. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (life?.status !== undefined) return;
    // Not by SIGKILL: its children, one for each TCP connection, would keep the port.
    life?.signal("SIGTERM");
    await life?.exited().finally(() => life.close());
  }

  /** The outage is over; resolves when it answers with the records that it had. */
  async restart(): Promise<void> {
    // Not --no-daemon, which answers nobody else while a TCP connection is open.
    const words = [
      requireTool("dnsmasq"),
      "--keep-in-foreground",
      `--conf-file=${this.#configPath}`,
    ];
    const life = new Command(words);
    this.#life = life;
    // It says so once it listens; what is sent from then on is answered.
    const isDecided = () => life.stderr.includes(": started, ") || life.status !== undefined;
    await until(isDecided, "dnsmasq listened");
    if (life.status !== undefined) throw new Error(`dnsmasq ended: ${life.stderr}`);
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
      // As who started it: otherwise it becomes nobody, who cannot read this file.
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
