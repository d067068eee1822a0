// Finds out for `grpc-proxy check` whether members take calls: opens a session to each, as
// the proxy does, and sends no call.
import type { Clock } from "../core/clock.ts";
import type { GrpcProxyConfig } from "../core/grpc-proxy-config.ts";
import type { TcpSocket } from "../net/tcp-socket.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { Dialer } from "../resolver/failover.ts";
import { PassiveHealth } from "../resolver/passive-health.ts";
import { Pool } from "../resolver/pool.ts";
import { MemberDialer } from "./member-dialer.ts";
import type { ProxyTls } from "./proxy-tls.ts";
import { sessionOptions } from "./session.ts";
import { Sessions } from "./sessions.ts";

export interface MemberProbeParts {
  readonly clock: Clock;
  readonly tls: ProxyTls;
  /** Opens TCP connections. */
  readonly tcp: Dialer<TcpSocket>;
}

export class MemberProbe {
  readonly #sessions: Sessions;

  /** Opens nothing; `probe` does. */
  constructor(config: GrpcProxyConfig, { clock, tls, tcp }: MemberProbeParts) {
    // It is empty, so that no lost session is opened again.
    const pool = new Pool(config.policy);
    const probe = () => () => {};
    const buffered = { add: () => {}, mayGrow: true };
    this.#sessions = new Sessions({
      ...{ clock, pool, health: new PassiveHealth(pool, clock, { probe }, config.retryDelayMs) },
      dialer: new MemberDialer(tcp, clock, tls, () => config),
      options: ({ spec }) => sessionOptions(spec, config, { clock, buffered }),
    });
  }

  /** Opens a session, which stays until `close`. The function returned ignores the result. */
  probe(endpoint: Endpoint, done: (error: Error | undefined) => void): () => void {
    return this.#sessions.probe(endpoint, done);
  }

  /** Ends all sessions. May be called twice. */
  close(): void {
    this.#sessions.close();
  }
}
