// A proxy of the soak: the compiled binary, which always comes back on the same address.
import { gatewayBinary, GatewayProcess, type LogLine } from "../../support/gateway-process.ts";

export class SoakProxy {
  readonly address: string;
  readonly #words: readonly string[];
  #process!: GatewayProcess;
  #isStopping = false;
  /** Error lines of processes that have ended. */
  readonly #errors: LogLine[] = [];

  constructor(address: string, flags: readonly string[]) {
    this.address = address;
    const own = [`--listen-addr=${address}`, "--advertise-client-url="];
    this.#words = [gatewayBinary(), "grpc-proxy", "start", ...own, ...flags];
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    this.#isStopping = false;
    this.#process = new GatewayProcess(this.#words);
    await this.#process.logged("started gRPC proxy", undefined, 20_000);
  }

  get process(): GatewayProcess {
    return this.#process;
  }

  /** What it logged as errors, which indicate a bug, and whether it has ended by itself. */
  get problems(): string[] {
    const isBad = ({ level }: LogLine) => level === "error" || level === "panic";
    const lines = [...this.#errors, ...this.#process.log.filter(isBad)];
    const problems = lines.map((line) => `proxy ${this.address} logged ${JSON.stringify(line)}`);
    if (!this.#isStopping && this.#process.status !== undefined)
      problems.push(`proxy ${this.address} ended by itself: ${this.#process.stderr.slice(-2000)}`);
    return problems;
  }

  /** Sends SIGTERM; resolves with its exit status. */
  async stop(): Promise<number | null> {
    this.#isStopping = true;
    this.#process.signal("SIGTERM");
    const status = await this.#process.exited(60_000);
    this.#keepErrors();
    return status;
  }

  /** Kills it if it runs. */
  async close(): Promise<void> {
    this.#isStopping = true;
    await this.#process?.close();
    if (this.#process !== undefined) this.#keepErrors();
  }

  #keepErrors(): void {
    this.#errors.push(...this.#process.lines("internal error; the call was reset"));
  }
}
