// A piece of cable made of a program (wire-program.ts): Ethernet frames between
// two TAP devices, late, lost, doubled or sorted out as it is told. Not
// `tc netem`, whose module many kernels lack; and whole packets, so that
// retransmission, windows and checksums are the kernel's own.
import { eventually } from "../support/gateway-command.ts";

/** What becomes of frames, in each direction. What is not named does not happen. */
export interface WireFault {
  readonly delayMs?: number;
  /** Of 1. */
  readonly loss?: number;
  /** Of 1. */
  readonly duplication?: number;
  /** No TCP connection to this port can begin; those that are there go on. */
  readonly swallowSynsTo?: number;
}

/** What has become of them so far. */
export interface WireFigures {
  readonly carried: number;
  readonly lost: number;
  readonly doubled: number;
  readonly swallowed: number;
}

const ENDS = ["wire0", "wire1"] as const;

export class Wire {
  /** The devices, to be plugged in at both ends. */
  readonly ends = ENDS;
  /** Called before the wire is gone. */
  onClose: () => Promise<void> = () => Promise.resolve();
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  #printed = "";

  private constructor() {
    const program = new URL("wire-program.ts", import.meta.url).pathname;
    // A process of its own: this one's pauses would be the packets' delay.
    this.#process = Bun.spawn([process.execPath, program, ...ENDS], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    void this.#read();
  }

  static async open(): Promise<Wire> {
    const wire = new Wire();
    await eventually(async () => {
      if (wire.#process.exitCode !== null) throw new Error("the wire's program has ended");
      return wire.#printed.includes("ready") || undefined;
    }, "the wire was ready");
    return wire;
  }

  /** From now on this, and nothing else, goes wrong. */
  async set(fault: WireFault): Promise<void> {
    this.#process.stdin.write(`${JSON.stringify(fault)}\n`);
    await this.#process.stdin.flush();
  }

  /** Takes it out; tells what it has done. */
  async close(): Promise<WireFigures> {
    await this.onClose();
    await this.#process.stdin.end();
    await this.#process.exited;
    const line = await eventually(
      async () => /\{.*\}/.exec(this.#printed)?.[0],
      "the wire told what it did",
    );
    return JSON.parse(line) as WireFigures;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stdout) this.#printed += decoder.decode(chunk);
  }
}
