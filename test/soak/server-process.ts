// Controls one server process of the soak: starts, kills and freezes it, and
// closes its listening socket. It always returns on the same address.
import { fileURLToPath } from "node:url";
import { until } from "../support/peer.ts";
import type { Command, Report } from "./protocol.ts";

const program = fileURLToPath(new URL("server.ts", import.meta.url));

/** A report about a conversation. */
export type ConversationReport = Extract<Report, { number: number }>;

export class ServerProcess {
  readonly number: number;
  /** `host:port`. */
  readonly address: string;
  readonly #seed: number;
  readonly #onReport: (report: ConversationReport) => void;
  #process: Bun.Subprocess | undefined;
  #lastReport: Report | undefined;

  constructor(
    { number, address, seed }: { number: number; address: string; seed: number },
    onReport: (report: ConversationReport) => void,
  ) {
    this.number = number;
    this.address = address;
    this.#seed = seed;
    this.#onReport = onReport;
  }

  /** Resolves when it accepts connections. */
  async start(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.#lastReport = undefined;
      this.#process = Bun.spawn(
        [process.execPath, program, `${this.number}`, this.address, `${this.#seed}`],
        { stdio: ["ignore", "inherit", "inherit"], ipc: (report) => this.#onMessage(report) },
      );
      await this.#untilReported("listen", "failed");
      if (this.#lastReport!.kind === "listen") return;

      if (attempt === 5)
        throw new Error(`cannot start server ${this.number}: ${JSON.stringify(this.#lastReport)}`);
      await Bun.sleep(200);
    }
  }

  /** Kills it without notice. Resolves once it has exited and its address refuses connections. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  /** Suspends the process. Its kernel still accepts connections until the queue is full. */
  freeze(): void {
    this.#process!.kill("SIGSTOP");
  }

  thaw(): void {
    this.#process!.kill("SIGCONT");
  }

  /** Refuses new connections and keeps the open ones. */
  async closeListener(): Promise<void> {
    await this.#send("close");
  }

  async listen(): Promise<void> {
    await this.#send("listen");
  }

  async #send(command: Command): Promise<void> {
    this.#lastReport = undefined;
    this.#process!.send(command);
    await this.#untilReported(command);
  }

  async #untilReported(...kinds: Report["kind"][]): Promise<void> {
    const isReported = () =>
      this.#lastReport !== undefined && kinds.includes(this.#lastReport.kind);
    await until(isReported, `server ${this.number} reported "${kinds.join(" or ")}"`, 20_000);
  }

  #onMessage(report: Report): void {
    if ("number" in report) this.#onReport(report);
    else this.#lastReport = report;
  }
}
