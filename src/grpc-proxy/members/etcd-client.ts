// The requests that the proxy itself makes of etcd, as functions, and what it reads of the
// answers. Ids are 64 bits wide and never become JavaScript numbers; revisions fit.
// @see etcd api/etcdserverpb/rpc.proto for the numbers of the fields
import { encodeEmbedded, encodeMessage, Message } from "../../protobuf/message.ts";
import type { Credentials } from "../../core/gateway-config.ts";
import { GrpcCode, type GrpcStatus } from "../grpc-status.ts";
import { GrpcError, type OwnCall, type OwnCallListener, type OwnCalls } from "../own-calls.ts";

/** A key and its value. */
export interface KeyValue {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** One change that a watch reports. A deleted key has an empty value. */
export interface KeyEvent extends KeyValue {
  readonly isDeleted: boolean;
}

/** The events of a watch. */
export interface WatchListener {
  events(events: readonly KeyEvent[]): void;
  /** The watch has ended: etcd cancelled it, or the connection was lost. Called once. */
  ended(reason: string): void;
}

/** The events of a lease's keepalive. */
export interface KeepAliveListener {
  /** The lease was renewed for `ttlSeconds`; 0 or less: it has expired. */
  renewed(ttlSeconds: number): void;
  ended(status: GrpcStatus): void;
}

const TIMEOUT_MS = 5000;

export class EtcdClient {
  readonly #calls: OwnCalls;
  readonly #credentials: () => Credentials | undefined;
  /** The proxy's own token. Undefined: it has none, or etcd no longer takes it. */
  #token: string | undefined;

  /** `credentials` returns the user of the proxy itself; undefined: etcd has no authentication, or the proxy no user. */
  constructor(calls: OwnCalls, credentials: () => Credentials | undefined) {
    this.#calls = calls;
    this.#credentials = credentials;
  }

  /** Returns the keys from `key` to `end` (exclusive) of the member's own store, and its revision. */
  async readRange(
    key: Uint8Array,
    end: Uint8Array,
  ): Promise<{ readonly keys: readonly KeyValue[]; readonly revision: number }> {
    const isSerializable = true;
    const request = encodeMessage([
      [1, key],
      [2, end],
      [7, isSerializable],
    ]);
    const answer = new Message(await this.#unary("/etcdserverpb.KV/Range", request));
    return { keys: answer.messages(2).map(keyValueOf), revision: answer.message(1).int(3) };
  }

  /** Reads a key linearizably, without using what it holds: a proof that the cluster has a leader. */
  async probe(key: Uint8Array, timeoutMs: number): Promise<void> {
    await this.#unary("/etcdserverpb.KV/Range", encodeMessage([[1, key]]), timeoutMs);
  }

  /** Returns the id of a new lease. */
  async grantLease(ttlSeconds: number): Promise<bigint> {
    const answer = await this.#unary(
      "/etcdserverpb.Lease/LeaseGrant",
      encodeMessage([[1, ttlSeconds]]),
    );
    return new Message(answer).integer(2);
  }

  async revokeLease(id: bigint): Promise<void> {
    await this.#unary("/etcdserverpb.Lease/LeaseRevoke", encodeMessage([[1, id]]));
  }

  /** Puts a key by a transaction without conditions, as etcd's naming does. */
  async put({ key, value }: KeyValue, lease: bigint): Promise<void> {
    const put = encodeMessage([
      [1, key],
      [2, value],
      [3, lease],
    ]);
    const transaction = encodeEmbedded(2, encodeEmbedded(2, put));
    await this.#unary("/etcdserverpb.KV/Txn", transaction);
  }

  /** Opens a keepalive stream. Each `send` of `keepAliveRequest(id)` renews the lease. */
  keepAlive(listener: KeepAliveListener): OwnCall {
    return this.#open("/etcdserverpb.Lease/LeaseKeepAlive", {
      message: (message) => listener.renewed(new Message(message).int(3)),
      ended: (status) => listener.ended(status),
    });
  }

  /** Watches the keys from `key` to `end` (exclusive), from `revision` on. */
  watch(
    { key, end, revision }: { key: Uint8Array; end: Uint8Array; revision: number },
    listener: WatchListener,
  ): OwnCall {
    let isOver = false;
    const over = (reason: string) => {
      if (isOver) return;
      isOver = true;
      call.cancel();
      listener.ended(reason);
    };
    const call = this.#open("/etcdserverpb.Watch/Watch", {
      message: (message) => {
        const answer = new Message(message);
        if (answer.int(4) !== 0) over(answer.text(6) || `compacted at ${answer.int(5)}`);
        else listener.events(answer.messages(11).map(keyEventOf));
      },
      ended: ({ message }) => over(message),
    });
    const create = encodeMessage([
      [1, key],
      [2, end],
      [3, revision],
    ]);
    call.send(encodeEmbedded(1, create));
    return call;
  }

  async #unary(path: string, request: Uint8Array, timeoutMs = TIMEOUT_MS): Promise<Uint8Array> {
    if (this.#token === undefined) await this.#authenticate();
    try {
      return await this.#calls.unary(path, request, { timeoutMs, token: this.#token });
    } catch (error) {
      if (!(error instanceof GrpcError) || !this.#isExpired(error)) throw error;
      await this.#authenticate();
      return await this.#calls.unary(path, request, { timeoutMs, token: this.#token });
    }
  }

  #open(path: string, { message, ended }: OwnCallListener): OwnCall {
    return this.#calls.open(
      path,
      { timeoutMs: TIMEOUT_MS, token: this.#token },
      {
        message,
        ended: (status) => {
          // The next request authenticates again.
          this.#isExpired(status);
          ended(status);
        },
      },
    );
  }

  /** Whether etcd refused the token. If so, it is forgotten. */
  #isExpired({ code }: { readonly code: number }): boolean {
    if (code !== GrpcCode.UNAUTHENTICATED) return false;
    this.#token = undefined;
    return true;
  }

  async #authenticate(): Promise<void> {
    const credentials = this.#credentials();
    if (credentials === undefined) return;
    const request = encodeMessage([
      [1, credentials.user],
      [2, credentials.password],
    ]);
    const path = "/etcdserverpb.Auth/Authenticate";
    try {
      const options = { timeoutMs: TIMEOUT_MS, token: undefined };
      this.#token = new Message(await this.#calls.unary(path, request, options)).text(2);
    } catch (error) {
      // Authentication is not enabled in etcd: no token is needed.
      const isOff = error instanceof GrpcError && error.code === GrpcCode.FAILED_PRECONDITION;
      if (!isOff) throw error;
    }
  }
}

/** Returns the message that renews a lease. */
export function keepAliveRequest(id: bigint): Uint8Array {
  return encodeMessage([[1, id]]);
}

function keyValueOf(message: Message): KeyValue {
  return { key: message.bytes(1), value: message.bytes(5) };
}

function keyEventOf(event: Message): KeyEvent {
  return { ...keyValueOf(event.message(2)), isDeleted: event.int(1) === 1 };
}
