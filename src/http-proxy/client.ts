// One client's connection: its requests one after the other, the time for a request's head,
// and the member that it stays with. It does not parse HTTP: node:http does.
import type { Clock } from "../core/clock.ts";
import type { TcpSocket } from "../net/tcp-socket.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { HoldReason, SocketStream, type SocketStreamListener } from "./socket-stream.ts";

// From the first bytes of a head to its end, as in Go programs that set ReadHeaderTimeout.
const HEAD_TIMEOUT_MS = 10_000;

/** A request in progress. */
export interface ClientTask {
  start(): void;
  /** The client has left before the request was started. */
  cancel(): void;
}

export interface ClientListener {
  /** The connection has closed. Called once. */
  clientClosed(client: Client): void;
}

export class Client implements SocketStreamListener {
  readonly stream: SocketStream;
  /** The peer's IP literal, read once: it is unknown after a reset. */
  readonly address: string | undefined;
  /**
   * The member of the last answer. Reads of v2 are local to a member, so a client that stays
   * sees its own writes.
   */
  endpoint: Endpoint | undefined;
  isDraining = false;
  /** Whether its last answer was sent: what else it sends is dropped. */
  isClosing = false;
  readonly #clock: Clock;
  readonly #listener: ClientListener;
  #current: ClientTask | undefined;
  /** Requests that were sent before the current one was answered. */
  readonly #queue: ClientTask[] = [];
  #cancelHead: (() => void) | undefined;

  constructor(clock: Clock, socket: TcpSocket, listener: ClientListener) {
    this.#clock = clock;
    this.#listener = listener;
    this.address = socket.remoteAddress;
    this.stream = new SocketStream(clock, socket, this);
  }

  /** Starts a request whose head has arrived, when those before it are over. */
  begin(task: ClientTask): void {
    this.#cancelTimer();
    if (this.#current === undefined) {
      this.#current = task;
      task.start();
      return;
    }
    this.#queue.push(task);
    // No more until these are answered: memory and order are bounded so.
    this.stream.hold(HoldReason.queue);
  }

  /** Starts the next request, after the current one is over. */
  finished(task: ClientTask): void {
    if (task !== this.#current) {
      const at = this.#queue.indexOf(task);
      if (at >= 0) this.#queue.splice(at, 1);
      return;
    }
    this.#current = this.#queue.shift();
    if (this.#queue.length === 0) this.stream.release(HoldReason.queue);
    if (this.#current !== undefined) this.#current.start();
    else if (this.isDraining) this.stream.destroySoon();
  }

  /** Whether no request is in progress. */
  get isIdle(): boolean {
    return this.#current === undefined;
  }

  /** Closes the connection once no request is in progress. */
  drain(): void {
    this.isDraining = true;
    if (this.#current === undefined) this.stream.destroySoon();
  }

  /** Resets the connection. */
  terminate(): void {
    this.stream.abort();
  }

  get descriptor(): number | undefined {
    return this.stream.descriptor;
  }

  // The events of the stream.

  received(): void {
    if (this.#current !== undefined || this.#cancelHead !== undefined) return;
    this.#cancelHead = this.#clock.after(HEAD_TIMEOUT_MS, () => this.terminate());
  }

  closed(): void {
    this.#cancelTimer();
    for (const task of this.#queue.splice(0)) task.cancel();
    this.#listener.clientClosed(this);
  }

  #cancelTimer(): void {
    this.#cancelHead?.();
    this.#cancelHead = undefined;
  }
}
