// The two ends of a test's connections: plain Bun sockets that record what they send
// and receive. Every byte is taken from one fixed stream, so that each received byte is
// checked against its offset.
import { unsentBytes } from "../../src/os/tcp.ts";

const PATTERN_BYTES = 1 << 20;
const pattern = makePattern();

/** Returns `length` bytes of the endless test stream, starting at `offset`. */
export function streamBytes(offset: number, length: number): Uint8Array {
  const from = offset % PATTERN_BYTES;
  if (from + length <= PATTERN_BYTES) return pattern.subarray(from, from + length);
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const start = (offset + done) % PATTERN_BYTES;
    const part = pattern.subarray(start, Math.min(PATTERN_BYTES, start + length - done));
    bytes.set(part, done);
    done += part.length;
  }
  return bytes;
}

/** Resolves once `condition` holds; rejects after `timeoutMs` with an error that names `what`. */
export async function until(condition: () => boolean, what: string, timeoutMs = 10_000) {
  const start = performance.now();
  while (!condition()) {
    const waited = performance.now() - start;
    if (waited > timeoutMs) throw new Error(`timed out waiting until ${what}`);
    // Most conditions hold after a few events, so timers are used only after 5 ms.
    await (waited < 5 ? new Promise(setImmediate) : Bun.sleep(1));
  }
}

export class Peer {
  receivedBytes = 0;
  /** Offset of the first chunk with a byte that differs from the stream; undefined if none did. */
  firstWrongByte: number | undefined;
  /** `"end"` after a FIN, an error's code after a reset; undefined while open. */
  outcome: string | undefined;
  isClosed = false;
  sentBytes = 0;
  #socket: Bun.Socket<Peer> | undefined;
  #unsent: Uint8Array | undefined;
  #onSent: (() => void) | undefined;

  static async connect(port: number, hostname = "127.0.0.1"): Promise<Peer> {
    const peer = new Peer();
    await Bun.connect({
      hostname,
      port,
      allowHalfOpen: true,
      socket: handlers,
      data: peer,
    });
    return peer;
  }

  /** Sends the stream's next `length` bytes; resolves when the kernel has taken them all. */
  async send(length: number): Promise<void> {
    this.#unsent = streamBytes(this.sentBytes, length);
    const sent = new Promise<void>((resolve) => {
      this.#onSent = resolve;
    });
    this.flush();
    await sent;
  }

  get isSending(): boolean {
    return this.#unsent !== undefined;
  }

  /** Resolves when all sent bytes are acknowledged, so that a reset cannot lose any. */
  async acknowledged(): Promise<void> {
    const { fd } = this.#socket as unknown as { fd: number };
    await until(() => unsentBytes(fd) === 0, "everything was acknowledged");
  }

  /**
   * Resolves with the bytes that the other side's kernel has acknowledged, once that is
   * everything sent or has not grown for 200 ms: how much a kernel takes in for a reader
   * that stands still is its own choice.
   */
  async acknowledgedBytes(): Promise<number> {
    let bytes = -1;
    let grownAt = 0;
    await until(() => {
      const acknowledged = this.sentBytes - unsentBytes(this.fd);
      if (acknowledged > bytes) grownAt = performance.now();
      bytes = Math.max(bytes, acknowledged);
      const isAll = !this.isSending && bytes === this.sentBytes;
      return isAll || performance.now() - grownAt >= 200;
    }, "the other side took no more");
    return bytes;
  }

  shutdown(): void {
    this.#socket!.shutdown();
  }

  reset(): void {
    this.#socket!.terminate();
  }

  /** Closes both directions, as an exiting program does: the kernel sends what is left, then resets. */
  close(): void {
    this.#socket!.end();
  }

  get fd(): number {
    return (this.#socket as unknown as { fd: number }).fd;
  }

  pause(): void {
    this.#socket!.pause();
  }

  resume(): void {
    this.#socket!.resume();
  }

  async gone(): Promise<string> {
    await until(() => this.outcome !== undefined, "the peer ended");
    return this.outcome!;
  }

  attach(socket: Bun.Socket<Peer>): void {
    this.#socket = socket;
  }

  take(chunk: Uint8Array): void {
    if (this.firstWrongByte === undefined) {
      const expected = streamBytes(this.receivedBytes, chunk.length);
      if (!Buffer.from(chunk).equals(expected)) this.firstWrongByte = this.receivedBytes;
    }
    this.receivedBytes += chunk.length;
  }

  flush(): void {
    if (this.#unsent === undefined) return;
    const written = this.#socket!.write(this.#unsent);
    if (written < 0) {
      this.#finishSending();
      return;
    }
    this.sentBytes += written;
    this.#unsent = this.#unsent.subarray(written);
    if (this.#unsent.length > 0) return;
    this.#finishSending();
  }

  ended(): void {
    this.outcome ??= "end";
  }

  closed(error: { code?: string } | undefined): void {
    // A close without an error is a FIN that followed our own.
    if (error?.code !== undefined) this.outcome = error.code;
    else this.outcome ??= "end";
    this.isClosed = true;
    this.#finishSending();
  }

  #finishSending(): void {
    this.#unsent = undefined;
    this.#onSent?.();
    this.#onSent = undefined;
  }
}

/** Accepts peers on loopback, on any free port unless one is given. */
export class PeerServer {
  readonly accepted: Peer[] = [];
  /** Called for each peer before its first byte is read. */
  onPeer: (peer: Peer) => void = () => {};
  readonly #listener: Bun.TCPSocketListener<Peer>;

  constructor(port = 0, hostname = "127.0.0.1") {
    const open = (socket: Bun.Socket<Peer>) => {
      const peer = new Peer();
      socket.data = peer;
      peer.attach(socket);
      this.accepted.push(peer);
      this.onPeer(peer);
    };
    this.#listener = Bun.listen({
      hostname,
      port,
      allowHalfOpen: true,
      socket: { ...handlers, open },
      data: undefined as unknown as Peer,
    } as Bun.TCPSocketListenOptions<Peer>);
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Resolves with the peer accepted as number `index`. */
  async peer(index = 0): Promise<Peer> {
    await until(() => this.accepted.length > index, `peer ${index} was accepted`);
    return this.accepted[index]!;
  }

  close(): void {
    this.#listener.stop(true);
  }
}

const handlers: Bun.SocketHandler<Peer> = {
  open: (socket) => socket.data.attach(socket),
  data: (socket, chunk) => socket.data.take(chunk),
  drain: (socket) => socket.data.flush(),
  end: (socket) => socket.data.ended(),
  close: (socket, error) => socket.data.closed(error as { code?: string } | undefined),
};

/** Uses the generator of Numerical Recipes, which makes every window of the stream unique. */
function makePattern(): Uint8Array {
  const bytes = new Uint8Array(PATTERN_BYTES);
  let state = 1;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
