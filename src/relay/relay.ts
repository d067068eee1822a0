// Two sockets joined by two flows, from the client's arrival until both are
// closed. It owns both sockets: nobody else closes them.
//
// How it ends: each FIN is passed on behind the last byte, and Bun closes a
// socket once both its FINs have passed. A reset is passed on as a reset, but
// only when all that came before it has reached the other side.
import { formatHostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { Ending, StallTimeout } from "./stall-timeout.ts";
import { Flow, type FlowDeps, type FlowEvents } from "./flow.ts";
import type { Holder } from "./buffer-limit.ts";
import type { RelayEnd } from "./relay-end.ts";
import type { Watched } from "./idle-timeout.ts";
import type { TcpSocket, TcpSystem } from "../net/tcp-socket.ts";

/** What all relays share. */
export interface RelayDeps extends FlowDeps {
  readonly clock: Clock;
  readonly endings: StallTimeout;
  readonly system: FlowDeps["system"] & Pick<TcpSystem, "unsentBytes" | "hasVanished" | "isReset">;
  /** Called once for each relay, when its last socket is closed. */
  readonly onClosed: (relay: Relay) => void;
}

// A reset waits for acknowledgements, which tell nobody: look again after 1 ms,
// and ever less often up to this.
const MAX_RESET_POLL_MS = 100;

export class Relay implements FlowEvents, Ending, Holder, Watched {
  /** What to abort if the client goes before it was joined; the caller's to set and clear. */
  dialing: { abort(): void } | undefined;
  /** What ended it, once something has; in an orderly end the first FIN. */
  end: RelayEnd | undefined;
  #isTerminated = false;
  /** On the clock. */
  readonly acceptedAt: number;
  joinedAt: number | undefined;
  #clientAddress: string | undefined;
  readonly #deps: RelayDeps;
  readonly #clientFlow: Flow;
  #serverFlow: Flow | undefined;
  // Undefined once closed: a closed socket's descriptor may be somebody else's.
  #client: TcpSocket | undefined;
  #server: TcpSocket | undefined;
  #cancelResetPoll: (() => void) | undefined;

  /** Takes over an accepted client. Until `join`, one chunk of its bytes is held at most. */
  constructor(client: TcpSocket, deps: RelayDeps) {
    this.#client = client;
    this.#deps = deps;
    this.acceptedAt = deps.clock.now();
    this.#clientFlow = new Flow(client, this, deps);
    client.data = this.#clientFlow;
  }

  /** Keeps the client's address for when it has gone: a reset takes it away before `closed` comes. */
  rememberClient(): void {
    this.#clientAddress = this.clientAddress;
  }

  /** `host:port` of the client while it is there, and after that if it was to be remembered. */
  get clientAddress(): string | undefined {
    if (this.#clientAddress !== undefined) return this.#clientAddress;
    const host: string | undefined = this.#client?.remoteAddress;
    return host && formatHostPort({ host, port: this.#client!.remotePort });
  }

  /** Takes over a connected server socket; bytes move from now on. The client must not be closed. */
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

  /** Bytes that the server's kernel has taken, and the client's. */
  get bytesToServer(): number {
    return this.#clientFlow.deliveredBytes;
  }

  get bytesToClient(): number {
    return this.#serverFlow?.deliveredBytes ?? 0;
  }

  /** Resets both sockets, whatever is still owed. May be called at any time, also twice. */
  terminate(why: RelayEnd): void {
    if (!this.#isTerminated) this.end = why;
    this.#isTerminated = true;
    this.#client?.terminate();
    this.#server?.terminate();
  }

  get bufferedBytes(): number {
    return this.#clientFlow.bufferedBytes + (this.#serverFlow?.bufferedBytes ?? 0);
  }

  progress(): number | undefined {
    if (this.dialing !== undefined) return undefined; // the dial has a deadline of its own
    const clientFlow = this.#clientFlow;
    const serverFlow = this.#serverFlow;
    const unsent = this.#unsentBytes(this.#client) + this.#unsentBytes(this.#server);
    const owed = unsent + clientFlow.pendingBytes + (serverFlow?.pendingBytes ?? 0);
    const isWhole = this.#client !== undefined && this.#server !== undefined;
    // Half-closed with nothing owed is a state that may last: a reply may come.
    if (owed === 0 && isWhole) return undefined;
    return clientFlow.deliveredBytes + (serverFlow?.deliveredBytes ?? 0) - unsent;
  }

  receivedBytes(): number | undefined {
    if (this.#serverFlow === undefined) return undefined;
    return receivedBy(this.#clientFlow) + receivedBy(this.#serverFlow);
  }

  isClientGone(silentMs: number): boolean {
    const client = this.#client;
    return client !== undefined && this.#deps.system.hasVanished(client.fd, silentMs);
  }

  /** Whether the client has reset its connection, and nothing that it sent before is owed. */
  get isAbandoned(): boolean {
    const client = this.#client;
    // Behind both FINs a connection that is over looks just so.
    if (client === undefined || this.#serverFlow?.isFinished === true) return false;
    if (!this.#deps.system.isReset(client.fd)) return false;
    return this.#clientFlow.pendingBytes === 0 && this.#unsentBytes(this.#server) === 0;
  }

  sourceEnded(flow: Flow): void {
    this.end ??= flow === this.#clientFlow ? "client_closed" : "server_closed";
    this.#deps.endings.watch(this);
  }

  sinkFailed(flow: Flow): void {
    flow.reverse!.sourceDied();
    this.#deps.endings.watch(this);
  }

  sourceClosed(flow: Flow, error: Error | undefined): void {
    if (flow === this.#clientFlow) this.#client = undefined;
    else this.#server = undefined;
    if (this.#client === undefined && this.#server === undefined) {
      this.#close();
      return;
    }
    this.#deps.endings.watch(this);
    // Both FINs have passed only if ours was sent. The error alone does not
    // tell: the reset behind a write that found the peer dead shows none, and
    // nor does one of our own.
    const isClean = error === undefined && flow.reverse!.isFinished && !this.#isTerminated;
    if (isClean) {
      flow.ended();
      return;
    }
    this.#noteReset(flow);
    flow.reverse!.discard();
    flow.reset();
  }

  /** The other side's socket is then closed by us, which is no second end. */
  #noteReset(flow: Flow): void {
    if (!this.#isTerminated) this.end = flow === this.#clientFlow ? "client_reset" : "server_reset";
    this.#isTerminated = true;
  }

  resetDue(flow: Flow): void {
    const sink = flow === this.#clientFlow ? this.#server : this.#client;
    if (sink !== undefined) this.#resetWhenAcknowledged(sink, 1);
  }

  /** A reset throws away what the kernel still has to send, so it must have nothing. */
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
    this.#deps.endings.forget(this);
    const { dialing } = this;
    this.dialing = undefined;
    dialing?.abort();
    this.#deps.onClosed(this);
  }
}

function receivedBy({ deliveredBytes, pendingBytes }: Flow): number {
  return deliveredBytes + pendingBytes;
}
