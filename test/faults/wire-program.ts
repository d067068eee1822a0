// The program that wire.ts runs: `bun wire-program.ts DEVICE DEVICE`. Creates two TAP
// devices and carries frames between them. A line of JSON on standard input sets the
// fault; the end of the input ends the program, which removes the devices.
import { dlopen } from "bun:ffi";
import type { WireFault } from "./wire.ts";

const { symbols: libc } = dlopen("libc.so.6", {
  open: { args: ["ptr", "i32"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  read: { args: ["i32", "ptr", "u64"], returns: "i64" },
  write: { args: ["i32", "ptr", "u64"], returns: "i64" },
  poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
});

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const POLLIN = 1;

interface Frame {
  readonly to: number;
  readonly bytes: Uint8Array;
  readonly dueAt: number;
}

const fds = process.argv.slice(2).map(openTap);
const figures = { carried: 0, lost: 0, duplicated: 0, droppedSyns: 0 };
const buffer = new Uint8Array(65_536);
// In order of arrival, even when the delay shrinks, because a cable does not reorder.
const queue: Frame[] = [];
let fault: WireFault = {};

process.stdout.write("ready\n");
// The loop never returns to Bun's event loop, so that no frame waits for a timer.
for (let commands = ""; ;) {
  const polled = new Int32Array([0, POLLIN, fds[0]!, POLLIN, fds[1]!, POLLIN]);
  libc.poll(polled, 3, queue.length === 0 ? -1 : Math.max(0, queue[0]!.dueAt - performance.now()));
  if (polled[1]! >> 16 !== 0) {
    const length = Number(libc.read(0, buffer, buffer.length));
    if (length <= 0) break;
    commands += Buffer.from(buffer.subarray(0, length)).toString();
    const lines = commands.split("\n");
    commands = lines.pop()!;
    for (const line of lines) fault = JSON.parse(line);
  }
  for (const [from, to] of [[0, 1], [1, 0]] as const) takeFrom(fds[from]!, fds[to]!); // prettier-ignore
  while (queue.length > 0 && queue[0]!.dueAt <= performance.now()) {
    const { to, bytes } = queue.shift()!;
    libc.write(to, bytes, bytes.length);
  }
}
process.stdout.write(`${JSON.stringify(figures)}\n`);

function takeFrom(from: number, to: number): void {
  for (;;) {
    const length = Number(libc.read(from, buffer, buffer.length));
    if (length <= 0) return;
    const { delayMs = 0, loss = 0, duplication = 0, dropSynsTo } = fault;
    if (dropSynsTo !== undefined && isSynTo(dropSynsTo)) {
      figures.droppedSyns++;
      continue;
    }
    if (Math.random() < loss) {
      figures.lost++;
      continue;
    }
    const frame = { to, bytes: buffer.slice(0, length), dueAt: performance.now() + delayMs };
    queue.push(frame);
    figures.carried++;
    if (Math.random() >= duplication) continue;
    queue.push(frame);
    figures.duplicated++;
  }
}

/** Reports whether the frame in the buffer is a SYN to this port, over IPv4. */
function isSynTo(port: number): boolean {
  const isIpv4 = buffer[12] === 0x08 && buffer[13] === 0x00;
  const isTcp = buffer[23] === 6;
  if (!isIpv4 || !isTcp) return false;
  const tcp = 14 + (buffer[14]! & 0x0f) * 4;
  const isSyn = (buffer[tcp + 13]! & 0x12) === 0x02;
  return isSyn && buffer[tcp + 2]! * 256 + buffer[tcp + 3]! === port;
}

function openTap(name: string): number {
  const fd = libc.open(Buffer.from("/dev/net/tun\0"), O_RDWR | O_NONBLOCK);
  if (fd < 0) throw new Error("cannot open /dev/net/tun");
  const request = new Uint8Array(40); // struct ifreq: 16 bytes of name, then the flags
  request.set(Buffer.from(name));
  new DataView(request.buffer).setInt16(16, IFF_TAP | IFF_NO_PI, true);
  if (libc.ioctl(fd, BigInt(TUNSETIFF), request) < 0)
    throw new Error(`cannot create the TAP device "${name}"`);
  return fd;
}
