// The client's end of a conversation: what it waits for, and since when, so that
// one that nobody answers is found out.
import { decodeReplyHead, encodeRequest, REPLY_HEAD_BYTES, type Request } from "./protocol.ts";
import { streamStart } from "./seeded.ts";
import { handlers, StreamEnd } from "./stream-end.ts";

/** Without a byte for so long, a conversation that waits has failed. A frozen server stays below. */
const PATIENCE_MS = 30_000;

export interface ConnectOptions {
  readonly port: number;
  readonly seed: number;
  /** Of the conversation. */
  readonly number: number;
}

export class ClientEnd extends StreamEnd {
  readonly seed: number;
  readonly number: number;
  /** Who answered; undefined until somebody does. */
  server: number | undefined;
  isLate = false;
  /** After each chunk that comes, does not read for this long. */
  pauseMs = 0;
  #waitsSince: number | undefined;
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

  /** Says what the server has to do. Nothing is sent before `sendTo`. */
  ask(request: Request): void {
    this.begin(encodeRequest(request), streamStart(this.seed, this.number, "request"));
  }

  /** Resolves when it holds, the other side has ended, or neither came in time. */
  async until(isDone: () => boolean): Promise<void> {
    while (!isDone() && !this.isClosed) {
      this.#waitsSince ??= performance.now();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#waitsSince = undefined;
  }

  /** Resolves when so many bytes of the reply are here, or no more can come. */
  heard(bytes: number): Promise<void> {
    return this.until(() => this.receivedBytes >= bytes || this.outcome !== undefined);
  }

  /** To be called now and then: gives up what has waited too long. */
  look(now: number): void {
    if (this.#waitsSince === undefined || now - this.#waitsSince < PATIENCE_MS) return;
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
    if (this.#waitsSince !== undefined) this.#waitsSince = performance.now();
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
