// The proxy as a member of a fleet: its own identity towards etcd, its registration, and
// what it answers to MemberList.
import { formatHostPort, type HostPort, isLoopback } from "../../core/address.ts";
import type { Clock } from "../../core/clock.ts";
import type { GrpcProxyConfig } from "../../core/grpc-proxy-config.ts";
import type { Logger } from "../../observe/log.ts";
import type { Rewriter } from "../message-pipe.ts";
import { OwnCalls } from "../own-calls.ts";
import type { Upstream } from "../upstream.ts";
import { EtcdClient } from "./etcd-client.ts";
import { withProxyMembers } from "./member-list-answer.ts";
import { type ProxyMember, ProxyMembers } from "./proxy-members.ts";
import { Registration } from "./registration.ts";

export interface MembersParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly hostname: string;
  readonly upstream: Upstream;
}

const MEMBER_LIST = "/etcdserverpb.Cluster/MemberList";

export class Members {
  readonly client: EtcdClient;
  readonly #parts: MembersParts;
  readonly #log: Logger;
  #config: GrpcProxyConfig;
  #own: ProxyMember | undefined;
  #registration: Registration | undefined;
  #others: ProxyMembers | undefined;
  readonly #memberList: Rewriter = {
    response: (answer) => withProxyMembers(answer, this.all),
  };

  /** Opens nothing; `start` does. */
  constructor(config: GrpcProxyConfig, parts: MembersParts) {
    const { clock, upstream } = parts;
    this.#config = config;
    this.#parts = parts;
    this.#log = parts.log.from("grpc-proxy/members/members.ts");
    const calls = new OwnCalls({
      clock,
      pick: () => upstream.pick(),
      wait: (call, timeoutMs) => upstream.wait(call, timeoutMs),
    });
    this.client = new EtcdClient(calls, () => this.#config.credentials);
  }

  /** Registers the proxy if that is configured. `listen`: the address that it listens on. */
  start(listen: HostPort): void {
    const { advertiseClientUrl, registration } = this.#config;
    const address = advertiseClientUrl ?? formatHostPort(listen);
    if (address === "") return;
    this.#own = { name: this.#parts.hostname, address };
    if (advertiseClientUrl === undefined && isUnreachable(listen.host))
      this.#log.warn(
        "the member list names an address that other machines cannot reach; set --advertise-client-url",
        { address },
      );
    if (registration !== undefined) this.#register(address, registration);
  }

  #register(address: string, { prefix, ttlSeconds }: { prefix: string; ttlSeconds: number }): void {
    const { clock, hostname } = this.#parts;
    const folder = `${this.#config.namespace?.prefix ?? ""}${prefix}/`;
    const key = new TextEncoder().encode(folder + address);
    this.#registration = new Registration(this.client, clock, this.#log, {
      ...{ key, address, hostname, ttlSeconds },
    });
    this.#others = new ProxyMembers(
      this.client,
      clock,
      this.#log,
      new TextEncoder().encode(folder),
    );
    this.#registration.start();
    this.#others.start();
  }

  /** Applies other credentials. */
  reconfigure(config: GrpcProxyConfig): void {
    this.#config = config;
  }

  /** Deregisters, and stops following. Resolves when that is done. May be called twice. */
  async close(): Promise<void> {
    this.#others?.close();
    await this.#registration?.close();
  }

  /** The proxies that a client may use: those that are registered, and this one in any case. */
  get all(): readonly ProxyMember[] {
    const own = this.#own!;
    const registered = this.#others?.all ?? [];
    const isListed = registered.some(({ address }) => address === own.address);
    return isListed ? registered : [...registered, own];
  }

  /** Returns how the messages of an RPC are rewritten; undefined: they pass as they are. */
  rewriterOf(path: string): Rewriter | undefined {
    return path === MEMBER_LIST && this.#own !== undefined ? this.#memberList : undefined;
  }
}

function isUnreachable(host: string): boolean {
  return isLoopback(host) || host === "::" || host === "0.0.0.0";
}
