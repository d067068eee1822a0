// The client's end of a conversation. It records since when it waits for bytes,
// so that a conversation without an answer fails.
import { decodeReplyHead, encodeRequest, REPLY_HEAD_BYTES, type Request } from "./protocol.ts";
import { streamStart } from "./seeded.ts";
import { handlers, StreamEnd } from "./stream-end.ts";

/** Wait without a byte after which a conversation fails. Servers are frozen for less than this. */
const WAIT_TIMEOUT_MS = 30_000;

export interface ConnectOptions {
  readonly port: number;
  readonly seed: number;
  /** The conversation's number. */
  readonly number: number;
}

export class ClientEnd extends StreamEnd {
  readonly seed: number;
  readonly number: number;
  /** Number of the server that answered; undefined until one does. */
  server: number | undefined;
  /** Whether it waited longer than WAIT_TIMEOUT_MS. */
  isLate = false;
  /** Pause in reading after each chunk. */
  pauseMs = 0;
  #waitingSince: number | undefined;
  #wake: (() => void) | undefined;

  constructor({ seed, number }: ConnectOptions) {
    super(REPLY_HEAD_BYTES);
    this.seed = seed;
    this.number = number;
  }

  /** Rejects with the system's error if the gateway does not accept. */
  static async connect(options: ConnectOptions): Promise<ClientEnd> {
    const end = new ClientEnd(options);
    await Bun.connect<StreamEnd>({
      hostname: "127.0.0.1",
      port: options.port,
      allowHalfOpen: true,
      socket: handlers,
      data: end,
    });
    return end;
  }

  /** Sets the request head. Nothing is sent before `sendTo`. */
  setRequest(request: Request): void {
    this.begin(encodeRequest(request), streamStart(this.seed, this.number, "request"));
  }

  /** Resolves once `isDone` returns true, or the socket is closed, also by the timeout. */
  async until(isDone: () => boolean): Promise<void> {
    while (!isDone() && !this.isClosed) {
      this.#waitingSince ??= performance.now();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#waitingSince = undefined;
  }

  /** Resolves once `bytes` of the reply have arrived, or no more can arrive. */
  untilReceived(bytes: number): Promise<void> {
    return this.until(() => this.receivedBytes >= bytes || this.outcome !== undefined);
  }

  /** Resets the connection if it has waited too long. Must be called regularly. */
  checkTimeout(now: number): void {
    if (this.#waitingSince === undefined || now - this.#waitingSince < WAIT_TIMEOUT_MS) return;

    this.isLate = true;
    this.reset();
  }

  override received(chunk: Uint8Array): void {
    super.received(chunk);
    if (this.pauseMs === 0) return;

    this.pause();
    setTimeout(() => {
      if (!this.isClosed) this.resume();
    }, this.pauseMs);
  }

  protected takeHead(head: Uint8Array): number | undefined {
    const reply = decodeReplyHead(head);
    if (reply?.number !== this.number) return undefined;
    this.server = reply.server;
    return streamStart(this.seed, this.number, "reply");
  }

  protected changed(): void {
    if (this.#waitingSince !== undefined) this.#waitingSince = performance.now();
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
