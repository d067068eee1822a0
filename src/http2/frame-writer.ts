// Collects frames in a buffer and writes it to the socket once per turn of the event loop.
// What the kernel does not take stays until the socket is writable again. It does not
// decide what is sent.
import type { TcpSocket } from "../net/tcp-socket.ts";
import { FRAME_HEADER_BYTES, FrameType, writeUint32 } from "./protocol.ts";
import type { BufferedBytes } from "./buffered-bytes.ts";

const BUFFER_BYTES = 64 * 1024;

// While the kernel takes nothing, only short frames follow: it would be a waste to hold
// a whole buffer for them.
const SMALL_BUFFER_BYTES = 1024;

/** Free buffers of all connections: an idle connection holds none. */
const pool: Uint8Array[] = [];
const MAX_POOLED = 32;

/** Where closed connections write. */
let scratch: Uint8Array | undefined;

/** `open`: or not started yet. `dead`: the kernel takes nothing any more. */
type State = "open" | "dead" | "closed";

/**
 * Writers with frames to write when the events of this turn are handled: requests that have
 * arrived on many connections leave together on one.
 */
let scheduled: FrameWriter[] = [];

function schedule(writer: FrameWriter): void {
  // Each writer that waits holds a buffer.
  if (scheduled.length === MAX_POOLED) flushScheduled();
  // Not a microtask, which would run after the events of one socket.
  if (scheduled.length === 0) setImmediate(flushScheduled);
  scheduled.push(writer);
}

function flushScheduled(): void {
  const writers = scheduled;
  scheduled = [];
  for (const writer of writers) writer.flushScheduled();
}

export class FrameWriter {
  /** The bytes of the frames that are not written yet, from `#start` to `end`. Valid after `reserve`. */
  buffer: Uint8Array = NONE;
  /** The end of the last frame in `buffer`. */
  end = 0;
  #start = 0;
  /** What precedes `buffer`. */
  #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  #state: State = "open";
  #isScheduled = false;
  /** Whether the kernel's send buffer is full. */
  #isBlocked = false;
  #socket: Pick<TcpSocket, "write"> | undefined;
  #onDead = () => {};
  readonly #held: BufferedBytes;

  constructor(held: BufferedBytes) {
    this.#held = held;
  }

  /**
   * Frames that were collected before are written as well. `onDead` is called from the
   * event loop if the socket takes nothing any more.
   */
  start(socket: Pick<TcpSocket, "write">, onDead: () => void): void {
    this.#socket = socket;
    this.#onDead = onDead;
    this.#schedule();
  }

  /** Drops what is not written, and everything from now on. May be called twice. */
  close(): void {
    this.#drop();
    this.#state = "closed";
    this.#socket = undefined;
  }

  /** Whether the kernel takes no more bytes for now. */
  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  /** Bytes that wait because the kernel's send buffer is full. They are counted as held. */
  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  /** Bytes that are collected and that the kernel has not taken. */
  get pendingBytes(): number {
    return this.#backlogBytes + this.end - this.#start;
  }

  /** Makes room for `bytes` (at most 32 KiB) in `buffer` after `end`, and schedules the write. */
  reserve(bytes: number): void {
    if (this.#state !== "open") {
      this.buffer = scratch ??= new Uint8Array(BUFFER_BYTES);
      this.#start = 0;
      this.end = 0;
      return;
    }
    if (this.end + bytes > this.buffer.length) this.#makeRoom(bytes);
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

  /** Appends a GOAWAY frame. `debugData` is ASCII. */
  goAway(lastId: number, code: number, debugData: string): void {
    const payload = new Uint8Array(8 + debugData.length);
    writeUint32(payload, 0, lastId);
    writeUint32(payload, 4, code);
    new TextEncoder().encodeInto(debugData, payload.subarray(8));
    this.frame(FrameType.GOAWAY, 0, 0, payload);
  }

  /** Writes what is collected, as far as the kernel takes it. Returns false if the socket is dead. */
  flush(): boolean {
    const socket = this.#socket;
    if (socket === undefined || this.#state !== "open") return false;
    while (this.#backlog.length > 0) {
      const first = this.#backlog[0]!;
      const taken = socket.write(first, 0, first.length);
      if (taken < 0) return this.#die();
      this.#addBacklogBytes(-taken);
      if (taken < first.length) {
        this.#backlog[0] = first.subarray(taken);
        this.#isBlocked = true;
        return true;
      }
      this.#backlog.shift();
    }

    const bytes = this.end - this.#start;
    if (bytes > 0) {
      const taken = socket.write(this.buffer, this.#start, bytes);
      if (taken < 0) return this.#die();
      this.#start += taken;
      this.#isBlocked = taken < bytes;
      // A connection that must wait does not hold a buffer that others could use.
      if (this.#isBlocked) this.#toBacklog();
    } else this.#isBlocked = false;
    this.#release();
    return true;
  }

  #die(): false {
    this.#drop();
    this.#state = "dead";
    queueMicrotask(() => {
      if (this.#state === "dead") this.#onDead();
    });
    return false;
  }

  #schedule(): void {
    if (this.#socket === undefined || this.#isScheduled) return;
    this.#isScheduled = true;
    schedule(this);
  }

  /** For the turn's end only. */
  flushScheduled(): void {
    this.#isScheduled = false;
    if (!this.#isBlocked) this.flush();
  }

  /** The buffer is full, or there is none: writes it, or appends it to the backlog. */
  #makeRoom(bytes: number): void {
    if (this.buffer.length > 0 && !this.#isBlocked) this.flush();
    // The socket may have died.
    if (this.#state !== "open") {
      this.reserve(bytes);
      return;
    }
    if (this.buffer.length > 0) {
      this.#toBacklog();
      this.#release();
    }
    this.#acquire(bytes);
  }

  /** Copies what is collected, which takes no more memory than it must. */
  #toBacklog(): void {
    const rest = this.buffer.slice(this.#start, this.end);
    if (rest.length === 0) return;
    this.#backlog.push(rest);
    this.#addBacklogBytes(rest.length);
  }

  #addBacklogBytes(bytes: number): void {
    this.#backlogBytes += bytes;
    this.#held.add(bytes);
  }

  #acquire(bytes: number): void {
    this.buffer = this.#isBlocked
      ? new Uint8Array(Math.max(SMALL_BUFFER_BYTES, bytes))
      : (pool.pop() ?? new Uint8Array(BUFFER_BYTES));
    this.#start = 0;
    this.end = 0;
  }

  #release(): void {
    if (this.buffer.length === BUFFER_BYTES && this.buffer !== scratch && pool.length < MAX_POOLED)
      pool.push(this.buffer);
    this.buffer = NONE;
    this.#start = 0;
    this.end = 0;
  }

  #drop(): void {
    this.#isBlocked = true;
    this.#backlog = [];
    this.#addBacklogBytes(-this.#backlogBytes);
    this.#release();
  }
}

const NONE = new Uint8Array(0);
