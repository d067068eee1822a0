// An HTTP/2 connection to a member, on which calls open streams. It checks that the member
// is alive; it dials nothing.
import { formatHostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import type { EndpointSpec } from "../core/endpoint-spec.ts";
import { type GrpcProxyConfig } from "../core/grpc-proxy-config.ts";
import { usesTls } from "../core/tls-config.ts";
import { Connection } from "../http2/connection.ts";
import type { ConnectionListener } from "../http2/connection-listener.ts";
import { headerValue, type HeaderList } from "../http2/header-list.ts";
import { Keepalive, type KeepaliveOptions } from "../http2/keepalive.ts";
import type { BufferedBytes } from "../http2/buffered-bytes.ts";
import type { Stream, StreamListener } from "../http2/stream.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import { describeTlsError } from "../resolver/tls-error.ts";

// As gRPC's clients send. etcd refuses what is not a host.
const UNIX_AUTHORITY = "localhost";

export interface SessionOptions {
  readonly clock: Clock;
  readonly buffered: BufferedBytes;
  readonly keepalive: KeepaliveOptions;
  /** Whether the connection is encrypted. */
  readonly isSecure: boolean;
}

export interface SessionDialOptions extends SessionOptions {
  /** Milliseconds from the dial to the first call that can begin. */
  readonly dialTimeoutMs: number;
}

/** Returns the options of a session to an endpoint. */
export function sessionOptions(
  spec: EndpointSpec,
  { tls, dialPings, dialTimeoutMs }: Pick<GrpcProxyConfig, "tls" | "dialPings" | "dialTimeoutMs">,
  { clock, buffered }: Pick<SessionOptions, "clock" | "buffered">,
): SessionDialOptions {
  const { timeMs, timeoutMs, permitWithoutStream } = dialPings;
  return {
    ...{ clock, buffered, dialTimeoutMs, isSecure: usesTls(spec, tls) },
    keepalive: { timeMs, timeoutMs, isWithoutStreams: permitWithoutStream },
  };
}

/** The events of a session. */
export interface SessionListener {
  /** The member speaks HTTP/2: calls may begin. */
  ready(session: Session): void;
  /** The member takes no new calls; those that it has go on. */
  goneAway(session: Session, reason: string): void;
  /** The session is over, and so are its calls. Called once. */
  closed(session: Session, reason: string): void;
  faulted(error: unknown): void;
}

export class Session implements ConnectionListener {
  readonly endpoint: Endpoint;
  readonly connection: Connection;
  /** Whether the connection is encrypted. */
  readonly isSecure: boolean;
  readonly #keepalive: Keepalive;
  readonly #listener: SessionListener;
  readonly #scheme: "http" | "https";
  readonly #authority: string;
  /** Header lists of clients, which repeat, and what the member is sent for them. */
  readonly #rewritten = new WeakMap<HeaderList, HeaderList>();

  constructor(endpoint: Endpoint, options: SessionOptions, listener: SessionListener) {
    const { clock, buffered, keepalive, isSecure } = options;
    this.endpoint = endpoint;
    this.#listener = listener;
    this.isSecure = isSecure;
    this.#scheme = isSecure ? "https" : "http";
    const { unixPath } = endpoint.spec;
    this.#authority = unixPath === undefined ? formatHostPort(endpoint.address) : UNIX_AUTHORITY;
    this.connection = new Connection(
      { role: "client", clock, buffered, maxConcurrentStreams: 0, minPingMs: 0 },
      this,
    );
    this.#keepalive = new Keepalive(clock, this.connection, keepalive);
  }

  /** Whether a call can begin now. */
  get canOpen(): boolean {
    return this.connection.canOpen;
  }

  /** Begins a call: opens a stream with the client's header list. */
  open(list: HeaderList, isEnd: boolean, listener: StreamListener): Stream {
    let rewritten = this.#rewritten.get(list);
    if (rewritten === undefined) {
      rewritten = this.#rewrite(list);
      this.#rewritten.set(list, rewritten);
    }
    return this.connection.open(rewritten, isEnd, listener);
  }

  /** The fields that name the proxy name the member instead. */
  #rewrite(list: HeaderList): HeaderList {
    const rewritten = [...list];
    for (let i = 0; i < rewritten.length; i += 2) {
      if (rewritten[i] === ":authority") rewritten[i + 1] = this.#authority;
      else if (rewritten[i] === ":scheme") rewritten[i + 1] = this.#scheme;
    }
    if (headerValue(list, ":authority") === undefined)
      rewritten.unshift(":authority", this.#authority);
    return rewritten;
  }

  /** Begins no more calls, and closes when the last has ended. */
  drain(): void {
    this.connection.drain();
  }

  /** Ends the session and its calls. May be called twice. */
  terminate(reason: string): void {
    this.connection.terminate(reason);
  }

  // The events of the connection.

  ready(): void {
    this.#keepalive.start();
    this.#listener.ready(this);
  }

  /** A member opens no streams: it must not push. */
  request(): StreamListener {
    throw new Error("a server opened a stream");
  }

  goneAway(code: number, debugData: string): void {
    this.#listener.goneAway(this, debugData === "" ? `GOAWAY ${code}` : debugData);
  }

  emptied(): void {}

  closed(reason: string): void {
    this.#keepalive.close();
    this.#listener.closed(this, reason);
  }

  released(): void {}

  faulted(error: unknown): void {
    this.#listener.faulted(error);
  }
}

/** Adds what is likely wrong to the reason for which a session ended before it was ready. */
export function describeFailure({ isSecure }: Session, reason: string): string {
  // Under TLS 1.3, a server refuses a client certificate after the handshake.
  const [, alert] = /\((ERR_SSL_\w+)\)$/.exec(reason) ?? [];
  if (alert !== undefined)
    return `${describeTlsError({ code: alert, message: "connection lost" })} (${alert})`;
  const isCut = /^(closed by peer|connection lost)/.test(reason);
  return isCut && !isSecure
    ? `${reason}; if the member speaks TLS, its endpoint must begin with https://`
    : reason;
}
