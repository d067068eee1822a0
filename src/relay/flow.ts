// One direction of a relay: bytes from a source socket to a sink socket, and
// what is owed when the source ends. It holds at most the tail of one chunk.
// When and how the two sockets end together is the relay's question.
import type { SocketOwner, TcpSocket } from "./tcp-socket.ts";

/** What a flow needs of the socket it reads. */
export type Source = Pick<TcpSocket, "pause" | "resume">;
/** What a flow needs of the socket it writes. */
export type Sink = Pick<TcpSocket, "write" | "shutdown">;

/** What a flow tells its relay. */
export interface FlowEvents {
  /** The source sent its FIN; everything before it may still be owed. */
  sourceEnded(flow: Flow): void;
  /** The source socket is gone. */
  sourceClosed(flow: Flow, error: Error | undefined): void;
  /** The source was reset and all that it sent before has been handed to the sink's kernel. */
  resetDue(flow: Flow): void;
  /** A write found the sink dead; its `closed` follows, and perhaps last bytes before it. */
  sinkDied(flow: Flow): void;
}

type SourceState = "open" | "ended" | "reset";

export class Flow implements SocketOwner {
  /** The flow of the other direction, whose sink is this flow's source. Set once, by the relay. */
  reverse: Flow | undefined;
  /** Bytes that the sink's kernel has taken so far. */
  deliveredBytes = 0;
  readonly #source: Source;
  readonly #events: FlowEvents;
  #sink: Sink | undefined;
  /** Accepted and not yet taken by the sink's kernel. While there is one, the source is paused. */
  #tail: Uint8Array | undefined;
  #sourceState: SourceState = "open";
  #isFinished = false;
  #isDiscarding = false;

  constructor(source: Source, events: FlowEvents) {
    this.#source = source;
    this.#events = events;
  }

  /** Bytes that the source sent and the sink's kernel has not taken. */
  get pendingBytes(): number {
    return this.#tail?.length ?? 0;
  }

  /** The FIN has been passed on to the sink. */
  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** The sink is dead: nothing can be delivered any more. */
  get isDiscarding(): boolean {
    return this.#isDiscarding;
  }

  /** Names the sink, once it is connected, and delivers what came before. */
  connect(sink: Sink): void {
    this.#sink = sink;
    if (this.#tail !== undefined) this.deliver();
    else if (this.#sourceState === "ended") this.#settle();
  }

  opened(): void {}

  received(chunk: Uint8Array): void {
    const sink = this.#sink;
    if (sink === undefined || this.#tail !== undefined) {
      this.#hold(chunk);
      return;
    }
    const written = sink.write(chunk);
    if (written < chunk.length) this.#block(chunk, written);
    else this.deliveredBytes += written;
  }

  writable(): void {
    this.reverse?.deliver();
  }

  ended(): void {
    if (this.#sourceState !== "open") return;
    this.#sourceState = "ended";
    if (this.#tail === undefined) this.#settle();
    this.#events.sourceEnded(this);
  }

  closed(error: Error | undefined): void {
    this.#events.sourceClosed(this, error);
  }

  /** The source is gone by a reset: the sink gets one too, behind all that is owed to it. */
  reset(): void {
    this.#sourceState = "reset";
    if (this.#tail === undefined) this.#settle();
  }

  /** The sink is gone: forgets what is owed, and all that the source still sends. */
  discard(): void {
    this.#isDiscarding = true;
    this.#sink = undefined;
    this.#tail = undefined;
  }

  /** Writes the tail, as far as the sink takes it; without a tail, nothing. */
  deliver(): void {
    const tail = this.#tail;
    if (tail === undefined || this.#sink === undefined) return;
    const written = this.#sink.write(tail);
    if (written < tail.length) {
      this.#block(tail, written);
      return;
    }
    this.deliveredBytes += written;
    this.#tail = undefined;
    this.#settle();
  }

  /** Nothing is owed but, perhaps, the source's end. */
  #settle(): void {
    if (this.#sourceState === "open") this.#source.resume();
    else if (this.#sourceState === "reset") this.#events.resetDue(this);
    else if (this.#sink !== undefined) {
      this.#isFinished = true;
      this.#sink.shutdown();
    }
  }

  #block(chunk: Uint8Array, written: number): void {
    if (written < 0) {
      this.discard();
      this.#events.sinkDied(this);
      return;
    }
    if (this.#tail === undefined) this.#source.pause();
    this.deliveredBytes += written;
    this.#tail = chunk.subarray(written);
  }

  #hold(chunk: Uint8Array): void {
    if (this.#isDiscarding) return;
    if (this.#tail === undefined) {
      this.#tail = chunk;
      this.#source.pause();
      return;
    }
    // A paused source delivers in one case: its peer's reset flushes what the
    // kernel holds, and `closed` follows. So this happens a few times at most.
    this.#tail = Buffer.concat([this.#tail, chunk]);
  }
}
