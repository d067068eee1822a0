// Registers the proxy in etcd, so that other proxies list it: a key under the resolver
// prefix, attached to a lease that the proxy keeps alive. The bytes are those of etcd's
// proxy, with which a fleet may be mixed.
// @see etcd client/v3/naming, and server/proxy/grpcproxy/register.go
import type { Clock } from "../../core/clock.ts";
import type { Logger } from "../../observe/log.ts";
import { type EtcdClient, keepAliveRequest } from "./etcd-client.ts";
import type { OwnCall } from "../own-calls.ts";
import { Retries } from "./retries.ts";

/** The requests of etcd that it makes. */
type Client = Pick<EtcdClient, "grantLease" | "keepAlive" | "put" | "revokeLease">;

export interface RegistrationOptions {
  /** The key, with the namespace. */
  readonly key: Uint8Array;
  /** What clients connect to: `host:port`. */
  readonly address: string;
  readonly hostname: string;
  /** Seconds that the registration outlives the proxy. */
  readonly ttlSeconds: number;
}

// Milliseconds before a keepalive stream that has ended is opened again.
const REOPEN_MS = 1000;

type State = "registering" | "registered" | "closed";

export class Registration {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #options: RegistrationOptions;
  readonly #retries = new Retries();
  #state: State = "registering";
  #lease: bigint | undefined;
  #keepAlive: OwnCall | undefined;
  #cancelRenewal = () => {};
  #cancelRetry = () => {};
  /** When the lease expires at the latest, on the clock. */
  #expiresAt = 0;

  constructor(client: Client, clock: Clock, log: Logger, options: RegistrationOptions) {
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
    this.#options = options;
  }

  /** Registers, and again whenever the lease is lost. */
  start(): void {
    void this.#register();
  }

  /** Deregisters. Resolves when etcd has revoked the lease, or cannot be asked. May be called twice. */
  async close(): Promise<void> {
    this.#stop("closed");
    await this.#revoke();
  }

  async #revoke(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease === undefined) return;
    try {
      await this.#client.revokeLease(lease);
    } catch {
      // The lease expires by itself.
    }
  }

  async #register(): Promise<void> {
    const { address, ttlSeconds, key, hostname } = this.#options;
    try {
      const lease = await this.#client.grantLease(ttlSeconds);
      if (this.#isClosed()) return;
      this.#lease = lease;
      await this.#client.put({ key, value: registrationValue(address, hostname) }, lease);
      if (this.#isClosed()) return;
      this.#state = "registered";
      this.#retries.reset();
      this.#log.info("registered session with lease", { addr: address, "lease-ttl": ttlSeconds });
      this.#keep(lease);
    } catch (error) {
      if (this.#isClosed()) return;
      const { message } = error as Error;
      if (this.#retries.isNews(message))
        this.#log.warn("cannot register; retrying", { addr: address, error: message });
      // etcd may grant leases, and refuse the key.
      void this.#revoke();
      this.#retry();
    }
  }

  /** Renews the lease three times in its time to live. */
  #keep(lease: bigint): void {
    const ttlMs = this.#options.ttlSeconds * 1000;
    this.#expiresAt = this.#clock.now() + ttlMs;
    const call = this.#client.keepAlive({
      renewed: (ttlSeconds) => {
        if (ttlSeconds <= 0) this.#lost("the lease has expired");
        else this.#expiresAt = this.#clock.now() + ttlMs;
      },
      ended: ({ message }) => this.#reopen(lease, message),
    });
    this.#keepAlive = call;
    const renew = () => {
      if (this.#clock.now() > this.#expiresAt) {
        this.#lost("the lease was not renewed in time");
        return;
      }
      call.send(keepAliveRequest(lease));
      this.#cancelRenewal = this.#clock.after(ttlMs / 3, renew);
    };
    renew();
  }

  /** The stream has ended, and the lease may go on: opens another stream after a while. */
  #reopen(lease: bigint, reason: string): void {
    this.#cancelRenewal();
    if (this.#isClosed()) return;
    const expiresAt = this.#expiresAt;
    this.#cancelRetry = this.#clock.after(REOPEN_MS, () => {
      if (this.#clock.now() > expiresAt) this.#lost(reason);
      else {
        this.#keep(lease);
        this.#expiresAt = expiresAt;
      }
    });
  }

  #lost(reason: string): void {
    this.#log.warn("session expired; possible network partition or server restart", { reason });
    this.#log.info("creating a new session to rejoin");
    this.#stop("registering");
    this.#retry();
  }

  #retry(): void {
    const delayMs = this.#retries.nextDelayMs();
    this.#cancelRetry = this.#clock.after(delayMs, () => void this.#register());
  }

  #stop(state: State): void {
    this.#state = state;
    this.#cancelRenewal();
    this.#cancelRetry();
    this.#keepAlive?.cancel();
    this.#keepAlive = undefined;
  }

  #isClosed(): boolean {
    return this.#state === "closed";
  }
}

/**
 * Returns the value of a registration: JSON with exactly these names, in which Metadata is
 * itself a text of JSON.
 */
export function registrationValue(address: string, hostname: string): Uint8Array {
  const metadata = goJson({ name: hostname });
  return new TextEncoder().encode(goJson({ Op: 0, Addr: address, Metadata: metadata }));
}

/** JSON as Go's encoding/json writes it, which escapes what is special in HTML. */
function goJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
