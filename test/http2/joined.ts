// Two connections joined in memory: what one writes, the other receives, in chunks and at
// times that the test chooses. Each direction holds a limited number of bytes, as a kernel
// does.
import type { Connection } from "../../src/http2/connection.ts";
import type { BufferedBytes } from "../../src/http2/buffered-bytes.ts";

/** Counts the bytes that a side holds. */
export class Counter implements BufferedBytes {
  bytes = 0;
  mayGrow = true;

  add(bytes: number): void {
    this.bytes += bytes;
  }
}

/** One end: a connection, and the bytes on their way to it. */
export class End {
  readonly connection: Connection;
  /** The other end. */
  other!: End;
  isShutDown = false;
  isTerminated = false;
  /** Whether the connection was told that its socket is closed. */
  #isClosed = false;
  #isEnded = false;
  readonly #capacity: number;
  #arriving: Uint8Array[] = [];
  #arrivingBytes = 0;
  #wasFull = false;
  /** Whether the last write of this end was taken in full, so that a frame may follow. */
  #isAtFrame = true;

  /** `capacity`: bytes that may be on their way to it. */
  constructor(connection: Connection, capacity: number) {
    this.connection = connection;
    this.#capacity = capacity;
  }

  open(): void {
    this.connection.opened({
      write: (data: unknown, offset = 0, length = 0) =>
        this.#write(data as Uint8Array, offset, length),
      shutdown: () => {
        this.isShutDown = true;
      },
      terminate: () => {
        this.isTerminated = true;
      },
    } as never);
  }

  #write(data: Uint8Array, offset: number, length: number): number {
    if (this.isTerminated || this.isShutDown || this.other.isTerminated) return -1;
    const taken = this.other.#accept(data, offset, length);
    this.#isAtFrame = taken === length;
    return taken;
  }

  /** Sends a frame in this end's name, if it is not in the middle of one. */
  inject(frame: Uint8Array): boolean {
    if (!this.#isAtFrame || this.isShutDown) return false;
    this.other.#arriving.push(frame);
    this.other.#arrivingBytes += frame.length;
    return true;
  }

  #accept(data: Uint8Array, offset: number, length: number): number {
    const taken = Math.max(0, Math.min(length, this.#capacity - this.#arrivingBytes));
    this.#wasFull ||= taken < length;
    if (taken === 0) return 0;
    this.#arriving.push(data.slice(offset, offset + taken));
    this.#arrivingBytes += taken;
    return taken;
  }

  /** Bytes that are on their way to this end. */
  get arrivingBytes(): number {
    return this.#arrivingBytes;
  }

  /** Whether `step` would do something. */
  get hasEvents(): boolean {
    if (this.#isClosed) return false;
    const isReset = this.isTerminated || this.other.isTerminated;
    return isReset || this.#arrivingBytes > 0 || (this.other.isShutDown && !this.#isEnded);
  }

  /** Delivers up to `max` bytes, or the end. */
  step(max: number): void {
    if (this.#isClosed) return;
    if (this.isTerminated || (this.other.isTerminated && this.#arrivingBytes === 0)) {
      this.#isClosed = true;
      this.connection.closed(undefined);
    } else if (this.#arrivingBytes > 0) this.#deliver(max);
    else if (this.other.isShutDown && !this.#isEnded) {
      this.#isEnded = true;
      // After a FIN of its own, a socket reports the other one as its end.
      if (this.isShutDown) {
        this.#isClosed = true;
        this.connection.closed(undefined);
      } else this.connection.ended();
    }
  }

  #deliver(max: number): void {
    const first = this.#arriving.shift()!;
    const chunk = first.slice(0, max);
    if (max < first.length) this.#arriving.unshift(first.subarray(max));
    this.#arrivingBytes -= chunk.length;
    this.connection.received(chunk);
    if (!this.#wasFull) return;
    this.#wasFull = false;
    if (!this.other.#isClosed) this.other.connection.writable();
  }
}

/** Joins a client and a server. */
export function join(client: End, server: End): void {
  client.other = server;
  server.other = client;
  client.open();
  server.open();
}

/** Resolves when the frames of this turn are written. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Delivers everything that is on its way, until both ends are quiet. */
export async function settle(...ends: readonly End[]): Promise<void> {
  for (let idle = 0; idle < 3; idle++) {
    await turn();
    for (const end of ends)
      while (end.hasEvents) {
        idle = 0;
        end.step(65_536);
        await turn();
      }
  }
}
