// A gateway as a process: ours, the compiled binary, or etcd's own. Its log is
// read as it comes, and its figures from /proc.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { freePort } from "./free-port.ts";
import { Command, type CommandOptions, requireTool } from "./gateway-command.ts";
import { until } from "./peer.ts";

export interface LogLine {
  readonly level: string;
  readonly ts: string | number;
  readonly caller: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface GatewayOptions extends CommandOptions {
  /** A command that ends in exec: the gateway's own words are put behind it. */
  readonly wrapper?: readonly string[];
}

const READY = "ready to proxy client requests";

/** The compiled binary. Throws the command that makes it. */
export function gatewayBinary(): string {
  const path = fileURLToPath(new URL("../../dist/etcd-gateway", import.meta.url));
  if (existsSync(path)) return path;
  throw new Error("dist/etcd-gateway is missing; make it with: scripts/build");
}

export class GatewayProcess extends Command {
  /** `host:port` where clients connect. */
  address = "";
  readonly #log: LogLine[] = [];
  #readBytes = 0;

  constructor(words: readonly string[], { wrapper = [], ...options }: GatewayOptions = {}) {
    super([...wrapper, ...words], options);
  }

  /** The compiled gateway, on a port of the system's choice, once it is ready. */
  static async start(flags: readonly string[], options?: GatewayOptions): Promise<GatewayProcess> {
    const words = [gatewayBinary(), "start", "--listen-addr=127.0.0.1:0", ...flags];
    const gateway = new GatewayProcess(words, options);
    await gateway.#ready();
    gateway.address = gateway.lines("listening")[0]!["address"] as string;
    return gateway;
  }

  /** etcd's own gateway, which must be told a port, once it is ready. */
  static async startEtcds(
    flags: readonly string[],
    options?: GatewayOptions,
  ): Promise<GatewayProcess> {
    for (let attempt = 1; ; attempt++) {
      const address = `127.0.0.1:${freePort()}`;
      const words = [requireTool("etcd"), "gateway", "start", `--listen-addr=${address}`];
      const gateway = new GatewayProcess([...words, ...flags], options);
      gateway.address = address;
      try {
        await gateway.#ready();
        return gateway;
      } catch (error) {
        const isTaken = /address already in use/.test(gateway.stdout + gateway.stderr);
        if (!isTaken || attempt === 5) throw error;
      }
    }
  }

  get port(): number {
    return Number(this.address.split(":")[1]);
  }

  /** What it has logged so far, without lines that are no JSON. */
  get log(): readonly LogLine[] {
    const end = this.stderr.lastIndexOf("\n") + 1;
    for (const line of this.stderr.slice(this.#readBytes, end).split("\n"))
      if (line.startsWith("{")) this.#log.push(JSON.parse(line));
    this.#readBytes = end;
    return this.#log;
  }

  /** The lines of this message so far. */
  lines(message: string): LogLine[] {
    return this.log.filter(({ msg }) => msg === message);
  }

  /** The first line of this message that `accepts`, once it is there. */
  async logged(
    message: string,
    accepts: (line: LogLine) => boolean = () => true,
  ): Promise<LogLine> {
    const find = () => this.lines(message).find(accepts);
    try {
      await until(() => find() !== undefined, `"${message}" was logged`);
    } catch (error) {
      throw new Error(`${(error as Error).message}; the log was:\n${this.stderr}`);
    }
    return find()!;
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  get residentKib(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)![1]);
  }

  /** Hundredths of a second of CPU so far, user and system. */
  get cpuTicks(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
    // Behind the name, which may hold spaces: utime is field 14, stime 15 (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }

  async #ready(): Promise<void> {
    try {
      const isDecided = () => this.lines(READY).length > 0 || this.status !== undefined;
      await until(isDecided, "the gateway was ready");
      if (this.status !== undefined) throw new Error(`the gateway ended with ${this.status}`);
    } catch (error) {
      await this.close();
      throw new Error(`${(error as Error).message}: ${this.stdout}${this.stderr}`);
    }
  }
}
