// One end of a conversation, on either side. Each direction carries a head, then a
// seeded stream, and each received byte is checked against its place. Subclasses
// decide what to send and when.
import { streamBytes } from "./seeded.ts";

// Bytes offered to the kernel per write. It takes only what fits, so longer chunks
// gain nothing.
const WRITE_BYTES = 256 * 1024;

type Socket = Bun.Socket<StreamEnd>;

export abstract class StreamEnd {
  /** Bytes of the streams, without the heads. */
  sentBytes = 0;
  receivedBytes = 0;
  /** Where the first wrong byte was found; undefined if all bytes were right. */
  wrong: string | undefined;
  /** `"FIN"` or an error code; undefined until the peer has ended. */
  outcome: string | undefined;
  isClosed = false;
  readonly #headBytes: number;
  #socket: Socket | undefined;
  #outStart = 0;
  #inStart = 0;
  #head: Uint8Array | undefined = new Uint8Array(0);
  #unsentHead: Uint8Array | undefined;
  #targetBytes = 0;
  #isShutDown = false;

  /** `headBytes`: length of the head before the peer's stream. */
  constructor(headBytes: number) {
    this.#headBytes = headBytes;
  }

  /** Handles the peer's head. Returns the start of the peer's stream; undefined: invalid head. */
  protected abstract takeHead(head: Uint8Array): number | undefined;

  /** Called after bytes arrived, the kernel took bytes, or the peer ended. */
  protected abstract changed(): void;

  /** Whether the kernel has taken all bytes to be sent so far, or the socket is closed. */
  get isSent(): boolean {
    return (
      this.isClosed || (this.sentBytes === this.#targetBytes && this.#unsentHead === undefined)
    );
  }

  /** Sets the head to send, and the start of the stream that follows it. */
  protected begin(head: Uint8Array, outStart: number): void {
    this.#unsentHead = head;
    this.#outStart = outStart;
  }

  /** Sends the first `targetBytes` of the stream. */
  sendTo(targetBytes: number): void {
    this.#targetBytes = targetBytes;
    this.#flush();
  }

  /** Sends the FIN. May be called twice. */
  shutdown(): void {
    if (this.#isShutDown) return;
    this.#isShutDown = true;
    this.#socket!.shutdown();
  }

  reset(): void {
    this.#socket!.terminate();
  }

  /** Closes both directions, as a program that exits. */
  close(): void {
    this.#socket!.end();
  }

  pause(): void {
    this.#socket!.pause();
  }

  resume(): void {
    this.#socket!.resume();
  }

  opened(socket: Socket): void {
    this.#socket = socket;
  }

  received(chunk: Uint8Array): void {
    const rest = this.#head === undefined ? chunk : this.#gatherHead(this.#head, chunk);
    if (rest.length > 0) this.#check(rest);
    this.changed();
  }

  writable(): void {
    this.#flush();
    this.changed();
  }

  ended(): void {
    this.outcome ??= "FIN";
    this.changed();
  }

  closed(error: { code?: string } | undefined): void {
    // Without an error it is a FIN after our own, or a reset that our write met.
    const withoutError = this.#isShutDown ? "FIN" : "EPIPE";
    this.outcome = error?.code ?? this.outcome ?? withoutError;
    this.isClosed = true;
    this.changed();
  }

  #gatherHead(before: Uint8Array, chunk: Uint8Array): Uint8Array {
    const bytes = before.length === 0 ? chunk : Buffer.concat([before, chunk]);
    if (bytes.length < this.#headBytes) {
      this.#head = bytes;
      return bytes.subarray(bytes.length);
    }

    this.#head = undefined;
    const start = this.takeHead(bytes.subarray(0, this.#headBytes));
    if (start === undefined) this.wrong ??= "in the head";
    else this.#inStart = start;
    return bytes.subarray(this.#headBytes);
  }

  #check(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && this.wrong === undefined;) {
      const expected = streamBytes(this.#inStart, this.receivedBytes + at, chunk.length - at);
      const part = chunk.subarray(at, at + expected.length);
      if (Buffer.compare(part, expected) !== 0)
        this.wrong = `in the ${chunk.length} from ${this.receivedBytes} on`;
      at += expected.length;
    }

    this.receivedBytes += chunk.length;
  }

  #flush(): void {
    if (this.isClosed || this.#isShutDown) return;
    if (this.#unsentHead !== undefined && !this.#flushHead(this.#unsentHead)) return;

    while (this.sentBytes < this.#targetBytes) {
      const length = Math.min(WRITE_BYTES, this.#targetBytes - this.sentBytes);
      const chunk = streamBytes(this.#outStart, this.sentBytes, length);
      const written = this.#write(chunk);
      this.sentBytes += written;
      if (written < chunk.length) return;
    }
  }

  /** Sends the head and the stream's first bytes in one write; returns whether all were taken. */
  #flushHead(head: Uint8Array): boolean {
    const length = Math.min(4096, this.#targetBytes - this.sentBytes);
    const bytes = Buffer.concat([head, streamBytes(this.#outStart, this.sentBytes, length)]);
    const written = this.#write(bytes);
    this.#unsentHead = written < head.length ? head.subarray(written) : undefined;
    this.sentBytes += Math.max(0, written - head.length);
    return written === bytes.length;
  }

  #write(bytes: Uint8Array): number {
    const written = this.#socket!.write(bytes);
    // The kernel reports a reset only once, here. Bun reads an end next.
    if (written < 0) this.outcome ??= "EPIPE";
    return Math.max(0, written);
  }
}

/** The handlers of all sockets; `socket.data` is the end. */
export const handlers: Bun.SocketHandler<StreamEnd> = {
  open: (socket) => socket.data.opened(socket),
  data: (socket, chunk) => socket.data.received(chunk),
  drain: (socket) => socket.data.writable(),
  end: (socket) => socket.data.ended(),
  close: (socket, error) => socket.data.closed(error as { code?: string } | undefined),
};
