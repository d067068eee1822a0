// The notification socket that systemd gives a service (sd_notify(3)): a Unix datagram
// socket, which Bun's API lacks.
import { dlopen } from "bun:ffi";
import { rmSync } from "node:fs";

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
});

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const POLLOUT = 4;

export class NotifySocket {
  readonly path: string;
  readonly #fd: number;
  /** Connected to the socket, and used only to poll whether it takes datagrams. */
  readonly #sender: number;
  readonly #messages: string[] = [];

  /** `path` is a file to create, or an abstract name with the prefix "@". */
  constructor(path: string) {
    this.path = path;
    this.#fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const name = path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`;
    const address = Buffer.concat([Uint8Array.of(AF_UNIX, 0), Buffer.from(name)]);
    if (libc.bind(this.#fd, address, address.length) < 0) throw new Error(`cannot bind ${path}`);

    this.#sender = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (libc.connect(this.#sender, address, address.length) < 0)
      throw new Error(`cannot connect to ${path}`);
  }

  /** The datagrams received so far. */
  get messages(): readonly string[] {
    const buffer = new Uint8Array(4096);
    for (;;) {
      const length = Number(libc.recv(this.#fd, buffer, BigInt(buffer.length), MSG_DONTWAIT));
      if (length < 0) return this.#messages;
      this.#messages.push(Buffer.from(buffer.subarray(0, length)).toString());
    }
  }

  /** Whether the queue has no room for another datagram. `messages` empties it. */
  get isFull(): boolean {
    // struct pollfd: the descriptor, and two 16-bit sets of events.
    return libc.poll(Int32Array.of(this.#sender, POLLOUT), 1n, 0) === 0;
  }

  close(): void {
    libc.close(this.#sender);
    libc.close(this.#fd);
    if (!this.path.startsWith("@")) rmSync(this.path, { force: true });
  }
}
