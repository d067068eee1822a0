// Two sockets joined by two flows, from the client's arrival until both sockets
// are closed. The relay owns both; nothing else closes them.
//
// A FIN is passed on after the last byte, and Bun closes a socket once both its
// FINs have passed. A reset is passed on as a reset, but only after everything
// that came before it has reached the other side.
import { formatHostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { EndingRelay, StallTimeout } from "./stall-timeout.ts";
import { Flow, type FlowDeps, type FlowEvents } from "./flow.ts";
import type { BufferHolder } from "../net/buffer-limit.ts";
import type { RelayEnd } from "./relay-end.ts";
import type { ExpiringRelay } from "./idle-timeout.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";

/** Dependencies that all relays share. */
export interface RelayDeps extends FlowDeps {
  readonly clock: Clock;
  readonly stallTimeout: StallTimeout;
  readonly system: FlowDeps["system"] & Pick<TcpSystem, "unsentBytes" | "hasVanished" | "isReset">;
  readonly listener: RelayListener;
}

export interface RelayListener {
  /** The relay's last socket is closed. Called once. */
  closed(relay: Relay): void;
}

// A reset waits until the other peer has acknowledged all bytes. The kernel sends
// no event for that, so it is polled: after 1 ms, then doubling up to this.
const MAX_RESET_POLL_MS = 100;

export class Relay implements FlowEvents, EndingRelay, BufferHolder, ExpiringRelay {
  /** The dial to abort if the client leaves before `join`. The caller sets and clears it. */
  dialing: { abort(): void } | undefined;
  /** Why the relay ended: the first reset or `terminate`, or in an orderly end the first FIN. */
  end: RelayEnd | undefined;
  #isTerminated = false;
  /** Milliseconds on `deps.clock`, like `joinedAt`. */
  readonly acceptedAt: number;
  /** Undefined until `join`. */
  joinedAt: number | undefined;
  #clientAddress: string | undefined;
  readonly #deps: RelayDeps;
  readonly #clientFlow: Flow;
  #serverFlow: Flow | undefined;
  // Undefined once closed: the kernel may reuse a closed socket's descriptor.
  #client: TcpSocket | undefined;
  #server: TcpSocket | undefined;
  #cancelResetPoll: (() => void) | undefined;

  /** Takes over an accepted client. Until `join` it buffers at most 16 KiB plus one chunk. */
  constructor(client: TcpSocket, deps: RelayDeps) {
    this.#client = client;
    this.#deps = deps;
    this.acceptedAt = deps.clock.now();
    this.#clientFlow = new Flow(client, this, deps);
    client.data = this.#clientFlow;
  }

  /** Stores the client's address, which a reset removes from the socket before `closed` fires. */
  rememberClient(): void {
    this.#clientAddress = this.clientAddress;
  }

  /** The client's `host:port`; undefined once it is gone, unless `rememberClient` was called. */
  get clientAddress(): string | undefined {
    if (this.#clientAddress !== undefined) return this.#clientAddress;

    const host: string | undefined = this.#client?.remoteAddress;
    return host && formatHostPort({ host, port: this.#client!.remotePort });
  }

  /** Takes over a connected server socket and starts to relay. The client must not be closed. */
  join(server: TcpSocket): void {
    const serverFlow = new Flow(server, this, this.#deps);
    serverFlow.reverse = this.#clientFlow;
    this.#clientFlow.reverse = serverFlow;

    this.joinedAt = this.#deps.clock.now();
    this.#server = server;
    this.#serverFlow = serverFlow;

    server.data = serverFlow;
    serverFlow.connect(this.#client!);
    this.#clientFlow.connect(server);
  }

  /** Bytes delivered to the server's socket: taken by the kernel, perhaps not yet acknowledged. */
  get bytesToServer(): number {
    return this.#clientFlow.deliveredBytes;
  }

  /** Bytes delivered to the client's socket. */
  get bytesToClient(): number {
    return this.#serverFlow?.deliveredBytes ?? 0;
  }

  /** Resets both sockets, even if bytes are still owed. May be called at any time, also twice. */
  terminate(reason: RelayEnd): void {
    if (!this.#isTerminated) this.end = reason;
    this.#isTerminated = true;
    this.#client?.terminate();
    this.#server?.terminate();
  }

  get bufferedBytes(): number {
    return this.#clientFlow.bufferedBytes + (this.#serverFlow?.bufferedBytes ?? 0);
  }

  /**
   * Bytes that the peers have acknowledged so far. Undefined if there is nothing
   * to wait for: while dialing, and while both sockets are open and nothing is owed.
   */
  progress(): number | undefined {
    if (this.dialing !== undefined) return undefined; // the dial has its own deadline

    const clientFlow = this.#clientFlow;
    const serverFlow = this.#serverFlow;
    const unsent = this.#unsentBytes(this.#client) + this.#unsentBytes(this.#server);
    const owed = unsent + clientFlow.pendingBytes + (serverFlow?.pendingBytes ?? 0);
    const areBothOpen = this.#client !== undefined && this.#server !== undefined;
    // A half-closed relay with nothing owed may last: a reply may still come.
    if (owed === 0 && areBothOpen) return undefined;

    return clientFlow.deliveredBytes + (serverFlow?.deliveredBytes ?? 0) - unsent;
  }

  receivedBytes(): number | undefined {
    if (this.#serverFlow === undefined) return undefined;
    return receivedBy(this.#clientFlow) + receivedBy(this.#serverFlow);
  }

  hasClientVanished(silentMs: number): boolean {
    const client = this.#client;
    return client !== undefined && this.#deps.system.hasVanished(client.fd, silentMs);
  }

  /** Whether the client has reset its connection and the server owes no acknowledgement. */
  get isAbandoned(): boolean {
    const client = this.#client;
    // After both FINs, a closed connection looks the same as a reset one.
    if (client === undefined || this.#serverFlow?.isFinished === true) return false;

    if (!this.#deps.system.isReset(client.fd)) return false;
    return this.#clientFlow.pendingBytes === 0 && this.#unsentBytes(this.#server) === 0;
  }

  sourceEnded(flow: Flow): void {
    this.end ??= flow === this.#clientFlow ? "client_closed" : "server_closed";
    this.#deps.stallTimeout.watch(this);
  }

  sinkFailed(flow: Flow): void {
    flow.reverse!.sourceFailed();
    this.#deps.stallTimeout.watch(this);
  }

  sourceClosed(flow: Flow, error: Error | undefined): void {
    if (flow === this.#clientFlow) this.#client = undefined;
    else this.#server = undefined;
    if (this.#client === undefined && this.#server === undefined) {
      this.#close();
      return;
    }

    this.#deps.stallTimeout.watch(this);

    // Both FINs have passed only if ours was sent. A missing error does not prove
    // it: a reset that a write has met already shows none, nor does our own reset.
    const isClean = error === undefined && flow.reverse!.isFinished && !this.#isTerminated;
    if (isClean) {
      flow.ended();
      return;
    }

    this.#recordReset(flow);
    flow.reverse!.discard();
    flow.reset();
  }

  /** Records the reset as the end, which closing the other socket must not replace. */
  #recordReset(flow: Flow): void {
    if (!this.#isTerminated) this.end = flow === this.#clientFlow ? "client_reset" : "server_reset";
    this.#isTerminated = true;
  }

  resetDue(flow: Flow): void {
    const sink = flow === this.#clientFlow ? this.#server : this.#client;
    if (sink !== undefined) this.#resetWhenAcknowledged(sink, 1);
  }

  /** Resets `socket` once its kernel holds no unacknowledged bytes, because a reset drops them. */
  #resetWhenAcknowledged(socket: TcpSocket, pollMs: number): void {
    if (this.#unsentBytes(socket) === 0) {
      socket.terminate();
      return;
    }

    this.#cancelResetPoll = this.#deps.clock.after(pollMs, () =>
      this.#resetWhenAcknowledged(socket, Math.min(pollMs * 2, MAX_RESET_POLL_MS)),
    );
  }

  #unsentBytes(socket: TcpSocket | undefined): number {
    return socket === undefined ? 0 : this.#deps.system.unsentBytes(socket.fd);
  }

  #close(): void {
    this.#cancelResetPoll?.();
    this.#clientFlow.discard();
    this.#serverFlow?.discard();
    this.#deps.stallTimeout.unwatch(this);

    const { dialing } = this;
    this.dialing = undefined;
    dialing?.abort();
    this.#deps.listener.closed(this);
  }
}

function receivedBy({ deliveredBytes, pendingBytes }: Flow): number {
  return deliveredBytes + pendingBytes;
}
