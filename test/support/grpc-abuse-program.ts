// Clients that abuse a gRPC proxy: `bun grpc-abuse-program.ts KIND HOST PORT COUNT`. Prints the
// number of connections (or calls) by outcome, as a line of JSON. Those that stay connected
// after it do so until SIGTERM.
import { Flag, FrameType, PREFACE } from "../../src/http2/protocol.ts";

const [kind, hostname, port, total] = process.argv.slice(2) as [string, string, string, string];
const COUNT = Number(total);
const TIMEOUT_MS = 40_000;
// Connections to open at a time, because the accept queue must not be full.
const AT_A_TIME = 400;

const { CONTINUATION, DATA, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE } =
  FrameType;
const END = Flag.END_STREAM | Flag.END_HEADERS;

function frame(type: number, flags: number, id: number, payload: Uint8Array = NONE): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A header block of literals that are not indexed. */
function block(fields: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(fields).map(([name, value]) =>
      Buffer.concat([
        Buffer.from([0, name.length]),
        Buffer.from(name),
        Buffer.from([value.length]),
        Buffer.from(value),
      ]),
    ),
  );
}

function grpc(path: string): Buffer {
  const request = { ":method": "POST", ":scheme": "http", ":path": path, ":authority": "etcd" };
  return block({ ...request, "content-type": "application/grpc", te: "trailers" });
}

function message(payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0]), uint32(payload.length), payload]);
}

const NONE = Buffer.alloc(0);
const RANGE = grpc("/etcdserverpb.KV/Range");
const PUT = grpc("/etcdserverpb.KV/Put");
const WATCH = grpc("/etcdserverpb.Watch/Watch");
/** A Range of the key "big", and a Put of the key "slow". */
const BIG = message(Buffer.from("\x0a\x03big"));
const SLOW = message(Buffer.from("\x0a\x04slow\x12\x05value"));
/** Creates a watch of the key "watched". */
const WATCHED = message(Buffer.from("\x0a\x09\x0a\x07watched"));

/** One connection. It counts what arrives, and answers nothing. */
class Peer {
  /** How it ended: the debug data of a GOAWAY, "reset", "end", or the code of a failed dial. */
  outcome: string | undefined;
  readonly counts = new Map<string, number>();
  onFrame: (type: number, id: number, flags: number, payload: Buffer) => void = () => {};
  readonly ended = Promise.withResolvers<void>();
  #socket: Bun.Socket<Peer> | undefined;
  #unsent: Buffer[] = [];
  #received: Buffer = NONE;
  #writable = Promise.withResolvers<void>();
  isRaw = false;
  answersSettings = true;
  text = "";

  static async connect(): Promise<Peer> {
    const peer = new Peer();
    try {
      const options = { hostname, port: Number(port), socket: handlers, data: peer };
      peer.#socket = await Bun.connect<Peer>(options);
    } catch (error) {
      peer.closed((error as { code?: string }).code);
    }
    return peer;
  }

  /** Sends the preface and SETTINGS. */
  begin(initialWindow?: number): this {
    const payload =
      initialWindow === undefined
        ? NONE
        : Buffer.concat([Buffer.from([0, 4]), uint32(initialWindow)]);
    this.send(PREFACE, frame(SETTINGS, 0, 0, payload));
    return this;
  }

  send(...parts: readonly Uint8Array[]): void {
    this.#unsent.push(Buffer.concat(parts));
    this.flush();
  }

  flush(): void {
    while (this.#unsent.length > 0 && this.outcome === undefined) {
      const first = this.#unsent[0]!;
      const taken = this.#socket?.write(first) ?? 0;
      if (taken < first.length) {
        this.#unsent[0] = first.subarray(Math.max(0, taken));
        return;
      }
      this.#unsent.shift();
    }
    this.#writable.resolve();
    this.#writable = Promise.withResolvers();
  }

  /** Resolves when everything was sent, or the connection has ended. */
  async sent(): Promise<void> {
    if (this.#unsent.length > 0 && this.outcome === undefined)
      await Promise.race([this.#writable.promise, this.ended.promise]);
  }

  /** Sends parts without end, until the connection ends. */
  async flood(make: (round: number) => Uint8Array): Promise<void> {
    for (let round = 0; this.outcome === undefined; round++) {
      this.send(make(round));
      await this.sent();
      await Bun.sleep(0);
    }
  }

  /** Reads nothing more. */
  pause(): void {
    this.#socket?.pause();
  }

  terminate(): void {
    this.#socket?.terminate();
  }

  received(chunk: Buffer): void {
    if (this.isRaw) {
      this.text += chunk.toString("latin1");
      return;
    }
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    for (;;) {
      if (this.#received.length < 9) return;
      const end = 9 + this.#received.readUIntBE(0, 3);
      if (this.#received.length < end) return;
      const [type, flags] = [this.#received[3]!, this.#received[4]!];
      const id = this.#received.readUInt32BE(5);
      const payload = this.#received.subarray(9, end);
      this.#received = this.#received.subarray(end);
      this.#take(type, flags, id, payload);
    }
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    const isSettings = type === SETTINGS && (flags & Flag.ACK) === 0;
    if (isSettings && this.answersSettings) this.send(frame(SETTINGS, Flag.ACK, 0));
    if (type === GOAWAY)
      this.outcome ??= `GOAWAY ${payload.readUInt32BE(4)} ${payload.subarray(8).toString()}`;
    this.onFrame(type, id, flags, payload);
  }

  closed(code = "end"): void {
    this.outcome ??= code;
    this.ended.resolve();
  }
}

const handlers: Bun.SocketHandler<Peer> = {
  data: (socket, chunk) => socket.data.received(chunk),
  drain: (socket) => socket.data.flush(),
  close: (socket, error) => socket.data.closed((error as { code?: string } | undefined)?.code),
  error: (socket, error) => socket.data.closed((error as { code?: string }).code),
};

/** Opens connections, a part at a time. */
async function crowd(begin: (peer: Peer) => void): Promise<Peer[]> {
  const peers: Peer[] = [];
  while (peers.length < COUNT) {
    const part = Array.from({ length: Math.min(AT_A_TIME, COUNT - peers.length) }, async () => {
      const peer = await Peer.connect();
      begin(peer);
      return peer;
    });
    peers.push(...(await Promise.all(part)));
  }
  return peers;
}

function print(outcomes: readonly string[]): void {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  console.log(JSON.stringify(counts));
}

async function untilTerminated(): Promise<void> {
  await new Promise<void>((resolve) => process.once("SIGTERM", resolve));
}

/** Each connection sends this without end. */
const floods: Readonly<Record<string, (round: number) => Uint8Array>> = {
  reset: (round) => {
    const ids = Array.from({ length: 50 }, (_, i) => 2 * (50 * round + i) + 1);
    const parts = ids.flatMap((id) => [
      frame(HEADERS, Flag.END_HEADERS, id, RANGE),
      frame(RST_STREAM, 0, id, uint32(8)),
    ]);
    return Buffer.concat(parts);
  },
  "made-reset": (round) => {
    const ids = Array.from({ length: 50 }, (_, i) => 2 * (50 * round + i) + 1);
    const parts = ids.flatMap((id) => [
      frame(HEADERS, Flag.END_HEADERS, id, RANGE),
      frame(WINDOW_UPDATE, 0, id, uint32(0)),
    ]);
    return Buffer.concat(parts);
  },
  ping: () => Buffer.concat(Array.from({ length: 100 }, () => frame(PING, 0, 0, Buffer.alloc(8)))),
  settings: () => Buffer.concat(Array.from({ length: 100 }, () => frame(SETTINGS, 0, 0))),
  "empty-data": (round) =>
    Buffer.concat([
      ...(round === 0 ? [frame(HEADERS, Flag.END_HEADERS, 1, WATCH)] : []),
      ...Array.from({ length: 100 }, () => frame(DATA, 0, 1)),
    ]),
  continuation: (round) =>
    Buffer.concat([
      ...(round === 0 ? [frame(HEADERS, 0, 1, RANGE)] : []),
      ...Array.from({ length: 100 }, () => frame(CONTINUATION, 0, 1)),
    ]),
  "large-continuation": (round) =>
    Buffer.concat([
      ...(round === 0 ? [frame(HEADERS, 0, 1, RANGE)] : []),
      frame(CONTINUATION, 0, 1, Buffer.alloc(16_384, 0x82)),
    ]),
  window: () => frame(WINDOW_UPDATE, 0, 0, uint32(0x7fff_ffff)),
};

/** Sends a flood on each connection. Prints how they ended. */
async function flood(make: (round: number) => Uint8Array): Promise<void> {
  const peers = await crowd((peer) => {
    // It would interrupt a header block.
    peer.answersSettings = false;
    peer.begin();
  });
  await Promise.all(peers.map((peer) => peer.flood(make)));
  print(peers.map(({ outcome }) => outcome!));
}

/** Calls from one connection that its client does not read: with windows of nothing, or a socket that is not read. */
async function deaf(hasWindows: boolean): Promise<void> {
  const peer = (await Peer.connect()).begin(hasWindows ? 65_535 : 0);
  await Bun.sleep(100);
  if (hasWindows) peer.pause();
  for (let i = 0; i < COUNT && peer.outcome === undefined; i++) {
    const id = 2 * i + 1;
    peer.send(frame(HEADERS, Flag.END_HEADERS, id, RANGE), frame(DATA, Flag.END_STREAM, id, BIG));
    if (i % 100 === 0) await Promise.race([peer.sent(), Bun.sleep(1000)]);
  }
  await Promise.race([peer.ended.promise, Bun.sleep(5000)]);
  print([peer.outcome ?? "open"]);
  await untilTerminated();
}

/** Calls that arrive byte by byte. Prints how many were answered. */
async function slow(): Promise<void> {
  const request = Buffer.concat([
    PREFACE,
    frame(SETTINGS, 0, 0),
    frame(HEADERS, Flag.END_HEADERS, 1, PUT),
    frame(DATA, Flag.END_STREAM, 1, SLOW),
  ]);
  const peers = await crowd((peer) => {
    peer.answersSettings = false;
  });
  const answered = peers.map(
    (peer) =>
      new Promise<void>((resolve) => {
        peer.onFrame = (type, id, flags) => {
          if (type === HEADERS && id === 1 && (flags & Flag.END_STREAM) !== 0) {
            peer.outcome = "answered";
            resolve();
          }
        };
        void peer.ended.promise.then(resolve);
      }),
  );
  for (let at = 0; at < request.length; at++) {
    for (const peer of peers) peer.send(request.subarray(at, at + 1));
    await Bun.sleep(1);
  }
  await Promise.race([Promise.all(answered), Bun.sleep(TIMEOUT_MS)]);
  print(peers.map(({ outcome }) => outcome ?? "silence"));
}

/** Connections that send nothing after their SETTINGS. */
async function idle(): Promise<void> {
  let ready = 0;
  const peers = await crowd((peer) => {
    peer.onFrame = (type, _, flags) => {
      if (type === SETTINGS && (flags & Flag.ACK) !== 0) ready++;
    };
    peer.begin();
  });
  const deadline = performance.now() + TIMEOUT_MS;
  while (ready < COUNT && performance.now() < deadline) await Bun.sleep(50);
  print(peers.map(({ outcome }, i) => outcome ?? (i < ready ? "idle" : "silence")));
  await untilTerminated();
  for (const peer of peers) peer.terminate();
}

/** Watches on one connection. Prints when all are created. */
async function watch(): Promise<void> {
  const peer = (await Peer.connect()).begin();
  let created = 0;
  let events = 0;
  peer.onFrame = (type, id, _, payload) => {
    if (type !== DATA) return;
    // A created watch has no events (field 11); each event comes once.
    if (created < COUNT) created++;
    else events++;
    peer.send(
      frame(WINDOW_UPDATE, 0, 0, uint32(payload.length)),
      frame(WINDOW_UPDATE, 0, id, uint32(payload.length)),
    );
  };
  for (let i = 0; i < COUNT; i++) {
    const id = 2 * i + 1;
    peer.send(frame(HEADERS, Flag.END_HEADERS, id, WATCH), frame(DATA, 0, id, WATCHED));
    if (i % 200 === 0) {
      await peer.sent();
      await Bun.sleep(1);
    }
  }
  const deadline = performance.now() + TIMEOUT_MS;
  while (created < COUNT && peer.outcome === undefined && performance.now() < deadline)
    await Bun.sleep(20);
  console.log(JSON.stringify({ created, outcome: peer.outcome ?? "open" }));
  while (events < COUNT && peer.outcome === undefined && performance.now() < deadline)
    await Bun.sleep(20);
  console.log(JSON.stringify({ events, outcome: peer.outcome ?? "open" }));
  await untilTerminated();
  peer.terminate();
}

const METHODS = [
  "KV/Range",
  "KV/Put",
  "KV/DeleteRange",
  "KV/Txn",
  "Watch/Watch",
  "Lease/LeaseGrant",
  "Lease/LeaseKeepAlive",
  "Cluster/MemberList",
  "Auth/Authenticate",
  "Maintenance/Status",
];

/** Calls with messages that are not protobuf, or not gRPC's. Prints how many ended. */
async function malformed(): Promise<void> {
  const peer = (await Peer.connect()).begin();
  const ended = new Set<number>();
  peer.onFrame = (type, id, flags) => {
    const isEnd = (type === HEADERS || type === DATA) && (flags & Flag.END_STREAM) !== 0;
    if (type === RST_STREAM || isEnd) ended.add(id);
  };
  for (let i = 0; i < COUNT; i++) {
    const id = 2 * i + 1;
    const random = Buffer.from(crypto.getRandomValues(new Uint8Array(i % 200)));
    const body = i % 3 === 0 ? random : message(random);
    const path = `/etcdserverpb.${METHODS[i % METHODS.length]}`;
    peer.send(frame(HEADERS, Flag.END_HEADERS, id, grpc(path)), frame(DATA, END & 1, id, body));
    if (i % 50 === 0) await Bun.sleep(5);
  }
  const deadline = performance.now() + 10_000;
  while (ended.size < COUNT && peer.outcome === undefined && performance.now() < deadline)
    await Bun.sleep(20);
  console.log(JSON.stringify({ ended: ended.size, outcome: peer.outcome ?? "open" }));
  peer.terminate();
}

/** Bytes that are not HTTP/2, after the preface or in its place. Prints how many connections ended. */
async function garbage(): Promise<void> {
  const peers = await crowd((peer) => {
    peer.isRaw = true;
    const random = Buffer.from(
      crypto.getRandomValues(new Uint8Array(1 + Math.floor(Math.random() * 2000))),
    );
    // Not a TLS handshake, nor the beginning of a method, which the proxy would wait for.
    random[0] = 0x80 + (random[0]! & 0x7f);
    const isAfterPreface = Math.random() < 0.7;
    if (isAfterPreface)
      peer.send(PREFACE, random.subarray(0, Math.random() < 0.5 ? undefined : 9), random);
    else peer.send(random);
  });
  // Each must be ended by the proxy, at once or when its time for the preface is over.
  await Promise.race([Promise.all(peers.map((peer) => peer.ended.promise)), Bun.sleep(15_000)]);
  print(peers.map(({ outcome }) => (outcome === undefined ? "open" : "ended")));
}

const HTTP1 = [
  "GET /health HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50),
  "POST /health HTTP/1.1\r\nContent-Length: 30\r\n\r\nGET /proxy/metrics HTTP/1.1\r\n\r\n",
  "GET /x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /proxy/metrics HTTP/1.1\r\n\r\n",
  "GET /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
  `GET /${"a".repeat(15_000)} x\r\n\r\n`,
  `GET / HTTP/1.1\r\n${"x: y\r\n".repeat(100_000)}\r\n`,
  "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
];

/** Requests of HTTP/1 that hide others. Prints the number of answers on each connection. */
async function http1(): Promise<void> {
  let next = 0;
  const peers = await crowd((peer) => {
    peer.isRaw = true;
    peer.send(Buffer.from(HTTP1[next++ % HTTP1.length]!));
  });
  await Promise.race([Promise.all(peers.map((peer) => peer.ended.promise)), Bun.sleep(12_000)]);
  print(peers.map(({ text }) => `${text.split("HTTP/1.1 ").length - 1} answers`));
  for (const peer of peers) peer.terminate();
}

const kinds: Readonly<Record<string, () => Promise<void>>> = {
  "deaf-streams": () => deaf(false),
  "deaf-socket": () => deaf(true),
  slow,
  idle,
  watch,
  malformed,
  garbage,
  http1,
};

const make = floods[kind];
if (make === undefined) await kinds[kind]!();
else await flood(make);
process.exit(0);
