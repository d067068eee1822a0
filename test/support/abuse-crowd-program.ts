// The clients that abuse a gateway: `bun abuse-crowd-program.ts KIND HOST PORT COUNT`.
// Prints what became of them, as a line of JSON that counts outcomes. All of them
// reset their connections in the end, so that no port is left in TIME_WAIT.
const [kind, hostname, port, total] = process.argv.slice(2) as [string, string, string, string];

const COUNT = Number(total);
// Who is silent must not meet a full queue: the kernel may then drop the end of his
// handshake, and with SYN cookies it never hears of him, though he is connected.
const AT_A_TIME = 400;
const ROUNDS = 3;
const MESSAGE_BYTES = 64;
const PATIENCE_MS = 15_000;

class Client {
  /** Like nobody else's, so that one who is sent another's bytes notices. */
  readonly message: Uint8Array;
  readonly #decided = Promise.withResolvers<void>();
  socket: Bun.Socket<Client> | undefined;
  receivedBytes = 0;
  isWrong = false;
  /** "served" if it has all its message back, or how it was ended, or why it is not connected. */
  code: string | undefined;

  constructor(number: number) {
    const [high, low] = [number >> 8, number & 0xff];
    this.message = Uint8Array.from({ length: MESSAGE_BYTES }, (_, i) => (i % 2 === 0 ? low : high));
  }

  /** Resolves when it is connected, or is not going to be. */
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
    if (kind === "deaf") return; // what a reset flushes
    for (const byte of chunk) this.isWrong ||= byte !== this.message[this.receivedBytes++];
    if (this.receivedBytes < MESSAGE_BYTES) return;
    this.closed("served");
    this.socket!.terminate();
  }

  closed(code = "end"): void {
    this.code ??= code;
    this.#decided.resolve();
  }

  /** Resolves when it has all its message back, or is not connected any more. */
  get decided(): Promise<void> {
    return this.#decided.promise;
  }

  /** Whoever is still connected is served if he has had so many bytes. */
  outcome(expectedBytes: number): string {
    if (this.isWrong) return "wrong bytes";
    const end = this.code ?? "silence";
    if (this.receivedBytes === 0 || end === "served") return end;
    const isAnswered = this.receivedBytes === expectedBytes && this.code === undefined;
    return isAnswered ? "served" : `${this.receivedBytes} bytes, then ${end}`;
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

/** Connects and is silent, until SIGTERM. */
async function idle(): Promise<void> {
  const told = Promise.withResolvers<void>();
  process.on("SIGTERM", () => told.resolve());
  await connectAll();
  tell(0);
  await told.promise;
  tell(0);
}

/** Connects, asks for bytes without end and reads none of them, until SIGTERM. */
async function deaf(): Promise<void> {
  await idle();
}

/** Connects, then sends a byte a second. */
async function trickle(): Promise<void> {
  await connectAll();
  for (let round = 0; round < ROUNDS; round++) {
    for (let from = 0; from < COUNT; from += AT_A_TIME) {
      for (const { socket, message } of clients.slice(from, from + AT_A_TIME))
        socket?.write(message.subarray(round, round + 1));
      await Bun.sleep((1000 * AT_A_TIME) / COUNT);
    }
  }
  const deadline = performance.now() + PATIENCE_MS;
  const isOver = () => clients.every(({ receivedBytes }) => receivedBytes >= ROUNDS);
  while (!isOver() && performance.now() < deadline) await Bun.sleep(10);
  tell(ROUNDS);
}

async function reset(): Promise<void> {
  await connectAll();
  tell(0);
}

/** Connects all at once; each asks something, and leaves when it has the whole answer. */
async function burst(): Promise<void> {
  for (const client of clients) void client.connect();
  await Promise.race([Promise.all(clients.map(({ decided }) => decided)), Bun.sleep(PATIENCE_MS)]);
  tell(MESSAGE_BYTES);
}

async function connectAll(): Promise<void> {
  const waiting = clients.values();
  const connectNext = async () => {
    for (const client of waiting) await client.connect();
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, connectNext));
}

function tell(expectedBytes: number): void {
  const outcomes: Record<string, number> = {};
  for (const client of clients) {
    const outcome = client.outcome(expectedBytes);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  console.log(JSON.stringify(outcomes));
}

export {};
