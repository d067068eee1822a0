// A stub resolver that behaves like Go's: it chooses the names, the servers and their
// order, and decides what counts as an answer. It caches no answers; that is the caller's
// task.
import type { HostPort } from "../core/address.ts";
import { type SourceAddress, sortAddresses } from "./address-order.ts";
import { isDomainName, searchNames } from "./domain-name.ts";
import { exchange } from "./exchange.ts";
import { limiter } from "./limiter.ts";
import {
  type Message,
  type QuestionType,
  readAddress,
  readSrv,
  type SrvData,
  TYPES,
} from "./message.ts";
import { query } from "./query.ts";
import { DEFAULTS, type ResolverConfig } from "./resolv-conf.ts";
import { BAD_RESPONSE, CANCELLED, NOT_FOUND, type Result } from "./result.ts";
import { SystemConfig } from "./system-config.ts";
import type { ExchangeDeps, FileReader } from "./transport.ts";

// Concurrent exchanges. Each has a socket; resolver/descriptor-cost.ts reserves descriptors.
export const MAX_EXCHANGES = 32;

/** The system as the resolver uses it. */
export interface StubResolverDeps extends ExchangeDeps {
  readonly files: FileReader;
  /** Returns the name of this machine; undefined if it has none. */
  readonly hostname: () => string | undefined;
  /** Whether getaddrinfo must do all lookups, as on macOS; see prefersGetaddrinfo() in os/dns.ts. */
  readonly prefersSystem: boolean;
  readonly sourceAddress: SourceAddress;
  /** Calls getaddrinfo, for sources that only the C library implements. Returns at least one address. */
  readonly systemLookup: (host: string, signal: AbortSignal) => Promise<Result<readonly string[]>>;
}

export interface HostAnswer {
  /** IP literals, the preferred one first; at least one. */
  readonly addresses: readonly string[];
  /** How long the addresses may be cached; undefined if they are not from DNS. */
  readonly ttlSeconds: number | undefined;
}

export interface SrvAnswer {
  /** At least one record, in the order of the answer. */
  readonly records: readonly SrvData[];
  readonly ttlSeconds: number;
}

const NEVER = new AbortController().signal;

export class StubResolver {
  readonly #deps: StubResolverDeps;
  readonly #limit = limiter(MAX_EXCHANGES);
  readonly #system: SystemConfig;
  /** The number of questions so far, for the option `rotate`. */
  #rotation = 0;

  /** Opens nothing. Files are read when a lookup first needs them. */
  constructor(deps: StubResolverDeps) {
    this.#deps = deps;
    const { files, clock, hostname, prefersSystem } = deps;
    this.#system = new SystemConfig(files, clock, hostname, prefersSystem);
  }

  /**
   * Looks up a host. If `servers` is not empty, only these are queried, for `host` as an
   * absolute name. Otherwise the system's files decide.
   *
   * @see Go net/dnsclient_unix.go, goLookupIPCNAMEOrder
   */
  async lookupHost(
    host: string,
    servers: readonly HostPort[] = [],
    signal: AbortSignal = NEVER,
  ): Promise<Result<HostAnswer>> {
    if (servers.length > 0) return this.#lookupInDns(host, { ...DEFAULTS, servers }, signal);

    const { order, config } = await this.#system.plan(host);
    if (order === "system") return this.#lookupWithSystem(host, signal);

    const sources = order.split(" ");
    let failure: Result<HostAnswer> = { code: NOT_FOUND };
    for (const source of sources) {
      const answer =
        source === "files"
          ? await this.#lookupInHosts(host)
          : await this.#lookupInDns(host, config, signal);
      if ("value" in answer) return answer;
      // A failure of DNS is more specific than a name that the hosts file does not have.
      if (source === "dns") failure = answer;
    }
    return failure;
  }

  /**
   * Looks up SRV records with `servers`, or with the configuration of resolv.conf if
   * `servers` is empty. That includes the search list, as in Go's LookupSRV.
   */
  async lookupSrv(
    name: string,
    servers: readonly HostPort[] = [],
    signal: AbortSignal = NEVER,
  ): Promise<Result<SrvAnswer>> {
    const config = servers.length > 0 ? { ...DEFAULTS, servers } : await this.#system.config();
    let code = NOT_FOUND;
    for (const candidate of namesFor(name, config)) {
      const answer = await this.#query(candidate, "SRV", config, signal);
      if ("value" in answer) return readSrvAnswer(answer.value);
      code = moreSpecific(code, answer.code);
      if (signal.aborted) break;
    }
    return { code };
  }

  async #lookupInHosts(host: string): Promise<Result<HostAnswer>> {
    const found = await this.#system.findInHosts(host);
    return found === undefined ? { code: NOT_FOUND } : this.#sorted(found, undefined);
  }

  async #lookupWithSystem(host: string, signal: AbortSignal): Promise<Result<HostAnswer>> {
    const found = await this.#deps.systemLookup(host, signal);
    if ("code" in found) return found;
    return { value: { addresses: found.value, ttlSeconds: undefined } };
  }

  async #lookupInDns(
    host: string,
    config: ResolverConfig,
    signal: AbortSignal,
  ): Promise<Result<HostAnswer>> {
    let code = NOT_FOUND;
    for (const candidate of namesFor(host, config)) {
      const answers = await this.#queryBothFamilies(candidate, config, signal);
      const messages = answers.flatMap((answer) => ("value" in answer ? [answer.value] : []));
      const addresses = messages.flatMap(addressesIn);
      if (addresses.length > 0) return this.#sorted(addresses, Math.min(...messages.map(ttlOf)));
      for (const answer of answers)
        code = moreSpecific(code, "code" in answer ? answer.code : BAD_RESPONSE);
      if (signal.aborted) break;
    }
    return { code: signal.aborted ? CANCELLED : code };
  }

  async #queryBothFamilies(
    name: string,
    config: ResolverConfig,
    signal: AbortSignal,
  ): Promise<Result<Message>[]> {
    const send = (type: QuestionType) => this.#query(name, type, config, signal);
    if (config.singleRequest) return [await send("A"), await send("AAAA")];
    return Promise.all([send("A"), send("AAAA")]);
  }

  #query(
    name: string,
    type: QuestionType,
    config: ResolverConfig,
    signal: AbortSignal,
  ): Promise<Result<Message>> {
    const offset = config.rotate ? this.#rotation++ : 0;
    const question = { name, type };
    const ask = (server: HostPort) =>
      this.#limit(() => exchange(server, question, config, this.#deps, signal));
    return query(question, config, offset, ask, signal);
  }

  #sorted(found: readonly string[], ttlSeconds: number | undefined): Result<HostAnswer> {
    const addresses = sortAddresses([...new Set(found)], this.#deps.sourceAddress);
    return { value: { addresses, ttlSeconds } };
  }
}

function namesFor(name: string, config: ResolverConfig): readonly string[] {
  return isDomainName(name) ? searchNames(name, config) : [];
}

/** Returns the later of two failure codes, unless it is NOT_FOUND: then the earlier. */
function moreSpecific(code: string, later: string): string {
  return later === NOT_FOUND ? code : later;
}

function addressesIn({ bytes, answers }: Message): string[] {
  return answers
    .filter(({ type }) => type === TYPES.A || type === TYPES.AAAA)
    .flatMap((record) => readAddress(bytes, record) ?? []);
}

/** Decodes the SRV records. As in Go, none is used if one is malformed (net/lookup.go, goLookupSRV). */
function readSrvAnswer(message: Message): Result<SrvAnswer> {
  const found = message.answers.filter(({ type }) => type === TYPES.SRV);
  const records = found.flatMap((record) => readSrv(message.bytes, record) ?? []);
  if (message.isMalformed || records.length < found.length) return { code: BAD_RESPONSE };
  return { value: { records, ttlSeconds: ttlOf(message) } };
}

/**
 * Returns the shortest TTL of all answer records, including aliases. A TTL with its highest
 * bit set counts as 0 (RFC 2181, section 8).
 */
function ttlOf({ answers }: Message): number {
  return Math.min(...answers.map(({ ttlSeconds }) => (ttlSeconds > 0x7fffffff ? 0 : ttlSeconds)));
}
