// Calls without sockets: a client and members, whose connections to the proxy's are joined in
// memory. Everything between them is the proxy's own.
import { Connection } from "../../src/http2/connection.ts";
import type { ConnectionListener } from "../../src/http2/connection-listener.ts";
import type { HeaderList } from "../../src/http2/header-list.ts";
import type { Stream, StreamListener } from "../../src/http2/stream.ts";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import type { CallMaker } from "../../src/grpc-proxy/call-parts.ts";
import { type CallRouting, Calls, type CallsConfig } from "../../src/grpc-proxy/calls.ts";
import type { GrpcStatus } from "../../src/grpc-proxy/grpc-status.ts";
import type { Rewriter } from "../../src/grpc-proxy/message-pipe.ts";
import { Session, type SessionListener } from "../../src/grpc-proxy/session.ts";
import type { WaitingCall } from "../../src/grpc-proxy/waiting-calls.ts";
import { createLog } from "../../src/observe/log.ts";
import { Endpoint } from "../../src/resolver/endpoint.ts";
import { Counter, End, join, settle } from "../http2/joined.ts";
import { ManualClock } from "../support/manual-clock.ts";

export interface SceneOptions {
  /** Bytes that a kernel holds. */
  readonly capacity?: number;
  readonly rewriter?: Rewriter;
  readonly maker?: CallMaker;
  readonly hasSerializableOrdering?: boolean;
  /** Receives the streams of members. */
  readonly onRequest: (stream: Stream, list: HeaderList, isEnd: boolean) => StreamListener;
}

/** A member, and the proxy's session to it. */
export interface MemberPair {
  readonly session: Session;
  readonly sessionEnd: End;
  readonly memberEnd: End;
}

/** The calls of one client, and the members that serve them. */
export class CallScene implements CallRouting, SessionListener {
  readonly clock = new ManualClock();
  readonly calls: Calls;
  readonly endpoint = new Endpoint(parseStaticEndpoint("127.0.0.1:2379"));
  readonly client: End;
  readonly clientBuffered = new Counter();
  readonly faults: unknown[] = [];
  readonly members: MemberPair[] = [];
  readonly waiting = new Set<WaitingCall>();
  /** Counts what the members hold. */
  readonly memberBuffered = new Counter();
  readonly #options: SceneOptions;
  readonly #proxy: End;
  readonly #caller = { revision: 0, address: "127.0.0.1", heldBytes: 0, terminate() {} };

  constructor(options: SceneOptions) {
    this.#options = options;
    const { capacity = 1_000_000, hasSerializableOrdering = false } = options;
    const config: CallsConfig = {
      hasSerializableOrdering,
      hasAccessLog: false,
      hasMessageLog: false,
      maxBufferBytes: 64 * 1024 * 1024,
      messages: { maxSendBytes: 4 * 1024 * 1024, maxRecvBytes: 4 * 1024 * 1024 },
    };
    const write = () => true;
    const log = createLog({ level: "error", format: "json", write, now: () => 0 });
    this.calls = new Calls(config, this.clock, log);
    this.calls.start(this, []);
    this.client = new End(this.#connection("client", this.clientBuffered, {}), capacity);
    this.#proxy = new End(
      this.#connection("server", this.calls.bufferLimit, {
        request: (stream, list, isEnd) => this.calls.begin(stream, { list, isEnd }, this.#caller),
      }),
      capacity,
    );
    join(this.client, this.#proxy);
  }

  #connection(
    role: "client" | "server",
    buffered: Counter | Calls["bufferLimit"],
    events: Partial<ConnectionListener>,
  ): Connection {
    const options = { role, clock: this.clock, buffered, maxConcurrentStreams: 1000, minPingMs: 0 };
    return new Connection(options, {
      ready() {},
      request: () => {
        throw new Error("not a server");
      },
      goneAway() {},
      emptied() {},
      closed() {},
      released() {},
      faulted: (error) => this.faults.push(error),
      ...events,
    });
  }

  /** Adds a member with a session to it. */
  addMember(): MemberPair {
    const { capacity = 1_000_000, onRequest } = this.#options;
    const keepalive = { timeMs: 0, timeoutMs: 0, isWithoutStreams: false };
    const buffered = this.calls.bufferLimit;
    const options = { clock: this.clock, buffered, keepalive, isSecure: false };
    const session = new Session(this.endpoint, options, this);
    const member = this.#connection("server", this.memberBuffered, { request: onRequest });
    const pair = {
      session,
      sessionEnd: new End(session.connection, capacity),
      memberEnd: new End(member, capacity),
    };
    this.members.push(pair);
    join(pair.sessionEnd, pair.memberEnd);
    return pair;
  }

  get ends(): readonly End[] {
    return [
      this.client,
      this.#proxy,
      ...this.members.flatMap(({ sessionEnd, memberEnd }) => [sessionEnd, memberEnd]),
    ];
  }

  get proxy(): Connection {
    return this.#proxy.connection;
  }

  /** Delivers everything that is on its way. */
  async settle(): Promise<void> {
    await settle(...this.ends);
  }

  // Where calls are routed.

  pick(): Session | undefined {
    return this.members.find(({ session }) => session.canOpen)?.session;
  }

  wait(call: WaitingCall): () => void {
    this.waiting.add(call);
    return () => this.waiting.delete(call);
  }

  rewriterOf(): Rewriter | undefined {
    return this.#options.rewriter;
  }

  makerOf(): CallMaker | undefined {
    return this.#options.maker;
  }

  refusalOf(): GrpcStatus | undefined {
    return undefined;
  }

  // The events of sessions.

  ready(): void {
    for (const call of [...this.waiting]) if (call.connected()) this.waiting.delete(call);
  }

  goneAway(): void {}

  closed(): void {}

  faulted(error: unknown): void {
    this.faults.push(error);
  }
}
