// A client's connection: finds out whether it speaks HTTP/2 or HTTP/1.1, and serves the
// streams that it opens. gRPC calls go to members; other requests are answered here.
import { type Clock, noTimer } from "../core/clock.ts";
import type { SocketOwner, TcpSocket } from "../net/tcp-socket.ts";
import { TlsHandshake } from "../net/tls-handshake.ts";
import type { TlsSettings } from "../core/tls.ts";
import { Connection } from "../http2/connection.ts";
import type { ConnectionListener } from "../http2/connection-listener.ts";
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import { Keepalive } from "../http2/keepalive.ts";
import { PREFACE } from "../http2/protocol.ts";
import type { BufferedBytes } from "../http2/buffered-bytes.ts";
import type { Stream, StreamListener } from "../http2/stream.ts";
import type { ClientRequest } from "./calls.ts";
import type { HttpRoutes } from "./http-routes.ts";
import { Http1Client } from "./http1-client.ts";
import { PlainRequest } from "./plain-request.ts";
import { CountedBytes } from "./memory-ceiling.ts";
import type { RevisionFloor } from "./ordering.ts";

/** Limits and pings of clients, in milliseconds. Read when a client connects. */
export interface ClientLimits {
  readonly maxConcurrentStreams: number;
  readonly clientPings: {
    readonly minTimeMs: number;
    readonly intervalMs: number;
    readonly timeoutMs: number;
  };
}

export interface ClientParts {
  readonly clock: Clock;
  readonly buffered: BufferedBytes;
  readonly limits: () => ClientLimits;
  readonly routes: HttpRoutes;
  /** Returns the settings of the next handshake; undefined: clients do not speak TLS. */
  readonly tlsSettings: () => TlsSettings | undefined;
  readonly listener: ClientListener;
}

/** What a client's connection asks of its proxy. */
export interface ClientListener {
  /** A client calls an RPC. Returns who receives the stream's events. */
  call(stream: Stream, request: ClientRequest, client: Client): StreamListener;
  /** A client at this address was not served, since it does or does not speak TLS as it should. */
  rejected(address: string, reason: string): void;
  /** The connection is closed. */
  clientClosed(client: Client): void;
  faulted(error: unknown): void;
}

// As etcd's listener.
const HANDSHAKE_TIMEOUT_MS = 10_000;

// The type of a TLS record (RFC 8446, section 5.1), the first byte of a client that speaks TLS.
// Neither HTTP/2 nor HTTP/1 begins with it.
const TLS_HANDSHAKE = 0x16;
const NO_TLS = "the client speaks TLS; set --cert-file and --key-file, or --auto-tls";

// Time for the first byte. Without it, idle connections would be free.
const FIRST_BYTE_TIMEOUT_MS = 10_000;

export class Client implements SocketOwner, ConnectionListener, RevisionFloor {
  revision = 0;
  readonly #parts: ClientParts;
  readonly #held: CountedBytes;
  /** Undefined until the TLS handshake is over. */
  #socket: TcpSocket | undefined;
  /** What arrived, while it does not show the protocol. */
  #firstByte: Uint8Array | undefined;
  #connection: Connection | undefined;
  #keepalive: Keepalive | undefined;
  /** Cancels the timer of the first bytes, or aborts the handshake. */
  #cancelTimer = noTimer;

  /** Stores; `start` takes the socket over. */
  constructor(parts: ClientParts) {
    this.#parts = parts;
    this.#held = new CountedBytes(parts.buffered);
  }

  /** Takes over an accepted socket. The listener may be called before this returns. */
  start(socket: TcpSocket): void {
    const settings = this.#parts.tlsSettings();
    if (settings === undefined) this.#cancelTimer = this.#serve(socket);
    else this.#secure(socket, settings);
  }

  /** Waits for the first bytes of plaintext. Returns the function that cancels their timeout. */
  #serve(socket: TcpSocket): () => void {
    this.#socket = socket;
    socket.data = this;
    return this.#parts.clock.after(FIRST_BYTE_TIMEOUT_MS, () => socket.terminate());
  }

  #secure(socket: TcpSocket, settings: TlsSettings): void {
    const { clock, listener } = this.#parts;
    const address = socket.remoteAddress;
    const options = { settings, timeoutMs: HANDSHAKE_TIMEOUT_MS };
    const handshake = new TlsHandshake(clock, options, {
      secured: (secured) => {
        this.#cancelTimer = this.#serve(secured);
      },
      failed: ({ code, message }) => {
        listener.rejected(address, `${message} (${code})`);
        listener.clientClosed(this);
      },
    });
    this.#cancelTimer = () => handshake.abort();
    handshake.start(socket);
  }

  /** The streams that are open. */
  get streamCount(): number {
    return this.#connection?.streamCount ?? 0;
  }

  /** Whether it has been sent everything, but perhaps has not read it. */
  get isShut(): boolean {
    return this.#connection?.isShut === true;
  }

  get heldBytes(): number {
    return this.#held.bytes;
  }

  /** Its IP address; undefined if the connection is lost, or was not secured. */
  get address(): string | undefined {
    return this.#socket?.remoteAddress;
  }

  /** Its file descriptor; undefined during the TLS handshake. */
  get descriptor(): number | undefined {
    return this.#socket?.fd;
  }

  /** Takes no new calls, and closes when the last has ended. */
  drain(): void {
    if (this.#connection === undefined) this.terminate();
    else this.#connection.drain();
  }

  /** Ends the connection and its calls. May be called twice. */
  terminate(): void {
    if (this.#connection !== undefined) this.#connection.terminate("shutdown");
    else if (this.#socket !== undefined) this.#socket.terminate();
    else this.#over();
  }

  // The events of the socket, until the protocol is known.

  opened(): void {}

  received(chunk: Uint8Array): void {
    const first = this.#firstByte === undefined ? chunk : Buffer.concat([this.#firstByte, chunk]);
    if (first[0] === PREFACE[0] && first.length === 1) {
      // PRI, or PUT and POST.
      this.#firstByte = first;
      return;
    }

    this.#firstByte = undefined;
    this.#cancelTimer();
    this.#cancelTimer = noTimer;
    if (first[0] === TLS_HANDSHAKE && this.#parts.tlsSettings() === undefined) {
      this.#parts.listener.rejected(this.#socket!.remoteAddress, NO_TLS);
      this.#socket!.terminate();
      return;
    }
    const isHttp2 = first[0] === PREFACE[0] && first[1] === PREFACE[1];
    const owner = isHttp2 ? this.#speakHttp2() : this.#speakHttp1();
    const socket = this.#socket!;
    socket.data = owner;
    owner.opened(socket);
    owner.received(first);
  }

  writable(): void {}

  ended(): void {
    this.#socket!.terminate();
  }

  /** Also the event of the connection, which then closes the socket. */
  closed(): void {
    this.#keepalive?.close();
    if (this.#connection === undefined) this.#over();
  }

  released(): void {
    this.#over();
  }

  #over(): void {
    this.#cancelTimer();
    this.#parts.listener.clientClosed(this);
  }

  #speakHttp1(): Http1Client {
    const { routes, clock } = this.#parts;
    return new Http1Client({ routes, clock, buffered: this.#held }, () => this.#over());
  }

  #speakHttp2(): Connection {
    const { clock, limits } = this.#parts;
    const { maxConcurrentStreams, clientPings } = limits();
    const connection = new Connection(
      ...([
        {
          role: "server" as const,
          clock,
          buffered: this.#held,
          maxConcurrentStreams,
          minPingMs: clientPings.minTimeMs,
        },
        this,
      ] as const),
    );
    this.#connection = connection;
    this.#keepalive = new Keepalive(clock, connection, {
      timeMs: clientPings.intervalMs,
      timeoutMs: clientPings.timeoutMs,
      isWithoutStreams: true,
    });
    return connection;
  }

  // The events of the connection.

  ready(): void {
    this.#keepalive!.start();
  }

  request(stream: Stream, list: HeaderList, isEnd: boolean): StreamListener {
    const contentType = headerValue(list, "content-type") ?? "";
    if (contentType.startsWith("application/grpc"))
      return this.#parts.listener.call(stream, { list, isEnd }, this);
    const { routes } = this.#parts;
    const faulted = (error: unknown) => this.faulted(error);
    const plain = new PlainRequest(stream, list, { routes, buffered: this.#held, faulted });
    if (isEnd) plain.ended();
    return plain;
  }

  goneAway(): void {}

  emptied(): void {}

  faulted(error: unknown): void {
    this.#parts.listener.faulted(error);
  }
}
