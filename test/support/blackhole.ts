// An address that drops SYNs, as a machine without power does: a listener that never
// accepts and whose queue is full.
import { dlopen } from "bun:ffi";
import { readFileSync } from "node:fs";
import { startConnect } from "../../src/os/tcp.ts";
import { HeldPort } from "./held-port.ts";

const { symbols: libc } = dlopen("libc.so.6", {
  listen: { args: ["i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
});

const SOL_SOCKET = 1;
const SO_LINGER = 13;

/** Resets a connection at once. */
export function resetAndClose(fd: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, Int32Array.of(1, 0), 8);
  libc.close(fd);
}

/** A socket on 127.0.0.1, or another address of 127/8, that listens and never accepts. */
export class ListeningSocket extends HeldPort {
  constructor({
    backlog = 4096,
    ...binding
  }: { address?: string; port?: number; backlog?: number } = {}) {
    super(binding);
    libc.listen(this.fd, backlog);
  }
}

export class Blackhole {
  readonly port: number;
  readonly #socket: ListeningSocket;
  readonly #descriptors: number[];

  /** Uses 127.0.0.1, or another address of 127/8 for a test that needs a specific port. */
  constructor(address = "127.0.0.1", port = 0) {
    // A backlog of 0 has room for one connection; the second attempt fills the queue.
    this.#socket = new ListeningSocket({ address, port, backlog: 0 });
    this.port = this.#socket.port;
    this.#descriptors = [startConnect(address, this.port), startConnect(address, this.port)];
  }

  /** From now on it completes connections, the waiting ones at their next SYN. */
  answer(): void {
    libc.listen(this.#socket.fd, 4096);
  }

  /** Connections to it that have had no answer so far. */
  get unanswered(): number {
    // Fields of proc_net_tcp(5): the remote address is the third, the state the fourth.
    const target = `0100007F:${this.port.toString(16).toUpperCase().padStart(4, "0")}`;
    const SYN_SENT = "02";
    return readFileSync("/proc/net/tcp", "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , remote, state]) => remote === target && state === SYN_SENT).length;
  }

  close(): void {
    this.#socket.close();
    for (const fd of this.#descriptors) libc.close(fd);
  }
}
