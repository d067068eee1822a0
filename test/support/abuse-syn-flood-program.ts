// Floods a port with SYNs: `bun abuse-syn-flood-program.ts DEVICE HOST PORT COUNT`
// writes SYNs into a TUN device, each from a different address, and never completes a
// handshake. Prints the number that the kernel answered.
import { dlopen } from "bun:ffi";

const { symbols: libc } = dlopen("libc.so.6", {
  open: { args: ["ptr", "i32"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  read: { args: ["i32", "ptr", "u64"], returns: "i64" },
  write: { args: ["i32", "ptr", "u64"], returns: "i64" },
});

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IP_BYTES = 20;
const SYN = 0x02;
const SYN_ACK = 0x12;
// SYNs per EVERY_MS, so that the flood lasts three seconds and the responses fit into
// the device's queue of 500 packets.
const AT_A_TIME = 100;
const EVERY_MS = 30;
const TIMEOUT_MS = 10_000;

const [device, host, port, total] = process.argv.slice(2) as [string, string, string, string];
const COUNT = Number(total);
const fd = openTun(device);
const packet = synTo(host, Number(port));
const buffer = new Uint8Array(2048);
const answered = new Set<number>();

for (let from = 0; from < COUNT; from += AT_A_TIME) {
  for (let i = from; i < from + AT_A_TIME; i++) sendFrom(i);
  readAnswers();
  await Bun.sleep(EVERY_MS);
}
const deadline = performance.now() + TIMEOUT_MS;
while (answered.size < COUNT && performance.now() < deadline) {
  readAnswers();
  await Bun.sleep(EVERY_MS);
}
console.log(JSON.stringify({ answered: answered.size }));
process.exit();

/** Returns a SYN whose sender is not filled in. */
function synTo(address: string, toPort: number): DataView {
  const view = new DataView(new ArrayBuffer(IP_BYTES + 20));
  view.setUint8(0, 0x45);
  view.setUint16(2, view.byteLength);
  view.setUint8(8, 64);
  view.setUint8(9, 6);
  address.split(".").forEach((byte, i) => view.setUint8(16 + i, Number(byte)));
  view.setUint16(IP_BYTES + 2, toPort);
  view.setUint8(IP_BYTES + 12, 0x50);
  view.setUint8(IP_BYTES + 13, SYN);
  view.setUint16(IP_BYTES + 14, 65_535);
  return view;
}

/** Sends the SYN of client `i`, from 198.18.0.0/15, which RFC 2544 reserves for tests. */
function sendFrom(i: number): void {
  packet.setUint32(12, 0xc612_0000 + i);
  packet.setUint16(IP_BYTES, 1024 + i);
  packet.setUint32(IP_BYTES + 4, i);
  packet.setUint16(10, 0);
  packet.setUint16(10, checksum(0, IP_BYTES, 0));
  packet.setUint16(IP_BYTES + 16, 0);
  // Includes the pseudo-header: both addresses, the protocol and TCP's length (RFC 9293, section 3.1).
  packet.setUint16(IP_BYTES + 16, checksum(12, packet.byteLength, 6 + 20));
  const bytes = new Uint8Array(packet.buffer);
  if (Number(libc.write(fd, bytes, bytes.length)) < 0)
    throw new Error("cannot write a SYN to the device");
}

function checksum(from: number, to: number, start: number): number {
  let sum = start;
  for (let i = from; i < to; i += 2) sum += packet.getUint16(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function readAnswers(): void {
  const view = new DataView(buffer.buffer);
  while (Number(libc.read(fd, buffer, buffer.length)) > 0) {
    const isTcp = view.getUint8(0) === 0x45 && view.getUint8(9) === 6;
    if (!isTcp || view.getUint8(IP_BYTES + 13) !== SYN_ACK) continue;
    const i = view.getUint32(16) - 0xc612_0000;
    // Only a SYN-ACK that acknowledges this client's SYN, at its port, counts.
    const isOurs = view.getUint16(IP_BYTES + 2) === 1024 + i;
    if (isOurs && view.getUint32(IP_BYTES + 8) === i + 1) answered.add(i);
  }
}

function openTun(name: string): number {
  const tun = libc.open(Buffer.from("/dev/net/tun\0"), O_RDWR | O_NONBLOCK);
  if (tun < 0) throw new Error("cannot open /dev/net/tun");
  const request = new Uint8Array(40); // struct ifreq: 16 bytes of name, then the flags
  request.set(Buffer.from(name));
  new DataView(request.buffer).setInt16(16, IFF_TUN | IFF_NO_PI, true);
  if (libc.ioctl(tun, BigInt(TUNSETIFF), request) < 0)
    throw new Error(`cannot attach to the TUN device "${name}"`);
  return tun;
}
