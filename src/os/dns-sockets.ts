// Sockets for DNS: one connected UDP socket or one TCP connection for each exchange,
// closed when the exchange ends. Does not parse messages; it only adds and removes the
// length prefix that DNS uses over TCP.
import { isIPv6 } from "node:net";
import type { HostPort } from "../core/address.ts";
import { startConnect } from "./tcp.ts";

/** Implements exchangeUdp() of Transport, in dns/transport.ts. */
export function exchangeUdp(
  server: HostPort,
  query: Uint8Array,
  accepts: (answer: Uint8Array) => boolean,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  void openUdp(server, query, { accepts, resolve, reject }).then((socket) => {
    const close = () => socket.close();
    promise.then(close, close);
    if (signal.aborted) reject(aborted());
  }, reject);
  return untilAborted(promise, reject, signal);
}

interface UdpExchange {
  readonly accepts: (answer: Uint8Array) => boolean;
  readonly resolve: (answer: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

async function openUdp(
  { host, port }: HostPort,
  query: Uint8Array,
  { accepts, resolve, reject }: UdpExchange,
) {
  let isSent = false;
  const send = (socket: { send(data: Uint8Array): boolean }) => {
    try {
      isSent ||= socket.send(query);
    } catch (error) {
      reject(error as Error);
    }
  };
  const socket = await Bun.udpSocket({
    // Bun binds before it connects, and binds to IPv4 by default.
    hostname: isIPv6(host) ? "::" : "0.0.0.0",
    connect: { hostname: host, port },
    socket: {
      data: (_, answer) => {
        if (accepts(answer)) resolve(answer);
      },
      drain: send,
      // Bun 1.4.5 passes only the error (ECONNREFUSED for an ICMP "port unreachable"), while
      // its types declare the socket as the first argument.
      error: ((first: unknown, second?: unknown) => reject((second ?? first) as Error)) as never,
    },
  });
  send(socket);
  return socket;
}

/** Implements exchangeTcp() of Transport, in dns/transport.ts. */
export function exchangeTcp(
  server: HostPort,
  query: Uint8Array,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  try {
    const exchange = new TcpExchange(query, resolve, reject);
    const close = () => exchange.close();
    promise.then(close, close);
    exchange.open(server);
  } catch (error) {
    reject(error);
  }
  return untilAborted(promise, reject, signal);
}

class TcpExchange {
  /** The query with its length prefix (RFC 1035, section 4.2.2). */
  readonly #query: Uint8Array;
  readonly #resolve: (answer: Uint8Array) => void;
  readonly #reject: (error: Error) => void;
  #socket: Bun.Socket | undefined;
  #isClosed = false;
  #sentBytes = 0;
  /** The bytes received so far, including the length prefix. */
  #received = Buffer.alloc(0);

  constructor(
    query: Uint8Array,
    resolve: (answer: Uint8Array) => void,
    reject: (error: Error) => void,
  ) {
    this.#query = Buffer.concat([lengthOf(query), query]);
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /**
   * Starts to connect. The query is sent once the connection is established.
   *
   * @throws {SystemCallError} if no descriptor is free or there is no route to the server.
   */
  open({ host, port }: HostPort): void {
    // Bun.connect alone cannot be aborted and hides the reason of a failure.
    const fd = startConnect(host, port);
    const socket = Bun.connect({
      fd,
      allowHalfOpen: true,
      socket: {
        open: (opened: Bun.Socket) => {
          this.#socket = opened;
          if (this.#isClosed) opened.terminate();
        },
        drain: () => this.#send(),
        data: (_: Bun.Socket, chunk: Buffer) => this.#receive(chunk),
        end: () => this.#fail(undefined),
        close: (_: Bun.Socket, error?: Error) => this.#fail(error),
        error: (_: Bun.Socket, error: Error) => this.#reject(error),
      },
    } as unknown as Bun.TCPSocketConnectOptions<undefined>);
    socket.catch((error: Error) => this.#fail(error));
  }

  close(): void {
    this.#isClosed = true;
    this.#socket?.terminate();
  }

  /** Sends the rest of the query. Called once connected, then whenever the kernel takes more bytes. */
  #send(): void {
    if (this.#isClosed || this.#sentBytes === this.#query.length) return;
    const written = this.#socket!.write(this.#query.subarray(this.#sentBytes));
    if (written < 0) this.#fail(undefined);
    else this.#sentBytes += written;
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosed) return;
    this.#received = Buffer.concat([this.#received, chunk]);
    if (this.#received.length < 2) return;
    // The prefix limits a message to 65,535 bytes. Bytes after the message are ignored.
    const end = 2 + this.#received.readUInt16BE(0);
    if (this.#received.length >= end) this.#resolve(this.#received.subarray(2, end));
  }

  #fail(error: Error | undefined): void {
    this.#reject(error ?? withCode("the server closed the connection", "ECONNRESET"));
  }
}

function lengthOf(message: Uint8Array): Uint8Array {
  return Uint8Array.of(message.length >> 8, message.length & 0xff);
}

async function untilAborted(
  promise: Promise<Uint8Array>,
  reject: (error: Error) => void,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const abort = () => reject(aborted());
  signal.addEventListener("abort", abort);
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function aborted(): Error {
  return withCode("aborted", "ECANCELLED");
}

function withCode(message: string, code: string): Error {
  return Object.assign(new Error(message), { code });
}
