// Pipes and terminals as a test holds them: named pipes that it fills, does not
// read or never writes, and a terminal whose output it stops.
import { dlopen } from "bun:ffi";
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { output } from "./gateway-command.ts";

export async function makeFifo(path: string): Promise<void> {
  await output(["mkfifo", path]);
}

/** A named pipe of which the test holds both ends, so that an open of either never waits. */
export class Fifo {
  readonly #fd: number;

  /** `path` is a FIFO already. */
  constructor(path: string) {
    this.#fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  }

  /** Leaves no room in it. Returns how many bytes that took. */
  fill(): number {
    const block = Buffer.alloc(4096, "x");
    for (let total = 0; ; total += block.length) {
      try {
        writeSync(this.#fd, block);
      } catch {
        return total;
      }
    }
  }

  /** What is in it now. */
  read(): string {
    return readAll(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function readAll(fd: number): string {
  const chunk = Buffer.alloc(1 << 16);
  let text = "";
  for (;;) {
    try {
      const bytes = readSync(fd, chunk);
      if (bytes === 0) return text;
      text += chunk.toString("utf8", 0, bytes);
    } catch {
      return text; // EAGAIN, or EIO of a terminal that has no other end any more
    }
  }
}

const { symbols: libc } = dlopen("libc.so.6", {
  posix_openpt: { args: ["i32"], returns: "i32" },
  grantpt: { args: ["i32"], returns: "i32" },
  unlockpt: { args: ["i32"], returns: "i32" },
  ptsname_r: { args: ["i32", "ptr", "u64"], returns: "i32" },
  tcflow: { args: ["i32", "i32"], returns: "i32" },
});

const TCOOFF = 0;
const TCOON = 1;

/** A terminal (pty(7)): programs have `path`, the test is the person in front of it. */
export class Terminal {
  readonly path: string;
  readonly #screen: number;
  readonly #terminal: number;

  constructor() {
    this.#screen = libc.posix_openpt(constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK);
    const name = Buffer.alloc(64);
    if (libc.grantpt(this.#screen) + libc.unlockpt(this.#screen) !== 0)
      throw new Error("no terminal could be made");
    libc.ptsname_r(this.#screen, name, name.length);
    this.path = name.toString("utf8", 0, name.indexOf(0));
    this.#terminal = openSync(this.path, constants.O_RDWR | constants.O_NOCTTY);
  }

  /** As Ctrl-S. */
  stop(): void {
    if (libc.tcflow(this.#terminal, TCOOFF) !== 0) throw new Error("output could not be stopped");
  }

  /** As Ctrl-Q. */
  goOn(): void {
    libc.tcflow(this.#terminal, TCOON);
  }

  /** What was printed since the last call. */
  read(): string {
    return readAll(this.#screen);
  }

  close(): void {
    closeSync(this.#terminal);
    closeSync(this.#screen);
  }
}
