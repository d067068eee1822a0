// The peer of a connection under test: it sends frames byte by byte as a test wants them,
// and parses what the connection writes. It has its own parser, so that a fault of ours
// does not hide itself.
import { Connection } from "../../src/http2/connection.ts";
import type { ConnectionListener } from "../../src/http2/connection-listener.ts";
import type { HeaderList } from "../../src/http2/header-list.ts";
import { HpackDecoder } from "../../src/http2/hpack-decoder.ts";
import { HpackEncoder, maxEncodedBytes } from "../../src/http2/hpack-encoder.ts";
import { Flag, FrameType, PREFACE } from "../../src/http2/protocol.ts";
import type { Stream, StreamListener } from "../../src/http2/stream.ts";
import type { Role } from "../../src/http2/stream-table.ts";
import { ManualClock } from "../support/manual-clock.ts";

export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

export const REQUEST: HeaderList = [
  ...[":method", "POST", ":scheme", "http", ":path", "/etcdserverpb.KV/Range"],
  ...[":authority", "127.0.0.1:2379", "content-type", "application/grpc", "te", "trailers"],
];
export const RESPONSE: HeaderList = [":status", "200", "content-type", "application/grpc"];
export const TRAILERS: HeaderList = ["grpc-status", "0"];

/** What a stream's listener received, in order. */
export class Recorder implements StreamListener {
  readonly events: string[] = [];
  readonly chunks: Uint8Array[] = [];
  sentBytes = 0;

  headers(list: HeaderList, isEnd: boolean): void {
    this.events.push(`headers ${list.join(" ")}${isEnd ? " END" : ""}`);
  }

  data(chunk: Uint8Array, isEnd: boolean): void {
    this.chunks.push(chunk);
    this.events.push(`data ${chunk.length}${isEnd ? " END" : ""}`);
  }

  sent(bytes: number): void {
    this.sentBytes += bytes;
  }

  closed(cause: string, code: number): void {
    this.events.push(`closed ${cause} ${code}`);
  }

  get bytes(): number {
    return this.chunks.reduce((sum, { length }) => sum + length, 0);
  }
}

export interface Opened {
  readonly stream: Stream;
  readonly list: HeaderList;
  readonly isEnd: boolean;
  readonly recorder: Recorder;
}

export class RawPeer implements ConnectionListener {
  readonly clock = new ManualClock();
  readonly connection: Connection;
  /** Bytes that the kernel takes; then it is full. */
  capacity = Number.POSITIVE_INFINITY;
  isDead = false;
  isShutDown = false;
  isTerminated = false;
  isReleased = false;
  /** Streams that this peer has opened on a server. */
  readonly opened: Opened[] = [];
  readonly events: string[] = [];
  buffered = 0;
  /** What `request` throws. */
  fault: Error | undefined;
  readonly #role: Role;
  #bytes: number[] = [];
  readonly #encoder = new HpackEncoder({ maxTableBytes: 4096 });
  readonly #decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1 << 20 });

  constructor(role: Role, { maxConcurrentStreams = 100, minPingMs = 0, firstStreamId = 1 } = {}) {
    this.#role = role;
    const buffered = {
      add: (bytes: number) => {
        this.buffered += bytes;
      },
      mayGrow: true,
    };
    this.connection = new Connection(
      { role, clock: this.clock, buffered, maxConcurrentStreams, minPingMs, firstStreamId },
      this,
    );
    this.connection.opened({
      write: (data: unknown, offset?: number, length?: number) =>
        this.#write(data as Uint8Array, offset!, length!),
      shutdown: () => {
        this.isShutDown = true;
      },
      terminate: () => {
        this.isTerminated = true;
      },
    } as never);
  }

  #write(data: Uint8Array, offset: number, length: number): number {
    if (this.isDead) return -1;
    const taken = Math.min(length, this.capacity);
    this.capacity -= taken;
    this.#bytes.push(...data.subarray(offset, offset + taken));
    return taken;
  }

  /** Exchanges the prefaces and SETTINGS. */
  async handshake(settings = new Uint8Array(0)): Promise<this> {
    if (this.#role === "server") this.sendBytes(PREFACE);
    this.send(FrameType.SETTINGS, 0, 0, settings);
    this.send(FrameType.SETTINGS, Flag.ACK, 0);
    await this.frames();
    return this;
  }

  /** Sends a frame. */
  send(type: number, flags: number, id: number, payload: Uint8Array = new Uint8Array(0)): void {
    this.sendBytes(frameBytes(type, flags, id, payload));
  }

  sendBytes(bytes: Uint8Array): void {
    this.connection.received(bytes);
  }

  sendHeaders(id: number, list: HeaderList, isEnd = false): void {
    this.send(
      FrameType.HEADERS,
      Flag.END_HEADERS | (isEnd ? Flag.END_STREAM : 0),
      id,
      this.encode(list),
    );
  }

  sendData(id: number, bytes: number, isEnd = false): void {
    this.send(FrameType.DATA, isEnd ? Flag.END_STREAM : 0, id, new Uint8Array(bytes).fill(7));
  }

  encode(list: HeaderList): Uint8Array {
    const block = new Uint8Array(maxEncodedBytes(list));
    return block.subarray(0, this.#encoder.encode(list, block, 0));
  }

  decode(block: Uint8Array): string {
    return this.#decoder.decode(block)!.join(" ");
  }

  /** Returns the complete frames that the connection has written since the last call. */
  async frames(): Promise<RawFrame[]> {
    await new Promise(setImmediate);
    const bytes = new Uint8Array(this.#bytes);
    const frames: RawFrame[] = [];
    let at = PREFACE.every((byte, i) => bytes[i] === byte) ? PREFACE.length : 0;
    while (bytes.length - at >= 9) {
      const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
      if (bytes.length - at < 9 + length) break;
      const id = new DataView(bytes.buffer).getUint32(at + 5);
      const payload = bytes.slice(at + 9, at + 9 + length);
      frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, id, payload });
      at += 9 + length;
    }
    this.#bytes = [...bytes.subarray(at)];
    return frames;
  }

  /** Returns the frames as text: type, stream, and what matters of the payload. */
  async texts(): Promise<string[]> {
    return (await this.frames()).map((frame) => this.#describe(frame));
  }

  #describe({ type, flags, id, payload }: RawFrame): string {
    const name = Object.entries(FrameType).find(([, value]) => value === type)![0];
    const view = new DataView(payload.buffer);
    const end = (type === 0 || type === 1) && (flags & Flag.END_STREAM) !== 0 ? " END" : "";
    if (type === FrameType.DATA) return `DATA ${id} ${payload.length}${end}`;
    if (type === FrameType.HEADERS) return `HEADERS ${id} ${this.decode(payload)}${end}`;
    if (type === FrameType.RST_STREAM || type === FrameType.WINDOW_UPDATE)
      return `${name} ${id} ${view.getUint32(0)}`;
    if (type === FrameType.GOAWAY) {
      const text = new TextDecoder().decode(payload.subarray(8));
      return `GOAWAY ${view.getUint32(0)} ${view.getUint32(4)} ${text}`.trim();
    }
    return `${name} ${id}${(flags & Flag.ACK) !== 0 ? " ACK" : ""}`;
  }

  ready(): void {
    this.events.push("ready");
  }

  request(stream: Stream, list: HeaderList, isEnd: boolean): StreamListener {
    if (this.fault !== undefined) throw this.fault;
    const recorder = new Recorder();
    this.opened.push({ stream, list, isEnd, recorder });
    return recorder;
  }

  goneAway(code: number, debugData: string): void {
    this.events.push(`goneAway ${code} ${debugData}`.trim());
  }

  emptied(): void {
    this.events.push("emptied");
  }

  closed(reason: string): void {
    this.events.push(`closed ${reason}`);
  }

  released(): void {
    this.isReleased = true;
  }

  faulted(error: unknown): void {
    this.events.push(`faulted ${(error as Error).message}`);
  }
}

export function frameBytes(
  type: number,
  flags: number,
  id: number,
  payload: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(9 + payload.length);
  bytes.set([payload.length >>> 16, payload.length >>> 8, payload.length, type, flags]);
  new DataView(bytes.buffer).setUint32(5, id);
  bytes.set(payload, 9);
  return bytes;
}

export function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
