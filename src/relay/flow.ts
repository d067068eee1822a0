// One direction of a relay: bytes from a source socket to a sink socket, and
// what is owed when the source ends. It holds little: what one write left over.
// When and how the two sockets end together is the relay's question.
import type { Clock } from "../core/clock.ts";
import { BULK_BYTES, copyBulk, PORTION_BYTES } from "./bulk-copy.ts";
import type { SocketOwner, TcpSocket, TcpSystem } from "../net/tcp-socket.ts";

/** What a flow needs of the socket it reads. */
export type Source = Pick<TcpSocket, "fd" | "pause" | "resume" | "terminate">;
/** What a flow needs of the socket it writes. */
export type Sink = Pick<TcpSocket, "fd" | "write" | "shutdown">;

/** What all flows share. */
export interface FlowDeps {
  readonly clock: Pick<Clock, "soon">;
  readonly system: Pick<TcpSystem, "peek" | "skip">;
  /** Told what is held for sinks that do not take it, in bytes more or fewer. */
  readonly memory: { add(bytes: number): void };
}

/** What a flow tells its relay. */
export interface FlowEvents {
  /** The source sent its FIN; everything before it may still be owed. */
  sourceEnded(flow: Flow): void;
  /** The source socket is gone. */
  sourceClosed(flow: Flow, error: Error | undefined): void;
  /** The source was reset and all that it sent before has been handed to the sink's kernel. */
  resetDue(flow: Flow): void;
  /** A write found the sink dead; its `closed` follows, and perhaps last bytes before it. */
  sinkFailed(flow: Flow): void;
}

// A client's first request is mostly here before its server is connected. Up to
// this much of it is held without a pause, which with its resume costs eight
// system calls and two wakeups.
const UNPAUSED_BYTES = 16 * 1024;

type SourceState = "open" | "ended" | "reset";

export class Flow implements SocketOwner {
  /** The flow of the other direction, whose sink is this flow's source. Set once, by the relay. */
  reverse: Flow | undefined;
  /** Bytes that the sink's kernel has taken so far. */
  deliveredBytes = 0;
  readonly #source: Source;
  readonly #events: FlowEvents;
  readonly #deps: FlowDeps;
  #sink: Sink | undefined;
  /** Accepted and not yet taken by the sink's kernel. */
  #pending: Uint8Array | undefined;
  #isPaused = false;
  /** The sink took no more, and what it did not take is still in the source's kernel. */
  #isBlocked = false;
  #isSourceDead = false;
  #sourceState: SourceState = "open";
  #isFinished = false;
  #isDiscarding = false;

  constructor(source: Source, events: FlowEvents, deps: FlowDeps) {
    this.#source = source;
    this.#events = events;
    this.#deps = deps;
  }

  /** Bytes that the source sent and the sink's kernel has not taken. */
  get pendingBytes(): number {
    return this.#pending?.length ?? 0;
  }

  /** Memory taken by those: of the chunk that they are the end of. */
  get bufferedBytes(): number {
    return this.#pending?.buffer.byteLength ?? 0;
  }

  /** The FIN has been passed on to the sink. */
  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** Names the sink, once it is connected, and delivers what came before. */
  connect(sink: Sink): void {
    this.#sink = sink;
    if (this.#pending !== undefined) this.deliver();
    else if (this.#sourceState === "ended") this.#onFlushed();
  }

  opened(): void {}

  received(chunk: Uint8Array): void {
    const sink = this.#sink;
    if (sink === undefined || this.#pending !== undefined) {
      this.#buffer(chunk);
      return;
    }
    const written = sink.write(chunk);
    if (written < chunk.length) {
      this.#block(chunk, written);
      return;
    }
    this.deliveredBytes += written;
    if (written >= BULK_BYTES) this.#pump();
  }

  writable(): void {
    this.reverse?.deliver();
  }

  ended(): void {
    if (this.#sourceState !== "open") return;
    if (this.#isSourceDead) {
      this.#source.terminate();
      return;
    }
    this.#sourceState = "ended";
    if (this.#pending === undefined) this.#onFlushed();
    this.#events.sourceEnded(this);
  }

  closed(error: Error | undefined): void {
    this.#events.sourceClosed(this, error);
  }

  /**
   * A write found the source socket reset, which took the kernel's word of it
   * away: what is read behind the last bytes looks like a FIN and is none.
   */
  sourceDied(): void {
    this.#isSourceDead = true;
  }

  /** The source is gone by a reset: the sink gets one too, behind all that is owed to it. */
  reset(): void {
    this.#sourceState = "reset";
    if (this.#pending === undefined) this.#onFlushed();
  }

  /** The sink is gone: forgets what is owed, and all that the source still sends. */
  discard(): void {
    this.#isDiscarding = true;
    this.#sink = undefined;
    this.#setPending(undefined);
  }

  /** Goes on where the sink took no more; nothing if it did not come to that. */
  deliver(): void {
    const tail = this.#pending;
    if (this.#sink === undefined) return;
    if (tail === undefined) {
      if (this.#isBlocked && this.#sourceState === "open") this.#pump();
      return;
    }
    const written = this.#sink.write(tail);
    if (written < tail.length) {
      this.#block(tail, written);
      return;
    }
    this.deliveredBytes += written;
    this.#setPending(undefined);
    if (this.#sourceState === "open") this.#pump();
    else this.#onFlushed();
  }

  /** Nothing is owed but, perhaps, the source's end. */
  #onFlushed(): void {
    if (this.#sourceState === "open") this.#resume();
    else if (this.#sourceState === "reset") this.#events.resetDue(this);
    else if (this.#sink !== undefined) {
      this.#isFinished = true;
      // Not end(), even where both FINs have passed: Bun 1.4.5 then keeps 1.3 KiB
      // for each socket for ever (seen over 200,000 connections).
      this.#sink.shutdown();
    }
  }

  #block(chunk: Uint8Array, written: number): void {
    if (written < 0) {
      this.#abandonSink();
      return;
    }
    this.#pause();
    this.deliveredBytes += written;
    const tail = chunk.subarray(written);
    // A copy, where a small tail would keep a large chunk in memory.
    this.#setPending(written > chunk.length / 2 ? new Uint8Array(tail) : tail);
  }

  /** Moves what has arrived past Bun, until there is nothing more or the sink takes no more. */
  #pump(): void {
    this.#isBlocked = false;
    const before = this.deliveredBytes;
    const end = copyBulk(this.#source, this.#sink!, this.#deps.system, this);
    if (end === "sink dead") this.#abandonSink();
    else if (end === "sink full") {
      this.#isBlocked = true;
      this.#pause();
      // Where so much came, more will: Bun must not read it.
    } else if (this.deliveredBytes - before >= PORTION_BYTES) this.#pumpLater();
    else this.#resume();
  }

  #pumpLater(): void {
    this.#pause();
    this.#deps.clock.soon(() => {
      const isOver = this.#sourceState !== "open" || this.#sink === undefined;
      if (!isOver && this.#pending === undefined && !this.#isBlocked) this.#pump();
    });
  }

  #abandonSink(): void {
    this.discard();
    this.#events.sinkFailed(this);
  }

  #setPending(tail: Uint8Array | undefined): void {
    const before = this.bufferedBytes;
    this.#pending = tail;
    this.#deps.memory.add(this.bufferedBytes - before);
  }

  #buffer(chunk: Uint8Array): void {
    if (this.#isDiscarding) return;
    // A tail grows in two cases: bytes that come before the sink is connected,
    // up to the bound below; and those of a paused source whose peer resets it,
    // which flushes what the kernel holds, once.
    const tail = this.#pending === undefined ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#setPending(tail);
    if (tail.length >= UNPAUSED_BYTES) this.#pause();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#source.pause();
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#source.resume();
  }
}
