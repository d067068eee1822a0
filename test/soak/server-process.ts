// A server of the soak as its parent sees it: started, killed, frozen, shut, and
// always brought back on the same address.
import { fileURLToPath } from "node:url";
import { until } from "../support/peer.ts";
import type { Command, Report } from "./protocol.ts";

const program = fileURLToPath(new URL("server.ts", import.meta.url));

/** Reports about conversations. */
export type ConversationReport = Extract<Report, { number: number }>;

export class ServerProcess {
  readonly number: number;
  /** `host:port`. */
  readonly address: string;
  readonly #seed: number;
  readonly #onReport: (report: ConversationReport) => void;
  #process: Bun.Subprocess | undefined;
  #lastWord: Report | undefined;

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
      this.#lastWord = undefined;
      this.#process = Bun.spawn(
        [process.execPath, program, `${this.number}`, this.address, `${this.#seed}`],
        { stdio: ["ignore", "inherit", "inherit"], ipc: (report) => this.#take(report) },
      );
      await this.#heard("open", "failed");
      if (this.#lastWord!.kind === "open") return;
      if (attempt === 5)
        throw new Error(`a server cannot start: ${JSON.stringify(this.#lastWord)}`);
      await Bun.sleep(200);
    }
  }

  /** Ends it without a word to anybody; resolves when it has gone and its address refuses. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  /** Its kernel goes on accepting, until its queue is full; it does nothing. */
  freeze(): void {
    this.#process!.kill("SIGSTOP");
  }

  thaw(): void {
    this.#process!.kill("SIGCONT");
  }

  /** Refuses new connections; those that are there go on. */
  async shut(): Promise<void> {
    await this.#tell("shut");
  }

  async open(): Promise<void> {
    await this.#tell("open");
  }

  async #tell(command: Command): Promise<void> {
    this.#lastWord = undefined;
    this.#process!.send(command);
    await this.#heard(command);
  }

  async #heard(...kinds: Report["kind"][]): Promise<void> {
    const isHeard = () => this.#lastWord !== undefined && kinds.includes(this.#lastWord.kind);
    await until(isHeard, `server ${this.number} said "${kinds.join(" or ")}"`, 20_000);
  }

  #take(report: Report): void {
    if ("number" in report) this.#onReport(report);
    else this.#lastWord = report;
  }
}
