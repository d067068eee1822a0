// An HTTP/2 connection (RFC 9113) in either role: the settings, PING, GOAWAY, and how it
// begins and ends. It owns the socket, but opens none, and it knows no gRPC.
import { noTimer } from "../core/clock.ts";
import type { SocketOwner } from "../net/tcp-socket.ts";
import type {
  ConnectionListener,
  ConnectionOptions,
  ConnectionSocket,
} from "./connection-listener.ts";
import { FloodGuard } from "./flood-guard.ts";
import {
  DRAIN_PING,
  FrameDispatcher,
  type FrameDispatcherListener,
  KEEPALIVE_PING,
} from "./frame-dispatcher.ts";
import { FrameReader } from "./frame-reader.ts";
import { FrameWriter } from "./frame-writer.ts";
import type { HeaderList } from "./header-list.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { PingGuard } from "./ping-guard.ts";
import { PrefaceCheck, writePreface } from "./preface.ts";
import { ConnectionError, ErrorCode, FrameType, MAX_31_BITS } from "./protocol.ts";
import { ReceiveWindows } from "./receive-windows.ts";
import { PeerSettings } from "./settings.ts";
import type { Stream, StreamListener } from "./stream.ts";
import { StreamReceiver } from "./stream-receiver.ts";
import { StreamTable, type StreamTableListener } from "./stream-table.ts";

/**
 * `open`: until the first FIN, reset or fault. `writing`: the streams are over, and the rest is
 * being written. `shut`: the peer has yet to close. `closed`: the socket is.
 */
type State = "open" | "writing" | "shut" | "closed";

// Our encoder's dynamic table (RFC 7541), unless the peer wants a smaller one.
const MAX_TABLE_BYTES = 4096;

// Time for the peer's preface and SETTINGS.
const PREFACE_TIMEOUT_MS = 10_000;
// Time for the peer to take our last bytes and to close, after a fault and after a drain.
const CLOSE_TIMEOUT_MS = 1000;
const DRAINED_TIMEOUT_MS = 30_000;
// Bytes that wait to be written when a peer that has us answer, and does not read, is cut off:
// only DATA is flow controlled. And when a connection takes no new streams of ours.
const MAX_UNWRITTEN_BYTES = 1024 * 1024;
const MAX_UNWRITTEN_FOR_OPEN = 256 * 1024;

export class Connection implements SocketOwner, FrameDispatcherListener, StreamTableListener {
  /** How often bytes have arrived: a sign of life. */
  receptions = 0;
  readonly #options: ConnectionOptions;
  readonly #listener: ConnectionListener;
  readonly #writer: FrameWriter;
  readonly #peer = new PeerSettings();
  readonly #windows: ReceiveWindows;
  readonly #streams: StreamTable;
  readonly #receiver: StreamReceiver;
  readonly #dispatcher: FrameDispatcher;
  readonly #reader: FrameReader;
  #state: State = "open";
  #socket: ConnectionSocket | undefined;
  /** Undefined once the client's preface has arrived. */
  #preface: PrefaceCheck | undefined;
  /** Whether we, and the peer, have announced the end of new streams. */
  #isDraining = false;
  #isPeerDraining = false;
  /** Whether the first of our two GOAWAYs was sent, and the second was not. */
  #isAnnouncing = false;
  /** Bytes of an incomplete frame or header block. They are counted as held. */
  #frameBytes = 0;
  #cancelTimer = noTimer;

  constructor(options: ConnectionOptions, listener: ConnectionListener) {
    const { role, clock, buffered, maxConcurrentStreams, minPingMs, firstStreamId = 1 } = options;
    this.#options = options;
    this.#listener = listener;
    this.#writer = new FrameWriter(buffered);
    this.#preface = role === "server" ? new PrefaceCheck() : undefined;
    const flood = new FloodGuard(clock);
    this.#windows = new ReceiveWindows(this.#writer, buffered, role === "server");
    const parts = {
      ...{ role, clock, flood, maxConcurrentStreams, firstStreamId },
      ...{ writer: this.#writer, windows: this.#windows, peer: this.#peer },
      encoder: new HpackEncoder({ maxTableBytes: MAX_TABLE_BYTES }),
      pings: role === "server" ? new PingGuard(clock, flood, minPingMs) : undefined,
    };
    this.#streams = new StreamTable(parts, this);
    this.#receiver = new StreamReceiver(parts, this.#streams, listener);
    this.#dispatcher = new FrameDispatcher(parts, this.#streams, this.#receiver, this);
    this.#reader = new FrameReader(this.#dispatcher);
  }

  /** Whether a new stream of ours can be opened now. */
  get canOpen(): boolean {
    const isReady = this.isOpen && this.#dispatcher.hasSettings;
    const isStaying = !this.#isDraining && !this.#isPeerDraining;
    const hasRoom = !this.isFull && this.#writer.pendingBytes < MAX_UNWRITTEN_FOR_OPEN;
    return isReady && isStaying && hasRoom;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Bytes that are counted as held, besides those that streams have received. */
  get heldBytes(): number {
    return this.#writer.backlogBytes + this.#frameBytes;
  }

  /** Whether everything was written and the FIN sent: the kernel delivers the rest. */
  get isShut(): boolean {
    return this.#state === "shut";
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Whether the peer allows no more streams at the same time. */
  get isFull(): boolean {
    return this.#streams.size >= this.#peer.maxConcurrentStreams;
  }

  /** Opens a stream. The caller has checked `canOpen`. */
  open(list: HeaderList, isEnd: boolean, listener: StreamListener): Stream {
    const stream = this.#streams.open(list, isEnd, listener);
    if (!this.#streams.hasIds) {
      this.#isDraining = true;
      this.#listener.goneAway(ErrorCode.NO_ERROR, "no stream ids are left");
    }
    return stream;
  }

  /** Sends a PING; its answer shows in `receptions`. */
  ping(): void {
    this.#writer.frame(FrameType.PING, 0, 0, KEEPALIVE_PING);
  }

  /**
   * Takes no new streams and closes when the last one has ended. A server announces it
   * twice, so that streams that are on their way are served (RFC 9113, section 6.8).
   */
  drain(): void {
    if (this.#isDraining || this.#state !== "open") return;
    this.#isDraining = true;
    if (this.#options.role === "server") {
      this.#isAnnouncing = true;
      this.#writer.goAway(MAX_31_BITS, ErrorCode.NO_ERROR, "");
      this.#writer.frame(FrameType.PING, 0, 0, DRAIN_PING);
    } else this.emptied();
  }

  /**
   * Ends the connection and its streams. What they have sent is still written, then `code`
   * and `reason`. May be called twice.
   */
  close(code: number, reason: string): void {
    if (this.#state !== "open") return;
    this.#state = "writing";
    this.#writer.goAway(this.#receiver.lastPeerId, code, reason);
    this.#end(reason);
    const ms = code === ErrorCode.NO_ERROR ? DRAINED_TIMEOUT_MS : CLOSE_TIMEOUT_MS;
    this.#cancelTimer = this.#options.clock.after(ms, () => this.#terminate());
    this.#writeRest();
  }

  /** Ends the connection without a word. May be called twice. */
  terminate(reason: string): void {
    if (this.#state === "open") {
      this.#state = "writing";
      this.#end(reason);
    }
    this.#terminate();
  }

  // The events of the socket.

  opened(socket: ConnectionSocket): void {
    const { role, clock, maxConcurrentStreams } = this.#options;
    this.#socket = socket;
    this.#cancelTimer = clock.after(PREFACE_TIMEOUT_MS, () =>
      this.close(ErrorCode.SETTINGS_TIMEOUT, "no HTTP/2 preface"),
    );
    writePreface(this.#writer, role, maxConcurrentStreams);
    this.#windows.start();
    this.#writer.start(socket, () => this.terminate("connection reset by peer"));
  }

  received(chunk: Uint8Array): void {
    this.receptions++;
    try {
      this.#reader.push(this.#preface === undefined ? chunk : this.#afterPreface(chunk));
      this.#holdFrame(this.#reader.heldBytes + this.#dispatcher.heldBytes);
      if (this.#writer.pendingBytes > MAX_UNWRITTEN_BYTES)
        throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "the peer does not read");
    } catch (error) {
      if (error instanceof ConnectionError) this.close(error.code, error.message);
      else {
        this.#listener.faulted(error);
        this.close(ErrorCode.INTERNAL_ERROR, "internal error");
      }
    }
  }

  #holdFrame(bytes: number): void {
    if (bytes === this.#frameBytes || this.#state !== "open") return;
    this.#options.buffered.add(bytes - this.#frameBytes);
    this.#frameBytes = bytes;
  }

  #afterPreface(chunk: Uint8Array): Uint8Array {
    const rest = this.#preface!.push(chunk);
    if (this.#preface!.isDone) this.#preface = undefined;
    return rest;
  }

  writable(): void {
    if (this.#state === "writing") this.#writeRest();
    if (this.#state !== "open" || !this.#writer.isBlocked) return;
    if (!this.#writer.flush()) this.terminate("connection reset by peer");
    else if (!this.#writer.isBlocked) this.#streams.queue.pump();
  }

  /** Writes what is left, then a FIN. */
  #writeRest(): void {
    if (!this.#writer.flush()) this.#terminate();
    else if (!this.#writer.isBlocked) {
      this.#state = "shut";
      this.#writer.close();
      this.#socket!.shutdown();
    }
  }

  /** The peer sends nothing more. As in Go, that ends the connection. */
  ended(): void {
    if (this.#state === "open") this.terminate("closed by peer");
    else this.#terminate();
  }

  closed(error: Error | undefined): void {
    const { code } = (error ?? {}) as { code?: string };
    this.terminate(code === undefined ? "closed by peer" : `connection lost (${code})`);
  }

  // The events of its parts.

  ready(): void {
    this.#cancelTimer();
    this.#cancelTimer = noTimer;
    this.#listener.ready();
  }

  faulted(error: unknown): void {
    this.#listener.faulted(error);
  }

  emptied(): void {
    const isDraining = this.#isDraining || this.#isPeerDraining;
    if (isDraining && this.#streams.size === 0 && !this.#isAnnouncing)
      this.close(ErrorCode.NO_ERROR, "drained");
    else this.#listener.emptied();
  }

  drainAcknowledged(): void {
    if (!this.#isAnnouncing) return;
    this.#isAnnouncing = false;
    this.#receiver.lastAcceptedId = this.#receiver.lastPeerId;
    this.#writer.goAway(this.#receiver.lastPeerId, ErrorCode.NO_ERROR, "");
    this.emptied();
  }

  goneAway(lastId: number, code: number, debugData: string): void {
    this.#isPeerDraining = true;
    this.#listener.goneAway(code, debugData);
    // A client's last id is that of streams that a server opens, and we open none.
    if (this.#options.role === "client") this.#streams.goneAway(lastId);
    this.emptied();
  }

  /** Ends all streams and reports the end. */
  #end(reason: string): void {
    this.#dispatcher.isReading = false;
    this.#options.buffered.add(-this.#frameBytes);
    this.#frameBytes = 0;
    this.#cancelTimer();
    this.#streams.lose(reason);
    this.#listener.closed(reason);
  }

  #terminate(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#cancelTimer();
    this.#writer.close();
    this.#socket?.terminate();
    this.#listener.released();
  }
}
