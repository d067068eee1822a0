// The clients that abuse a gateway: `bun abuse-crowd-program.ts KIND HOST PORT COUNT`.
// Prints the number of clients by outcome, as a line of JSON. In the end all of them
// reset their connections, so that no port stays in TIME_WAIT.
const [kind, hostname, port, total] = process.argv.slice(2) as [string, string, string, string];

const COUNT = Number(total);
// Connections to open at a time, because the accept queue must not be full: the kernel
// may then drop the last ACK of a handshake, and with SYN cookies it has no record of a
// silent client that considers itself connected.
const AT_A_TIME = 400;
const ROUNDS = 3;
const MESSAGE_BYTES = 64;
const TIMEOUT_MS = 15_000;

class Client {
  /** Unique, so that a client detects bytes that belong to another. */
  readonly message: Uint8Array;
  readonly #settled = Promise.withResolvers<void>();
  socket: Bun.Socket<Client> | undefined;
  receivedBytes = 0;
  isWrong = false;
  /** "served" if the whole message came back; else how the connection ended or failed. */
  code: string | undefined;

  constructor(number: number) {
    const [high, low] = [number >> 8, number & 0xff];
    this.message = Uint8Array.from({ length: MESSAGE_BYTES }, (_, i) => (i % 2 === 0 ? low : high));
  }

  /** Resolves when the client is connected, or has failed to connect. */
  async connect(): Promise<void> {
    try {
      await Bun.connect({ hostname, port: Number(port), socket: handlers, data: this });
    } catch (error) {
      this.closed((error as { code?: string }).code);
    }
  }

  opened(socket: Bun.Socket<Client>): void {
    this.socket = socket;
    if (kind === "burst") socket.write(this.message);
    if (kind === "deaf") {
      socket.write("flood");
      socket.pause();
    }
    if (kind !== "reset") return;
    this.code = "reset";
    socket.terminate();
  }

  received(chunk: Uint8Array): void {
    if (kind === "deaf") return; // buffered bytes that Bun delivers before it closes
    for (const byte of chunk) this.isWrong ||= byte !== this.message[this.receivedBytes++];
    if (this.receivedBytes < MESSAGE_BYTES) return;
    this.closed("served");
    this.socket!.terminate();
  }

  closed(code = "end"): void {
    this.code ??= code;
    this.#settled.resolve();
  }

  /** Resolves when the whole message came back, or the connection has ended. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Returns the outcome. A client that is still connected is served by `expectedBytes`. */
  outcome(expectedBytes: number): string {
    if (this.isWrong) return "wrong bytes";
    const end = this.code ?? "silence";
    if (this.receivedBytes === 0 || end === "served") return end;
    const isServed = this.receivedBytes === expectedBytes && this.code === undefined;
    return isServed ? "served" : `${this.receivedBytes} bytes, then ${end}`;
  }
}

const handlers: Bun.SocketHandler<Client> = {
  open: (socket) => socket.data.opened(socket),
  data: (socket, chunk) => socket.data.received(chunk),
  close: (socket, error) => socket.data.closed((error as { code?: string } | undefined)?.code),
  connectError: (socket, error) => socket.data.closed((error as { code?: string }).code),
};

const clients = Array.from({ length: COUNT }, (_, number) => new Client(number));
const abuses: Readonly<Record<string, () => Promise<void>>> = { idle, deaf, trickle, reset, burst };
await abuses[kind]!();
for (const { socket } of clients) socket?.terminate();
process.exit();

/** Connects and stays silent until SIGTERM. */
async function idle(): Promise<void> {
  const terminated = Promise.withResolvers<void>();
  process.on("SIGTERM", () => terminated.resolve());
  await connectAll();
  report(0);
  await terminated.promise;
  report(0);
}

/** Connects, requests an endless stream and reads none of it, until SIGTERM. */
async function deaf(): Promise<void> {
  await idle();
}

/** Connects, then sends one byte per second. */
async function trickle(): Promise<void> {
  await connectAll();
  for (let round = 0; round < ROUNDS; round++) {
    for (let from = 0; from < COUNT; from += AT_A_TIME) {
      for (const { socket, message } of clients.slice(from, from + AT_A_TIME))
        socket?.write(message.subarray(round, round + 1));
      await Bun.sleep((1000 * AT_A_TIME) / COUNT);
    }
  }

  const deadline = performance.now() + TIMEOUT_MS;
  const isOver = () => clients.every(({ receivedBytes }) => receivedBytes >= ROUNDS);
  while (!isOver() && performance.now() < deadline) await Bun.sleep(10);
  report(ROUNDS);
}

/** Connects and resets at once. */
async function reset(): Promise<void> {
  await connectAll();
  report(0);
}

/** Connects all clients at once; each sends its message and leaves when it has come back. */
async function burst(): Promise<void> {
  for (const client of clients) void client.connect();
  await Promise.race([Promise.all(clients.map(({ settled }) => settled)), Bun.sleep(TIMEOUT_MS)]);
  report(MESSAGE_BYTES);
}

async function connectAll(): Promise<void> {
  const pending = clients.values();
  const connectNext = async () => {
    for (const client of pending) await client.connect();
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, connectNext));
}

/** Prints the number of clients by outcome. */
function report(expectedBytes: number): void {
  const outcomes: Record<string, number> = {};
  for (const client of clients) {
    const outcome = client.outcome(expectedBytes);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  console.log(JSON.stringify(outcomes));
}

export {};
