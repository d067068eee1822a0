// TLS connections as the proxy makes them, in the test's process: a listener, and dials.
// Both ends are peers, which check each byte that they receive.
import { readdirSync, readlinkSync } from "node:fs";
import type { TlsSettings } from "../../src/core/tls.ts";
import type { Clock } from "../../src/core/clock.ts";
import { Listener } from "../../src/net/listener.ts";
import { adoptConnecting, type SocketOwner, type TcpSocket } from "../../src/net/tcp-socket.ts";
import { type TlsError, TlsHandshake, type TlsSession } from "../../src/net/tls-handshake.ts";
import { systemClock } from "../../src/os/clock.ts";
import * as system from "../../src/os/tcp.ts";
import { Peer, until } from "./peer.ts";

/**
 * Returns a function that waits until no more sockets and pipes are open than now. Bun
 * closes them late, which would disturb a later test that counts descriptors.
 */
export function socketsClosed(): () => Promise<void> {
  const before = countSockets();
  return () => until(() => countSockets() <= before, "every socket was closed");
}

function countSockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return /^(socket|pipe):/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false; // readdirSync's own descriptor, closed by now
    }
  }).length;
}

/** A peer as the owner of a socket. */
class PeerOwner implements SocketOwner {
  readonly peer = new Peer();
  /** The errors that ended the connection. */
  readonly errors: Error[] = [];

  constructor(socket: TcpSocket) {
    this.peer.attach(socket as unknown as Bun.Socket<Peer>);
  }

  opened(): void {}

  received(chunk: Uint8Array): void {
    this.peer.take(chunk);
  }

  writable(): void {
    this.peer.flush();
  }

  ended(): void {
    this.peer.ended();
  }

  closed(error: Error | undefined): void {
    if (error !== undefined) this.errors.push(error);
    this.peer.closed(error as { code?: string } | undefined);
  }
}

/** One end of a secured connection. */
export interface SecuredEnd {
  readonly peer: Peer;
  readonly session: TlsSession;
  readonly errors: readonly Error[];
}

function securedEnd(socket: TcpSocket, session: TlsSession): SecuredEnd {
  const owner = new PeerOwner(socket);
  socket.data = owner;
  return { peer: owner.peer, session, errors: owner.errors };
}

export interface TlsListenerOptions {
  readonly clock?: Clock;
  readonly timeoutMs?: number;
}

/** Listens on a free port of loopback, and starts a TLS handshake with each client. */
export class TlsListener {
  readonly secured: SecuredEnd[] = [];
  readonly failures: TlsError[] = [];
  readonly handshakes: TlsHandshake[] = [];
  /** Called for each verified client, before its first byte is read. */
  onSecured: (end: SecuredEnd) => void = () => {};
  readonly port: number;
  readonly #listener: Listener;

  /** `settings` is called for each client. */
  constructor(settings: () => TlsSettings, options: TlsListenerOptions = {}) {
    const { clock = systemClock, timeoutMs = 10_000 } = options;
    this.#listener = new Listener(system, (client) => {
      const handshakeOptions = { settings: settings(), timeoutMs };
      const handshake = new TlsHandshake(clock, handshakeOptions, {
        secured: (socket, session) => {
          const end = securedEnd(socket, session);
          this.secured.push(end);
          this.onSecured(end);
        },
        failed: (error) => this.failures.push(error),
      });
      this.handshakes.push(handshake);
      handshake.start(client);
    });
    const listenOptions = {
      keepAliveMs: 0,
      reusePort: false,
      inherited: undefined,
      isForTls: true,
    };
    this.port = this.#listener.start({ host: "127.0.0.1", port: 0 }, listenOptions).port;
  }

  /** Resolves with the verified client number `index`. */
  async client(index = 0): Promise<SecuredEnd> {
    await until(() => this.secured.length > index, `client ${index} was verified`);
    return this.secured[index]!;
  }

  /** Resolves with the code of the failed handshake number `index`. */
  async failure(index = 0): Promise<TlsError> {
    await until(() => this.failures.length > index, `handshake ${index} failed`);
    return this.failures[index]!;
  }

  close(): void {
    this.#listener.close();
    for (const handshake of this.handshakes) handshake.abort();
    for (const { peer } of this.secured) peer.reset();
  }
}

/** Dials a port of loopback and performs a handshake. Rejects with its TlsError. */
export function dialTls(
  port: number,
  settings: TlsSettings,
  options: TlsListenerOptions = {},
): Promise<SecuredEnd> {
  const { promise, resolve, reject } = Promise.withResolvers<SecuredEnd>();
  const { clock = systemClock, timeoutMs = 10_000 } = options;
  const handshake = new TlsHandshake(
    clock,
    { settings, timeoutMs },
    {
      secured: (socket, session) => resolve(securedEnd(socket, session)),
      failed: reject,
    },
  );
  let socket: TcpSocket;
  adoptConnecting(system.startConnect("127.0.0.1", port), {
    opened: (opened) => {
      socket = opened;
    },
    writable: () => handshake.start(socket),
    received: () => reject(new Error("the dial received data before the handshake")),
    ended: () => reject(new Error("the dial ended before the handshake")),
    closed: (error) => reject(error ?? new Error("the dial was closed")),
  });
  return promise;
}
