// A cable made of a program (wire-program.ts), which delays, loses, duplicates or drops
// Ethernet frames between two TAP devices. It replaces `tc netem`, whose module many
// kernels lack. Retransmission, windows and checksums stay the kernel's own.
import { eventually } from "../support/gateway-command.ts";

/** What happens to frames, in each direction. An absent field changes nothing. */
export interface WireFault {
  readonly delayMs?: number;
  /** A probability. */
  readonly loss?: number;
  /** A probability. */
  readonly duplication?: number;
  /** Drops SYNs to this port; established connections are unaffected. */
  readonly dropSynsTo?: number;
}

/** The number of frames so far, by what happened to them. */
export interface WireFigures {
  readonly carried: number;
  readonly lost: number;
  readonly duplicated: number;
  readonly droppedSyns: number;
}

const ENDS = ["wire0", "wire1"] as const;

export class Wire {
  /** The names of the devices. */
  readonly ends = ENDS;
  /** Runs before the devices are removed. */
  onClose: () => Promise<void> = () => Promise.resolve();
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  #printed = "";

  private constructor() {
    const program = new URL("wire-program.ts", import.meta.url).pathname;
    // In a separate process, because pauses of this one would delay packets.
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
      if (wire.#process.exitCode !== null) throw new Error("the wire's program has exited");
      return wire.#printed.includes("ready") || undefined;
    }, "the wire was ready");
    return wire;
  }

  /** Replaces the fault. */
  async set(fault: WireFault): Promise<void> {
    this.#process.stdin.write(`${JSON.stringify(fault)}\n`);
    await this.#process.stdin.flush();
  }

  /** Removes the wire; returns its figures. */
  async close(): Promise<WireFigures> {
    await this.onClose();
    await this.#process.stdin.end();
    await this.#process.exited;
    const line = await eventually(
      async () => /\{.*\}/.exec(this.#printed)?.[0],
      "the wire printed its figures",
    );
    return JSON.parse(line) as WireFigures;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#process.stdout) this.#printed += decoder.decode(chunk);
  }
}
