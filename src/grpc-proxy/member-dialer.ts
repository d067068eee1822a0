// Opens connections to members: TCP by the resolver, then TLS if the member has it.
import type { Clock } from "../core/clock.ts";
import { dialOf } from "../core/endpoint-spec.ts";
import { type EtcdTls, usesTls } from "../core/tls-config.ts";
import { DialError } from "../net/dial-error.ts";
import type { DialEvents } from "../net/dial.ts";
import { type TlsError, TlsHandshake, type TlsHandshakeOptions } from "../net/tls-handshake.ts";
import type { TcpSocket } from "../net/tcp-socket.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { Dialer } from "../resolver/failover.ts";
import { describeTlsError } from "../resolver/tls-error.ts";
import type { ProxyTls } from "./proxy-tls.ts";

/** The part of the configuration that it reads at each dial. */
export interface MemberDialerConfig {
  readonly tls: EtcdTls;
  /** For the connection and the handshake together. */
  readonly dialTimeoutMs: number;
}

export class MemberDialer implements Dialer<TcpSocket> {
  readonly #tcp: Dialer<TcpSocket>;
  readonly #clock: Clock;
  readonly #tls: ProxyTls;
  readonly #config: () => MemberDialerConfig;

  constructor(
    tcp: Dialer<TcpSocket>,
    clock: Clock,
    tls: ProxyTls,
    config: () => MemberDialerConfig,
  ) {
    this.#tcp = tcp;
    this.#clock = clock;
    this.#tls = tls;
    this.#config = config;
  }

  get hedgeBudget(): Dialer<TcpSocket>["hedgeBudget"] {
    return this.#tcp.hedgeBudget;
  }

  dial(endpoint: Endpoint, events: DialEvents): () => void {
    const { tls, dialTimeoutMs } = this.#config();
    if (!usesTls(endpoint.spec, tls)) return this.#tcp.dial(endpoint, events);

    const deadline = this.#clock.now() + dialTimeoutMs;
    let abort = () => {};
    let isAborted = false;
    // The settings come first: a socket must not be idle while files are read.
    this.#tls.memberSettings(tls, endpoint.spec.certificateNames).then(
      (settings) => {
        if (isAborted) return;
        abort = this.#tcp.dial(endpoint, {
          connected: (socket) => {
            const timeoutMs = Math.max(1, deadline - this.#clock.now());
            abort = this.#secure(socket, endpoint, { settings, timeoutMs }, events);
          },
          failed: (error) => events.failed(error),
        });
      },
      (error: Error) => {
        if (!isAborted) events.failed(new DialError(dialOf(endpoint.spec), error.message));
      },
    );
    return () => {
      isAborted = true;
      abort();
    };
  }

  /** Performs the handshake. The function returned aborts it. */
  #secure(
    socket: TcpSocket,
    { spec }: Endpoint,
    options: TlsHandshakeOptions,
    events: DialEvents,
  ): () => void {
    const handshake = new TlsHandshake(this.#clock, options, {
      secured: (secured, { alpnProtocol }) => {
        if (alpnProtocol === "h2") {
          events.connected(secured);
          return;
        }
        secured.terminate();
        events.failed(new DialError(`${dialOf(spec)}: TLS`, "the server does not offer HTTP/2"));
      },
      failed: (error) => events.failed(new DialError(`${dialOf(spec)}: TLS`, describe(error))),
    });
    handshake.start(socket);
    return () => handshake.abort();
  }
}

/** Words for operators, and the code to search for. */
function describe(error: TlsError): string {
  const words = describeTlsError(error);
  return words.includes(error.code) ? words : `${words} (${error.code})`;
}
