// A gateway as a process: our compiled binary, or etcd's own. Parses its log while it
// runs, and reads its figures from /proc.
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
  /** A command prefix that ends in exec. */
  readonly wrapper?: readonly string[];
}

const READY = "ready to proxy client requests";

// A start waits for DNS as long as the resolver tries: 5 s for each server, twice.
const START_MS = 60_000;

/** Our compiled binary, or the gateway inside etcd. */
export type GatewayKind = "ours" | "etcd";

/** Returns the path of the compiled binary. Throws the command that builds it if it is missing. */
export function gatewayBinary(): string {
  const path = fileURLToPath(new URL("../../dist/etcd-gateway", import.meta.url));
  if (existsSync(path)) return path;
  throw new Error("dist/etcd-gateway is missing; build it with: scripts/build");
}

export class GatewayProcess extends Command {
  /** The `host:port` that clients connect to. */
  address = "";
  readonly #log: LogLine[] = [];
  #readLength = 0;

  constructor(words: readonly string[], { wrapper = [], ...options }: GatewayOptions = {}) {
    super([...wrapper, ...words], options);
  }

  /** Starts our gateway, on a free port unless the flags set one; resolves when it is ready. */
  static start(flags: readonly string[], options?: GatewayOptions): Promise<GatewayProcess> {
    return GatewayProcess.startKind("ours", flags, options);
  }

  /** Starts a gateway of either kind; resolves when it is ready. */
  static async startKind(
    kind: GatewayKind,
    flags: readonly string[],
    options?: GatewayOptions,
  ): Promise<GatewayProcess> {
    const gateway = await GatewayProcess.launch(kind, flags, options);
    if (gateway.status === undefined) return gateway;
    const { status, stdout, stderr } = gateway;
    throw new Error(`the gateway exited with ${status}: ${stdout}${stderr}`);
  }

  /** Starts a gateway of either kind; resolves when it is ready or has exited. */
  static async launch(
    kind: GatewayKind,
    flags: readonly string[],
    options?: GatewayOptions,
  ): Promise<GatewayProcess> {
    for (let attempt = 1; ; attempt++) {
      // etcd's gateway does not report the port that the kernel chose for port 0.
      const address = kind === "ours" ? "127.0.0.1:0" : `127.0.0.1:${freePort()}`;
      const program = kind === "ours" ? [gatewayBinary()] : [requireTool("etcd"), "gateway"];
      const words = [...program, "start", `--listen-addr=${address}`, ...flags];
      const gateway = new GatewayProcess(words, options);
      await gateway.#readyOrExited();

      const own = flags.findLast((flag) => flag.startsWith("--listen-addr="))?.split("=")[1];
      const listening = gateway.lines("listening")[0]?.["address"] as string | undefined;
      gateway.address = listening ?? own ?? address;
      const output = gateway.stdout + gateway.stderr;
      const isTaken = own === undefined && output.includes("address already in use");
      if (!isTaken || attempt === 5) return gateway;
    }
  }

  get port(): number {
    return Number(this.address.split(":")[1]);
  }

  /** The JSON lines logged so far. */
  get log(): readonly LogLine[] {
    const end = this.stderr.lastIndexOf("\n") + 1;
    for (const line of this.stderr.slice(this.#readLength, end).split("\n"))
      if (line.startsWith("{")) this.#log.push(JSON.parse(line));
    this.#readLength = end;
    return this.#log;
  }

  /** Returns the lines with this message so far. */
  lines(message: string): LogLine[] {
    return this.log.filter(({ msg }) => msg === message);
  }

  /** Resolves with the first line that has this message and that `accepts` accepts. */
  async logged(
    message: string,
    accepts: (line: LogLine) => boolean = () => true,
    timeoutMs = 10_000,
  ): Promise<LogLine> {
    const find = () => this.lines(message).find(accepts);
    const isLoggedOrExited = () => find() !== undefined || this.status !== undefined;
    await until(isLoggedOrExited, `"${message}" was logged`, timeoutMs).catch(() => undefined);
    const line = find();
    if (line !== undefined) return line;
    throw new Error(`"${message}" was not logged; the log was:\n${this.stdout}${this.stderr}`);
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  get residentKib(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)![1]);
  }

  /** Voluntary context switches of its main thread so far. */
  get wakeups(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)![1]);
  }

  /** CPU time so far, user and system, in hundredths of a second. */
  get cpuTicks(): number {
    const stat = readFileSync(`/proc/${this.pid}/stat`, "utf8");
    // The name may contain spaces, so count after it: utime is field 14, stime 15 (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  }

  async #readyOrExited(): Promise<void> {
    const isReadyOrExited = () => this.lines(READY).length > 0 || this.status !== undefined;
    try {
      await until(isReadyOrExited, "the gateway was ready", START_MS);
    } catch (error) {
      await this.close();
      throw new Error(`${(error as Error).message}: ${this.stdout}${this.stderr}`);
    }
  }
}
