// Follows the registrations of all proxies under the resolver prefix.
// @see etcd client/v3/naming/resolver, and server/proxy/grpcproxy/cluster.go
import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../observe/log.ts";
import type { OwnCall } from "../own-calls.ts";
import type { EtcdClient, KeyEvent } from "./etcd-client.ts";
import { Retries } from "./retries.ts";

/** The requests of etcd that it makes. */
type Client = Pick<EtcdClient, "readRange" | "watch">;

/** A proxy that is registered. */
export interface ProxyMember {
  /** Its machine's host name. */
  readonly name: string;
  /** What clients connect to. */
  readonly address: string;
}

export class ProxyMembers {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #prefix: Uint8Array;
  readonly #byKey = new Map<string, ProxyMember>();
  readonly #retries = new Retries();
  #watch: OwnCall | undefined;
  #cancelRetry = () => {};
  #isClosed = false;

  /** `prefix`: of the keys, with the namespace and the last slash. */
  constructor(client: Client, clock: Clock, log: Logger, prefix: Uint8Array) {
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
    this.#prefix = prefix;
  }

  start(): void {
    void this.#follow();
  }

  /** May be called twice. */
  close(): void {
    this.#isClosed = true;
    this.#cancelRetry();
    this.#watch?.cancel();
  }

  /** The proxies that are registered, in the order of their keys. */
  get all(): readonly ProxyMember[] {
    const keys = [...this.#byKey.keys()].sort();
    return keys.map((key) => this.#byKey.get(key)!);
  }

  async #follow(): Promise<void> {
    const end = prefixEnd(this.#prefix);
    try {
      const { keys, revision } = await this.#client.readRange(this.#prefix, end);
      if (this.#isClosed) return;
      // A snapshot replaces the list: what was deleted meanwhile is not in it.
      this.#byKey.clear();
      for (const keyValue of keys) this.#apply({ ...keyValue, isDeleted: false });
      this.#watch = this.#client.watch(
        { key: this.#prefix, end, revision: revision + 1 },
        {
          events: (events) => {
            this.#retries.reset();
            for (const event of events) this.#apply(event);
          },
          ended: (reason) => this.#retry(reason),
        },
      );
    } catch (error) {
      this.#retry((error as Error).message);
    }
  }

  #retry(reason: string): void {
    if (this.#isClosed) return;
    if (this.#retries.isNews(reason)) this.#log.warn("endpoints watch channel closed", { reason });
    this.#cancelRetry = this.#clock.after(this.#retries.nextDelayMs(), () => void this.#follow());
  }

  #apply({ key, value, isDeleted }: KeyEvent): void {
    const id = Buffer.from(key).toString("latin1");
    const member = isDeleted ? undefined : memberOf(value);
    if (member === undefined) this.#byKey.delete(id);
    else this.#byKey.set(id, member);
    if (member === undefined && !isDeleted)
      this.#log.warn("a registration is not one of a proxy; it is left out", {
        key: Buffer.from(key).toString(),
      });
  }
}

/** Reads the value of a registration; undefined if it is not one. */
function memberOf(value: Uint8Array): ProxyMember | undefined {
  try {
    const { Addr: address, Metadata: metadata } = JSON.parse(new TextDecoder().decode(value));
    const { name } = JSON.parse(metadata);
    const isValid = typeof address === "string" && typeof name === "string";
    return isValid ? { name, address } : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the key after all keys that begin with `prefix`, which ends with a slash. */
function prefixEnd(prefix: Uint8Array): Uint8Array {
  const end = prefix.slice();
  end[end.length - 1]!++;
  return end;
}
