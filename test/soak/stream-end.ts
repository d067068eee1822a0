// One end of a conversation, on either side: a head and then a seeded stream in
// each direction, each byte that comes checked against its place. What is said
// when is the subclass's part.
import { streamBytes } from "./seeded.ts";

// Bun hands the kernel what it takes, of whatever length; more at a time only
// means that more must be looked up.
const WRITE_BYTES = 256 * 1024;

type Socket = Bun.Socket<StreamEnd>;

export abstract class StreamEnd {
  /** Bytes of the streams, without the heads. */
  sentBytes = 0;
  receivedBytes = 0;
  /** What was wrong about the bytes that came; undefined while they were right. */
  wrong: string | undefined;
  /** `"FIN"`, or an error's code; undefined while the peer has not ended. */
  outcome: string | undefined;
  isClosed = false;
  readonly #headBytes: number;
  #socket: Socket | undefined;
  #outStart = 0;
  #inStart = 0;
  #head: Uint8Array | undefined = new Uint8Array(0);
  #owedHead: Uint8Array | undefined;
  #targetBytes = 0;
  #isShutDown = false;

  /** `headBytes` come before the peer's stream. */
  constructor(headBytes: number) {
    this.#headBytes = headBytes;
  }

  /** The peer's head is here. Its stream begins where this says; undefined: that was no head. */
  protected abstract takeHead(head: Uint8Array): number | undefined;

  /** Something came, was taken, or ended. */
  protected abstract changed(): void;

  /** All that was to be sent so far has been taken by the kernel, or never will be. */
  get isSent(): boolean {
    return this.isClosed || (this.sentBytes === this.#targetBytes && this.#owedHead === undefined);
  }

  /** What is sent first, and where the stream behind it begins. */
  protected begin(head: Uint8Array, outStart: number): void {
    this.#owedHead = head;
    this.#outStart = outStart;
  }

  /** Sends the stream up to this many bytes. */
  sendTo(targetBytes: number): void {
    this.#targetBytes = targetBytes;
    this.#flush();
  }

  /** Once: a second FIN is none. */
  shutdown(): void {
    if (this.#isShutDown) return;
    this.#isShutDown = true;
    this.#socket!.shutdown();
  }

  reset(): void {
    this.#socket!.terminate();
  }

  /** As a program that ends. */
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
    // Without an error it is a FIN that came behind our own, or a reset that a
    // write of ours has met.
    const silent = this.#isShutDown ? "FIN" : "EPIPE";
    this.outcome = error?.code ?? this.outcome ?? silent;
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
    if (this.#owedHead !== undefined && !this.#flushHead(this.#owedHead)) return;
    while (this.sentBytes < this.#targetBytes) {
      const length = Math.min(WRITE_BYTES, this.#targetBytes - this.sentBytes);
      const chunk = streamBytes(this.#outStart, this.sentBytes, length);
      const written = this.#write(chunk);
      this.sentBytes += written;
      if (written < chunk.length) return;
    }
  }

  /** With the stream's first bytes, as a program writes them: one segment for a small request. */
  #flushHead(head: Uint8Array): boolean {
    const length = Math.min(4096, this.#targetBytes - this.sentBytes);
    const bytes = Buffer.concat([head, streamBytes(this.#outStart, this.sentBytes, length)]);
    const written = this.#write(bytes);
    this.#owedHead = written < head.length ? head.subarray(written) : undefined;
    this.sentBytes += Math.max(0, written - head.length);
    return written === bytes.length;
  }

  #write(bytes: Uint8Array): number {
    const written = this.#socket!.write(bytes);
    // The kernel tells of a reset only once, here: what Bun reads next is an end.
    if (written < 0) this.outcome ??= "EPIPE";
    return Math.max(0, written);
  }
}

/** One set of handlers for all; the end is the socket's data. */
export const handlers: Bun.SocketHandler<StreamEnd> = {
  open: (socket) => socket.data.opened(socket),
  data: (socket, chunk) => socket.data.received(chunk),
  drain: (socket) => socket.data.writable(),
  end: (socket) => socket.data.ended(),
  close: (socket, error) => socket.data.closed(error as { code?: string } | undefined),
};
