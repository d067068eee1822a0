// Runs the gateway of the soak: the compiled binary, with a config file that the
// soak changes.
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

const RELOADED = "reloaded";
const RELOAD_FAILED = "reload failed, nothing was changed";

export class SoakGateway {
  /** The configuration in use. */
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

  /** Starts the gateway; resolves once it is ready. */
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

  /** Whether the process has not exited. */
  get isRunning(): boolean {
    return this.#process.status === undefined;
  }

  /** Error lines so far, which indicate a bug. Those of deliberately broken files are left out. */
  get errors(): LogLine[] {
    const isBad = ({ level, msg }: LogLine) => level === "error" && msg !== RELOAD_FAILED;
    return this.#process.log.filter(isBad);
  }

  /** Log lines so far, by message. */
  get messageCounts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { msg } of this.#process.log) counts[msg] = (counts[msg] ?? 0) + 1;
    return counts;
  }

  /** Reloads with `config`; resolves once it is in use. */
  async reload(config: GatewayConfig): Promise<void> {
    writeFileSync(this.#path, textOf(config));
    await this.#reloadAndWait(RELOADED);
    this.config = config;
  }

  /** Reloads a broken file; resolves once the gateway has rejected it and the file is restored. */
  async reloadBroken(text: string): Promise<void> {
    writeFileSync(this.#path, text);
    await this.#reloadAndWait(RELOAD_FAILED);
    writeFileSync(this.#path, textOf(this.config));
  }

  /** Sends SIGHUP. Returns before the reload. */
  hangUp(): void {
    this.#process.signal("SIGHUP");
  }

  /** Stops the gateway; resolves with its exit status and the number of relays that it reset. */
  async stop(): Promise<{ status: number | null; resetRelays: unknown }> {
    this.#process.signal("SIGTERM");
    const status = await this.#process.exited();
    return { status, resetRelays: this.#process.lines("stopped")[0]?.["cut"] };
  }

  /** Kills the gateway if it still runs. */
  async close(): Promise<void> {
    await this.#process.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Sends SIGHUP and waits until `message` is logged once more, perhaps for an earlier signal. */
  async #reloadAndWait(message: string): Promise<void> {
    const before = this.#process.lines(message).length;
    const isDone = () => this.#process.lines(message).length > before || !this.isRunning;
    this.hangUp();
    await until(isDone, `the gateway logged "${message}"`, 20_000);
  }
}

const pathIn = (folder: string) => join(folder, "gateway.yaml");

function textOf({ endpoints, policy, drainMs }: GatewayConfig): string {
  const lines = [
    `endpoints: [${endpoints.join(", ")}]`,
    `policy: ${policy}`,
    `drain-timeout: ${drainMs}ms`,
    // Short, so that a server carries load again before its next fault.
    "retry-delay: 500ms",
  ];
  return `${lines.join("\n")}\n`;
}
