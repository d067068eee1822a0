// A real DNS server on loopback: Debian's dnsmasq, with records that a test
// gives and changes. It can be stopped and come back.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import dns from "node:dns";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { Command, eventually, requireTool } from "./gateway-command.ts";

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
}

export class DnsServer {
  readonly port: number;
  readonly #folder: string;
  readonly #host: string;
  #life: Command | undefined;
  #version = 0;

  private constructor(folder: string, host: string, port: number) {
    this.#folder = folder;
    this.#host = host;
    this.port = port;
  }

  /** A server with these records, that answers. */
  static async start(zone: Zone, host = "127.0.0.1", port = freePort()): Promise<DnsServer> {
    const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-dns-"));
    const server = new DnsServer(folder, host, port);
    await server.change(zone);
    return server;
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

  /** Other records from now on. dnsmasq reads SRV records at start only: it is away for a moment. */
  async change(zone: Zone): Promise<void> {
    await this.stop();
    await writeFile(join(this.#folder, "dnsmasq.conf"), this.#configuration(zone, ++this.#version));
    await this.restart();
  }

  /** An outage: nobody answers any more. */
  async stop(): Promise<void> {
    await this.#life?.close();
  }

  /** The outage is over; resolves when it answers with the records that it had. */
  async restart(): Promise<void> {
    const conf = `--conf-file=${join(this.#folder, "dnsmasq.conf")}`;
    this.#life = new Command([requireTool("dnsmasq"), "--no-daemon", conf]);
    await eventually(async () => {
      if (this.#life!.status !== undefined) throw new Error(this.#life!.stderr);
      const resolver = new dns.promises.Resolver({ timeout: 200, tries: 1 });
      resolver.setServers([this.address]);
      const [[text]] = (await resolver.resolveTxt("version.dns-server.test")) as [[string]];
      return text === String(this.#version) ? true : undefined;
    }, "dnsmasq answered");
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  #configuration({ srv = [], hosts = {}, cnames = {} }: Zone, version: number): string {
    return [
      `listen-address=${this.#host}`,
      `port=${this.port}`,
      // As who started it: otherwise it becomes nobody, who cannot read this file.
      ...(process.getuid?.() === 0 ? ["user=root"] : []),
      ...["bind-interfaces", "no-resolv", "no-hosts", "pid-file=", "log-queries"],
      ...["local=/test/", "cache-size=0", `txt-record=version.dns-server.test,${version}`],
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
