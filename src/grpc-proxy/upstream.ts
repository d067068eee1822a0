// The members: which there are, the sessions to them, and the calls that wait for one. It
// assembles these parts and owns them. It knows no client.
import type { GrpcProxyConfig } from "../core/grpc-proxy-config.ts";
import { StartError } from "../core/start-error.ts";
import type { Clock } from "../core/clock.ts";
import type { BufferedBytes } from "../http2/buffered-bytes.ts";
import type { TcpSystem } from "../net/tcp-socket.ts";
import type { Logger } from "../observe/log.ts";
import type { Network } from "../resolver/cluster-io.ts";
import { Cluster, type ClusterListener } from "../resolver/cluster.ts";
import type { Endpoint } from "../resolver/endpoint.ts";
import type { IsSelf } from "../resolver/self-address.ts";
import { SrvError } from "../resolver/srv.ts";
import { MemberDialer } from "./member-dialer.ts";
import type { ProxyTls } from "./proxy-tls.ts";
import { type Session, sessionOptions } from "./session.ts";
import { Sessions, type SessionsListener } from "./sessions.ts";
import { type WaitingCall, WaitingCalls } from "./waiting-calls.ts";

/** The parts of the machine that it uses. */
export interface UpstreamParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly network: Network;
  readonly system: TcpSystem;
  /** Returns a random number from 0 to 1. */
  readonly random: () => number;
  readonly isSelf: IsSelf;
  readonly buffered: BufferedBytes;
  readonly tls: ProxyTls;
}

export interface UpstreamListener {
  /** Endpoints were added, removed or changed. */
  endpointsChanged(): void;
  /** A handler of a call threw `error`; the call was reset. */
  faulted(error: unknown): void;
}

// Members that are down are dialled every second by default, which is not worth a line each.
const STILL_DOWN_MS = 60_000;

export class Upstream implements ClusterListener, SessionsListener {
  readonly cluster: Cluster;
  readonly #parts: UpstreamParts;
  readonly #log: Logger;
  #config: GrpcProxyConfig;
  readonly #sessions: Sessions;
  readonly #waiting: WaitingCalls;
  #listener: UpstreamListener | undefined;
  /** Removed endpoints whose calls may still finish, with the function that cancels their end. */
  readonly #removed = new Map<Endpoint, () => void>();
  #isClosed = false;

  /** Opens nothing; `start` does. */
  constructor(config: GrpcProxyConfig, parts: UpstreamParts) {
    const { clock, network, system, random, isSelf } = parts;
    this.#config = config;
    this.#parts = parts;
    this.#log = parts.log.from("grpc-proxy/upstream.ts");
    this.cluster = new Cluster(config, {
      ...{ clock, log: parts.log, network, system, random, isSelf },
      stillDownMs: STILL_DOWN_MS,
    });
    const { cluster } = this;
    const { pool, health } = cluster;
    const dialer = new MemberDialer(cluster.dialer, clock, parts.tls, () => this.#config);
    this.#sessions = new Sessions({
      ...{ clock, pool, health, dialer },
      options: ({ spec }) => sessionOptions(spec, this.#config, parts),
    });
    this.#waiting = new WaitingCalls({
      clock,
      cluster: {
        ...{ pool, health, dialer: this.#sessions },
        refresh: () => cluster.refresh(),
        get hasDiscovery() {
          return cluster.hasDiscovery;
        },
      },
      attemptDelayMs: () => this.#config.attemptDelayMs,
    });
  }

  /**
   * Checks a configuration before it is applied.
   *
   * @throws {UsageError | StartError} as `Cluster.check`.
   */
  async check(config: GrpcProxyConfig): Promise<void> {
    await this.#parts.tls.checkMemberFiles(config.tls);
    await this.cluster.check(config);
  }

  /**
   * Finds the first endpoints.
   *
   * @throws {StartError} if there are none.
   */
  async start(listener: UpstreamListener): Promise<void> {
    this.#listener = listener;
    this.#sessions.start(this);
    try {
      await this.cluster.start(this);
    } catch (error) {
      throw error instanceof SrvError ? new StartError(error.message, { cause: error }) : error;
    }
  }

  /** Connects to the members, and follows changes of the cluster. */
  follow(): void {
    this.cluster.follow();
    this.#sessions.connectAll();
  }

  /** Applies another configuration. Sessions stay; new ones are opened with it. */
  async reconfigure(config: GrpcProxyConfig): Promise<void> {
    this.#config = config;
    await this.cluster.reconfigure(config);
  }

  /** Returns a session for a call; undefined if no member has one. */
  pick(): Session | undefined {
    return this.#sessions.pick();
  }

  /** Waits for a session for at most `timeoutMs`. The function returned cancels that. */
  wait(call: WaitingCall, timeoutMs: number): () => void {
    return this.#waiting.add(call, timeoutMs);
  }

  get waitingCalls(): number {
    return this.#waiting.size;
  }

  /** Open connections to members. */
  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Ends all sessions and their calls. May be called twice. */
  close(): void {
    this.#isClosed = true;
    for (const cancel of this.#removed.values()) cancel();
    this.#waiting.close();
    this.cluster.close();
    this.#sessions.close();
  }

  // The events of sessions.

  sessionReady(session: Session): void {
    this.#log.debug("connected to endpoint", { endpoint: session.endpoint.label });
    this.#waiting.release();
  }

  sessionClosed({ endpoint: { label } }: Session, reason: string): void {
    if (!this.#isClosed)
      this.#log.info("connection to endpoint ended", { endpoint: label, reason });
  }

  faulted(error: unknown): void {
    this.#listener!.faulted(error);
  }

  // The events of the cluster.

  reclaim(label: string): Endpoint | undefined {
    for (const [endpoint, cancel] of this.#removed) {
      if (endpoint.label !== label) continue;
      cancel();
      this.#removed.delete(endpoint);
      return endpoint;
    }
    return undefined;
  }

  endpointRemoved(endpoint: Endpoint): void {
    this.#sessions.drain(endpoint);
    const cancel = this.#parts.clock.after(this.#config.drainTimeoutMs, () => {
      this.#removed.delete(endpoint);
      this.#sessions.terminate(endpoint, "endpoint was removed");
    });
    this.#removed.set(endpoint, cancel);
  }

  endpointsChanged(): void {
    this.#sessions.connectAll();
    this.#listener!.endpointsChanged();
  }

  endpointUp(): void {
    this.#sessions.connectAll();
  }

  endpointFailing(endpoint: Endpoint): void {
    this.#sessions.terminate(endpoint, "endpoint is unhealthy");
  }

  /** A member whose TLS or HTTP/2 fails still accepts TCP connections. */
  probe(endpoint: Endpoint, done: (error: Error | undefined) => void): () => void {
    return this.#sessions.probe(endpoint, done);
  }
}
