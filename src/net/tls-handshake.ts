// Turns a connected TCP socket into a TLS connection, in either role. The connection's
// owner gets it after the handshake and the verification of the peer, so it sees plaintext
// of verified peers only. Which peers are accepted is decided by the settings.
import type { PeerCertificate } from "node:tls";
import type { Clock } from "../core/clock.ts";
import type { TlsFault, TlsSettings } from "../core/tls.ts";
import { handlersBeforeTls, type SocketOwner, type TcpSocket } from "./tcp-socket.ts";

/** A handshake or a TLS connection failed. */
export class TlsError extends Error {
  override name = "TlsError";

  /**
   * `code` is a verification result of OpenSSL (`CERT_HAS_EXPIRED`), `ERR_SSL_` and the
   * reason of a protocol error as in node:tls, or an errno's name.
   */
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** The certificate of a verified peer. */
export interface TlsIdentity {
  /** Empty if the subject has none. */
  readonly commonName: string;
  /** Upper-case hexadecimal. */
  readonly serialNumber: string;
}

/** What a handshake agreed on. */
export interface TlsSession {
  /** The protocol that ALPN selected; undefined: the client offered none. */
  readonly alpnProtocol: string | undefined;
  /** Such as `TLSv1.3`. */
  readonly version: string;
  /** Undefined: a client that was not asked for a certificate. */
  readonly peer: TlsIdentity | undefined;
}

/** Exactly one method is called, once, unless the handshake is aborted. It may be called before `start` returns. */
export interface TlsHandshakeEvents {
  /** The peer is verified. The receiver must give `socket` an owner, or terminate it, before it returns. */
  secured(socket: TcpSocket, session: TlsSession): void;
  /** The socket is closed, or will be closed without another event. */
  failed(error: TlsError): void;
}

export interface TlsHandshakeOptions {
  readonly settings: TlsSettings;
  readonly timeoutMs: number;
}

/** Errors after which Bun sends an alert and closes the socket itself. */
const BROKEN = new Set(["EPROTO", "ECONNRESET"]);

export class TlsHandshake implements SocketOwner {
  readonly #clock: Clock;
  readonly #options: TlsHandshakeOptions;
  readonly #events: TlsHandshakeEvents;
  #socket: TcpSocket | undefined;
  #cancelDeadline = () => {};
  #isSettled = false;

  constructor(clock: Clock, options: TlsHandshakeOptions, events: TlsHandshakeEvents) {
    this.#clock = clock;
    this.#options = options;
    this.#events = events;
  }

  /**
   * Starts the handshake on a connected socket, which must not be used any more: its
   * descriptor belongs to the socket that `secured` is called with.
   */
  start(socket: TcpSocket): void {
    const { settings, timeoutMs } = this.#options;
    this.#cancelDeadline = this.#clock.after(timeoutMs, () => {
      this.#fail(new TlsError("ETIMEDOUT", "the handshake timed out"));
      this.#socket?.terminate();
    });
    try {
      upgrade(socket, settings, this);
    } catch (error) {
      // The socket is closed already.
      this.#cancelDeadline();
      this.#fail(new TlsError("ECONNRESET", (error as Error).message));
      socket.terminate();
    }
  }

  /** Closes the socket without an event. Does nothing after the handshake. May be called twice. */
  abort(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#socket?.terminate();
  }

  /** For the handlers of this file only: ends the handshake with Bun's verdict. */
  handshaken(socket: TcpSocket, isComplete: boolean, fault: TlsFault | undefined): void {
    if (this.#isSettled) return;
    if (fault !== undefined && BROKEN.has(fault.code)) return this.#fail(brokenBy(fault));

    const verdict = this.#judge(socket, isComplete, fault);
    if ("code" in verdict) {
      this.#fail(new TlsError(verdict.code, verdict.message));
      socket.terminate();
      return;
    }

    this.#isSettled = true;
    this.#cancelDeadline();
    this.#events.secured(socket, verdict);
  }

  /** Returns the session with an accepted peer, or why the peer is refused. */
  #judge(
    socket: TcpSocket,
    isComplete: boolean,
    fault: TlsFault | undefined,
  ): TlsSession | TlsFault {
    // With a fault, a handshake also counts as incomplete if the fault is the name in SNI.
    if (!isComplete && fault === undefined) return { code: "ECONNRESET", message: CLOSED };
    try {
      return this.#options.settings.verify(socket, fault) ?? sessionOf(socket);
    } catch (error) {
      // node:tls throws for names in a certificate that it cannot parse.
      const { code = "ERR_TLS_CERT_UNREADABLE", message } = error as Error & { code?: string };
      return { code, message };
    }
  }

  opened(socket: TcpSocket): void {
    this.#socket = socket;
  }

  closed(error: Error | undefined): void {
    this.#cancelDeadline();
    const { code = "ECONNRESET" } = (error ?? {}) as { code?: string };
    this.#fail(new TlsError(code, CLOSED));
  }

  // Bun calls none of these before the handshake has ended.
  received(): void {}
  writable(): void {}
  ended(): void {}

  /** Reports a failure once. The deadline stays, in case that Bun does not close the socket. */
  #fail(error: TlsError): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#events.failed(error);
  }
}

const CLOSED = "the peer closed the connection during the handshake";

/** The owner of a connection that a TLS error broke, until Bun closes it. Passes only the error on. */
class BrokenConnection implements SocketOwner {
  readonly #owner: SocketOwner;
  readonly #error: TlsError;

  constructor(owner: SocketOwner, error: TlsError) {
    this.#owner = owner;
    this.#error = error;
  }

  closed(): void {
    this.#owner.closed(this.#error);
  }

  opened(): void {}
  received(): void {}
  writable(): void {}
  ended(): void {}
}

const handlers: Bun.SocketHandler<SocketOwner, "uint8array"> = {
  binaryType: "uint8array",
  open: (socket) => socket.data.opened(socket as TcpSocket),
  handshake: (socket, isComplete, error) => {
    const owner = socket.data;
    // Another owner: the peer negotiated again, under TLS 1.2.
    if (!(owner instanceof TlsHandshake)) return;
    owner.handshaken(socket as TcpSocket, isComplete, (error as TlsFault | null) ?? undefined);
  },
  data: (socket, chunk) => socket.data.received(chunk),
  drain: (socket) => socket.data.writable(),
  end: (socket) => socket.data.ended(),
  close: (socket, error) => socket.data.closed(error as Error | undefined),
  error: (socket, error) => {
    // A handler that throws also gets here. Rethrow, so that the bug is seen.
    if ((error as { code?: string }).code !== "EPROTO") throw error;
    // A record that cannot be decrypted, or an alert. `close` follows, without an error.
    socket.data = new BrokenConnection(socket.data, brokenBy(error as Error & TlsFault));
  },
};

/** Stands in for the owner of the plain socket, whose `close` Bun reports as well. */
const noOwner: SocketOwner = {
  opened() {},
  received() {},
  writable() {},
  ended() {},
  closed() {},
};

/** Gives the descriptor of `socket` to a TLS socket with `owner`. Throws if the socket is closed. */
function upgrade(socket: TcpSocket, { isServer, options }: TlsSettings, owner: SocketOwner): void {
  socket.data = noOwner;
  // Not for an accepted socket, whose handlers are those of its whole listener.
  if (!isServer) socket.reload({ socket: handlersBeforeTls });
  const upgradeOptions = { isServer, tls: options, data: owner, socket: handlers };
  socket.upgradeTLS(upgradeOptions as unknown as Bun.TLSUpgradeOptions<SocketOwner>);
}

/** Reads the reason from `error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER`. */
function brokenBy({ code, message }: TlsFault): TlsError {
  if (code !== "EPROTO") return new TlsError(code, CLOSED);
  const reason = /:([A-Z0-9_]+)$/.exec(message)?.[1];
  if (reason === undefined) return new TlsError(code, message);
  const words = PLAINTEXT[reason] ?? reason.toLowerCase().replaceAll("_", " ");
  return new TlsError(`ERR_SSL_${reason}`, words);
}

/** What OpenSSL's reasons mean to an operator whose peer does not speak TLS. */
const PLAINTEXT: Readonly<Record<string, string>> = {
  WRONG_VERSION_NUMBER: "the peer does not speak TLS",
  HTTP_REQUEST: "the peer speaks HTTP without TLS",
};

function sessionOf(socket: TcpSocket): TlsSession {
  const certificate: Partial<PeerCertificate> | null = socket.getPeerCertificate() ?? {};
  const { subject, serialNumber } = certificate;
  // The last one counts, as in Go, if the subject has several.
  const commonName = [subject?.CN ?? ""].flat().at(-1) ?? "";
  return {
    alpnProtocol: socket.alpnProtocol || undefined,
    version: socket.getTLSVersion(),
    peer: serialNumber === undefined ? undefined : { commonName, serialNumber },
  };
}
