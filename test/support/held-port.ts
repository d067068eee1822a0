// Ports of loopback that a test holds with a socket that is bound and does not listen:
// they refuse clients, and the kernel gives them to no other program.
import { dlopen } from "bun:ffi";

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
});

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;

/** A bound socket. A server that sets SO_REUSEADDR, as Bun and Go do, can listen on its port. */
export class HeldPort {
  readonly fd: number;
  readonly port: number;

  /** Binds a free port of 127.0.0.1, or the given port of another address of 127/8. */
  constructor({ address = "127.0.0.1", port = 0 } = {}) {
    this.fd = libc.socket(AF_INET, SOCK_STREAM, 0);
    libc.setsockopt(this.fd, SOL_SOCKET, SO_REUSEADDR, Int32Array.of(1), 4);

    const name = new Uint8Array(16);
    name.set([AF_INET, 0, port >> 8, port & 0xff, ...address.split(".").map(Number)]);
    if (libc.bind(this.fd, name, 16) < 0) throw new Error(`cannot bind ${address}:${port}`);
    libc.getsockname(this.fd, name, Uint32Array.of(16));
    this.port = name[2]! * 256 + name[3]!;
  }

  close(): void {
    libc.close(this.fd);
  }
}
