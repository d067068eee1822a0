// Collects frames in a buffer and writes it to the socket once per turn of the event loop.
// What the kernel does not take stays until the socket is writable again. It does not
// decide what is sent.
import type { TcpSocket } from "../net/tcp-socket.ts";
import { FRAME_HEADER_BYTES, writeUint32 } from "./protocol.ts";

const BUFFER_BYTES = 64 * 1024;

/** Free buffers of all connections: an idle connection holds none. */
const pool: Uint8Array[] = [];
const MAX_POOLED = 32;

export class FrameWriter {
  /** The bytes of the frames that are not written yet, from `#start` to `end`. Valid after `reserve`. */
  buffer!: Uint8Array;
  /** The end of the last frame in `buffer`. */
  end = 0;
  #start = 0;
  #hasBuffer = false;
  /** Full buffers that precede `buffer`. */
  #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  #isScheduled = false;
  /** Whether the kernel's send buffer is full. */
  #isBlocked = false;
  #socket: Pick<TcpSocket, "write"> | undefined;
  readonly #flushSoon = () => this.#flushScheduled();

  /** Frames that were collected before are written as well. */
  start(socket: Pick<TcpSocket, "write">): void {
    this.#socket = socket;
    this.#schedule();
  }

  /** Drops what is not written, and everything from now on. */
  close(): void {
    this.#socket = undefined;
    this.#isBlocked = true;
    this.#backlog = [];
    this.#backlogBytes = 0;
    this.#release();
  }

  /** Whether the kernel takes no more bytes for now. */
  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  /** Bytes that are collected and that the kernel has not taken. */
  get pendingBytes(): number {
    return this.#backlogBytes + this.end - this.#start;
  }

  /** Makes room for `bytes` (at most 32 KiB) in `buffer` after `end`, and schedules the write. */
  reserve(bytes: number): void {
    if (!this.#hasBuffer) this.#acquire();
    else if (this.end + bytes > BUFFER_BYTES) this.#makeRoom(bytes);
    if (!this.#isScheduled && !this.#isBlocked) this.#schedule();
  }

  /** Appends a frame header. The caller has reserved room for it and for the payload. */
  header(length: number, type: number, flags: number, streamId: number): void {
    const { buffer, end } = this;
    buffer[end] = length >>> 16;
    buffer[end + 1] = length >>> 8;
    buffer[end + 2] = length;
    buffer[end + 3] = type;
    buffer[end + 4] = flags;
    writeUint32(buffer, end + 5, streamId);
    this.end = end + FRAME_HEADER_BYTES;
  }

  /** Appends a complete frame with a short payload. */
  frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    this.reserve(FRAME_HEADER_BYTES + payload.length);
    this.header(payload.length, type, flags, streamId);
    this.buffer.set(payload, this.end);
    this.end += payload.length;
  }

  /** Appends a complete frame whose payload is one number of 32 bits. */
  uint32Frame(type: number, streamId: number, value: number): void {
    this.reserve(FRAME_HEADER_BYTES + 4);
    this.header(4, type, 0, streamId);
    writeUint32(this.buffer, this.end, value);
    this.end += 4;
  }

  /** Writes what is collected, as far as the kernel takes it. Returns false if the socket is dead. */
  flush(): boolean {
    const socket = this.#socket;
    if (socket === undefined) return false;
    while (this.#backlog.length > 0) {
      const first = this.#backlog[0]!;
      const taken = socket.write(first, 0, first.length);
      if (taken < 0) return false;
      this.#backlogBytes -= taken;
      if (taken < first.length) {
        this.#backlog[0] = first.subarray(taken);
        return this.#block();
      }
      this.#backlog.shift();
    }

    const bytes = this.end - this.#start;
    if (bytes > 0) {
      const taken = socket.write(this.buffer, this.#start, bytes);
      if (taken < 0) return false;
      this.#start += taken;
      if (taken < bytes) return this.#block();
    }

    this.#isBlocked = false;
    if (this.#hasBuffer) this.#release();
    return true;
  }

  #block(): true {
    this.#isBlocked = true;
    return true;
  }

  #schedule(): void {
    if (this.#socket === undefined || this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(this.#flushSoon);
  }

  #flushScheduled(): void {
    this.#isScheduled = false;
    if (!this.#isBlocked) this.flush();
  }

  /** The buffer is full: writes it, or appends it to the backlog. */
  #makeRoom(bytes: number): void {
    if (!this.#isBlocked && this.#socket !== undefined) this.flush();
    if (!this.#hasBuffer) this.#acquire();
    if (this.end + bytes <= BUFFER_BYTES) return;

    const full = this.buffer.slice(this.#start, this.end);
    this.#backlog.push(full);
    this.#backlogBytes += full.length;
    this.#start = 0;
    this.end = 0;
  }

  #acquire(): void {
    this.buffer = pool.pop() ?? new Uint8Array(BUFFER_BYTES);
    this.#hasBuffer = true;
    this.#start = 0;
    this.end = 0;
  }

  #release(): void {
    if (this.#hasBuffer && pool.length < MAX_POOLED) pool.push(this.buffer);
    this.#hasBuffer = false;
    this.buffer = NONE;
    this.#start = 0;
    this.end = 0;
  }
}

const NONE = new Uint8Array(0);
