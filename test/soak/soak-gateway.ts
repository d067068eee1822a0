// The gateway of the soak: the compiled binary with a config file that changes
// under it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GatewayProcess, type LogLine } from "../support/gateway-process.ts";
import { until } from "../support/peer.ts";

export interface GatewayConfig {
  readonly endpoints: readonly string[];
  readonly policy: "round-robin" | "least-connections";
  readonly drainMs: number;
}

const DONE = "reloaded";
const FAILED = "reload failed, nothing was changed";

export class SoakGateway {
  /** As it is in force. */
  config: GatewayConfig;
  readonly #folder: string;
  readonly #path: string;
  readonly #process: GatewayProcess;

  private constructor(config: GatewayConfig, folder: string, process: GatewayProcess) {
    this.config = config;
    this.#folder = folder;
    this.#path = pathIn(folder);
    this.#process = process;
  }

  /** Resolves when it is ready. */
  static async start(config: GatewayConfig): Promise<SoakGateway> {
    const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-soak-"));
    writeFileSync(pathIn(folder), textOf(config));
    const process = await GatewayProcess.start([`--config-file=${pathIn(folder)}`]);
    return new SoakGateway(config, folder, process);
  }

  get port(): number {
    return this.#process.port;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get descriptors(): number {
    return this.#process.descriptors;
  }

  get residentKib(): number {
    return this.#process.residentKib;
  }

  get cpuTicks(): number {
    return this.#process.cpuTicks;
  }

  get wakeups(): number {
    return this.#process.wakeups;
  }

  /** Whether it is still there. */
  get isRunning(): boolean {
    return this.#process.status === undefined;
  }

  /** Lines so far that tell of a bug: errors, but for those of files that were broken on purpose. */
  get errors(): LogLine[] {
    const isBad = ({ level, msg }: LogLine) => level === "error" && msg !== FAILED;
    return this.#process.log.filter(isBad);
  }

  /** How often it has said what. */
  get said(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { msg } of this.#process.log) counts[msg] = (counts[msg] ?? 0) + 1;
    return counts;
  }

  /** Resolves when this is in force. */
  async reload(config: GatewayConfig): Promise<void> {
    writeFileSync(this.#path, textOf(config));
    await this.#reloaded(DONE);
    this.config = config;
  }

  /** Resolves when it has refused this file; the right one is there again then. */
  async reloadBroken(text: string): Promise<void> {
    writeFileSync(this.#path, text);
    await this.#reloaded(FAILED);
    writeFileSync(this.#path, textOf(this.config));
  }

  hangUp(): void {
    this.#process.signal("SIGHUP");
  }

  /** Its exit status and how many relays it cut. */
  async stop(): Promise<{ status: number | null; cut: unknown }> {
    this.#process.signal("SIGTERM");
    const status = await this.#process.exited();
    return { status, cut: this.#process.lines("stopped")[0]?.["cut"] };
  }

  /** Kills it if it still runs. */
  async close(): Promise<void> {
    await this.#process.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Signals until it has said this once more: earlier signals may have a reload under way. */
  async #reloaded(message: string): Promise<void> {
    const before = this.#process.lines(message).length;
    const isDone = () => this.#process.lines(message).length > before || !this.isRunning;
    this.hangUp();
    await until(isDone, `it said "${message}"`, 20_000);
  }
}

const pathIn = (folder: string) => join(folder, "gateway.yaml");

function textOf({ endpoints, policy, drainMs }: GatewayConfig): string {
  const lines = [
    `endpoints: [${endpoints.join(", ")}]`,
    `policy: ${policy}`,
    `drain-timeout: ${drainMs}ms`,
    // Servers that were down are to carry load again before they go down again.
    "retry-delay: 500ms",
  ];
  return `${lines.join("\n")}\n`;
}
