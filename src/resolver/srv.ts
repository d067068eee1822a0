// Endpoints from SRV records (RFC 2782): the union of etcd's two services, and a
// description of why a lookup failed.
import { isIP } from "node:net";
import { isDnsName } from "../core/address.ts";
import type { EndpointSpec, Scheme } from "../core/endpoint-spec.ts";
import type { SrvConfig } from "../core/gateway-config.ts";

/** One SRV record. `name` is the target, with or without its trailing dot. */
export interface SrvRecord {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly name: string;
  /** How long the record may be kept; undefined: unknown. */
  readonly ttlSeconds?: number;
}

/** Looks up SRV records; empty if there are none. Rejects with a `code`. */
export type ResolveSrv = (name: string, signal: AbortSignal) => Promise<readonly SrvRecord[]>;

/** Neither service has a usable record. The message names both, with the reasons. */
export class SrvError extends Error {
  override name = "SrvError";
}

/**
 * Returns the names to look up, the authenticated service first.
 * @see etcd client/pkg/srv/srv.go, GetClient
 */
export function serviceNames({ domain, name }: SrvConfig): Record<Scheme, string> {
  const suffix = name === undefined ? "" : `-${name}`;
  return {
    https: `_etcd-client-ssl${suffix}._tcp.${domain}`,
    http: `_etcd-client${suffix}._tcp.${domain}`,
  };
}

/** Whether SRV targets, and members found through them, must be verified by a TLS handshake. */
export function mustVerify(srv: SrvConfig | undefined): boolean {
  return srv !== undefined && !srv.isInsecure;
}

// The refresh interval for records with a TTL of 0, which must not be cached.
const MIN_TTL_MS = 1000;

/** Returns the delay until the next lookup: `intervalMs`, or less if the TTL is shorter. */
export function refreshDelayMs(intervalMs: number, ttlMs: number | undefined): number {
  return ttlMs === undefined ? intervalMs : Math.min(intervalMs, Math.max(ttlMs, MIN_TTL_MS));
}

/** The endpoints of a service, and why there are none or why they are old. */
type Outcome = { readonly specs: readonly EndpointSpec[]; readonly why?: string };

export class SrvSource {
  readonly #resolve: ResolveSrv;
  /** The last answer of each service name, which serves while lookups fail. */
  readonly #lastGood = new Map<string, readonly EndpointSpec[]>();
  readonly #controller = new AbortController();
  #ttlMs: number | undefined;

  constructor(resolve: ResolveSrv) {
    this.#resolve = resolve;
  }

  /**
   * Returns the union of both services. If one lookup fails (DNS refuses, fails or
   * is late), its last answer serves instead, so that a lost packet does not remove
   * half of a cluster.
   *
   * @throws {SrvError} if both services are empty or both lookups fail.
   */
  async find(srv: SrvConfig): Promise<readonly EndpointSpec[]> {
    const names = serviceNames(srv);
    this.#ttlMs = undefined;
    const [secure, plain] = await Promise.all([
      this.#ask(names.https, "https", srv.domain),
      this.#ask(names.http, "http", srv.domain),
    ]);
    const isFresh = secure.why === undefined || plain.why === undefined;
    if (isFresh && secure.specs.length + plain.specs.length > 0)
      return [...secure.specs, ...plain.specs];
    throw new SrvError(
      `Cannot discover endpoints by --discovery-srv "${srv.domain}": "${names.https}": ${secure.why ?? NO_RECORD}; "${names.http}": ${plain.why ?? NO_RECORD}`,
    );
  }

  /** The shortest TTL of the records of the last `find`; undefined: unknown. */
  get ttlMs(): number | undefined {
    return this.#ttlMs;
  }

  /** Cancels all lookups, now and from now on. May be called twice. */
  close(): void {
    this.#controller.abort();
  }

  async #ask(service: string, scheme: Scheme, domain: string): Promise<Outcome> {
    try {
      const records = await this.#resolve(service, this.#controller.signal);
      for (const { ttlSeconds = Number.POSITIVE_INFINITY } of records)
        this.#ttlMs = Math.min(this.#ttlMs ?? Number.POSITIVE_INFINITY, ttlSeconds * 1000);
      const specs = specsOf(records, scheme, domain);
      this.#lastGood.set(service, specs);
      return specs.length > 0 ? { specs } : { specs, why: whyUnusable(records) };
    } catch (error) {
      const code = (error as { code?: string }).code ?? String(error);
      const isAnswer = NO_NAME.has(code);
      if (isAnswer) this.#lastGood.delete(service);
      return {
        specs: isAnswer ? [] : (this.#lastGood.get(service) ?? []),
        why: isAnswer ? NO_RECORD : (WORDS[code] ?? code),
      };
    }
  }
}

const NO_RECORD = "no such name, or it has no SRV record";

const NO_NAME = new Set(["ENOTFOUND", "ENODATA"]);

const WORDS: Record<string, string> = {
  ECANCELLED: "the lookup was cancelled",
  EBADRESP: "the DNS server's answer is malformed",
  ELAMEREFERRAL: "the DNS server knows no answer and asks no other server",
  ECONNREFUSED: "the DNS server cannot be reached",
  EFORMERR: "the DNS server does not understand the question",
  ENOTIMP: "the DNS server does not implement the question",
  EREFUSED: "the DNS server refused to answer",
  ESERVFAIL: "the DNS server failed (SERVFAIL)",
  ETIMEOUT: "the DNS server did not answer in time",
};

function specsOf(records: readonly SrvRecord[], scheme: Scheme, domain: string): EndpointSpec[] {
  const parent = hostOf(domain);
  return records.filter(isUsable).map(({ name, port, priority, weight }) => {
    const host = hostOf(name);
    return {
      address: { host, port },
      scheme,
      priority,
      weight,
      origin: "SRV",
      certificateNames: isInside(host, parent) ? [host, parent] : [parent],
    };
  });
}

/** Normalises a target: DNS names are compared without case. */
function hostOf(target: string): string {
  return target.replace(/\.$/, "").toLowerCase();
}

function isInside(host: string, parent: string): boolean {
  return host === parent || host.endsWith(`.${parent}`);
}

/** A target of "." means that there is no such service (RFC 2782); port 0 cannot be dialled. */
function isUsable({ name, port }: SrvRecord): boolean {
  const host = hostOf(name);
  // "0" and "10.1" are not names, but getaddrinfo makes addresses of them.
  const isName = isDnsName(host) && (isIP(host) === 4 || !/^[\d.]+$/.test(host));
  return isName && port > 0 && port <= 65535;
}

function whyUnusable(records: readonly SrvRecord[]): string {
  if (records.length === 0) return NO_RECORD;
  const isDenied = records.every(({ name }) => hostOf(name) === "");
  return isDenied
    ? 'its record says that there is no such service (target ".")'
    : "no record has a usable target and port";
}
