// A stub resolver that behaves as Go's own: which names are asked for, of
// which server, in which order, and what counts as an answer. It keeps no answers: how long
// one serves is its user's business.
import type { HostPort } from "../core/address.ts";
import { type SourceAddress, sortAddresses } from "./address-order.ts";
import { isDomainName, searchNames } from "./domain-name.ts";
import { limiter } from "./limiter.ts";
import {
  type Message,
  type QuestionType,
  readAddress,
  readSrv,
  type SrvData,
  TYPES,
} from "./message.ts";
import { query, type QueryDeps } from "./query.ts";
import { DEFAULTS, type ResolverConfig } from "./resolv-conf.ts";
import { BAD_RESPONSE, CANCELLED, NOT_FOUND, type Result } from "./result.ts";
import { SystemConfig, type SystemConfigDeps } from "./system-config.ts";
import type { ExchangeDeps } from "./transport.ts";

// Each exchange has a socket. gateway/connection-limit.ts sets descriptors aside for them.
export const MAX_EXCHANGES = 32;

export interface StubResolverDeps extends ExchangeDeps, SystemConfigDeps {
  readonly sourceAddress: SourceAddress;
  /** getaddrinfo, for sources that only the C library knows; at least one address. */
  readonly systemLookup: (host: string, signal: AbortSignal) => Promise<Result<readonly string[]>>;
}

export interface HostAnswer {
  /** IP literals, the preferred first; at least one. */
  readonly addresses: readonly string[];
  /** How long DNS lets them be kept; undefined: they are not from DNS. */
  readonly ttlSeconds: number | undefined;
}

export interface SrvAnswer {
  /** At least one. */
  readonly records: readonly SrvData[];
  readonly ttlSeconds: number;
}

const NEVER = new AbortController().signal;

export class StubResolver {
  readonly #deps: StubResolverDeps;
  readonly #queryDeps: QueryDeps;
  readonly #system: SystemConfig;
  /** Questions so far, for `rotate`. */
  #rotation = 0;

  /** Stores; files are read when the first question needs them. */
  constructor(deps: StubResolverDeps) {
    this.#deps = deps;
    const { transport, clock, randomId } = deps;
    this.#queryDeps = { transport, clock, randomId, limit: limiter(MAX_EXCHANGES) };
    this.#system = new SystemConfig(deps);
  }

  /**
   * Looks a host up. With `servers` they alone are asked, for `host` as an
   * absolute name; without, the machine's files decide.
   *
   * @see Go net/dnsclient_unix.go, goLookupIPCNAMEOrder
   */
  async lookupHost(
    host: string,
    servers: readonly HostPort[] = [],
    signal: AbortSignal = NEVER,
  ): Promise<Result<HostAnswer>> {
    if (servers.length > 0) return this.#askDns(host, { ...DEFAULTS, servers }, signal);
    const { order, config } = await this.#system.plan(host);
    if (order === "system") return this.#askSystem(host, signal);

    const sources = order.split(" ");
    let failure: Result<HostAnswer> = { code: NOT_FOUND };
    for (const source of sources) {
      const answer =
        source === "files" ? await this.#askHosts(host) : await this.#askDns(host, config, signal);
      if ("value" in answer) return answer;
      // What DNS failed with says more than that the hosts file has no such name.
      if (source === "dns") failure = answer;
    }
    return failure;
  }

  /**
   * Looks SRV records up, with `servers` or as resolv.conf says; the search
   * list applies, as in Go's LookupSRV.
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
      code = moreTelling(code, answer.code);
      if (signal.aborted) break;
    }
    return { code };
  }

  async #askHosts(host: string): Promise<Result<HostAnswer>> {
    const found = await this.#system.findInHosts(host);
    return found === undefined ? { code: NOT_FOUND } : this.#sorted(found, undefined);
  }

  async #askSystem(host: string, signal: AbortSignal): Promise<Result<HostAnswer>> {
    const found = await this.#deps.systemLookup(host, signal);
    if ("code" in found) return found;
    return { value: { addresses: found.value, ttlSeconds: undefined } };
  }

  async #askDns(
    host: string,
    config: ResolverConfig,
    signal: AbortSignal,
  ): Promise<Result<HostAnswer>> {
    let code = NOT_FOUND;
    for (const candidate of namesFor(host, config)) {
      const answers = await this.#askBothFamilies(candidate, config, signal);
      const messages = answers.flatMap((answer) => ("value" in answer ? [answer.value] : []));
      const addresses = messages.flatMap(addressesIn);
      if (addresses.length > 0) return this.#sorted(addresses, Math.min(...messages.map(ttlOf)));
      for (const answer of answers)
        code = moreTelling(code, "code" in answer ? answer.code : BAD_RESPONSE);
      if (signal.aborted) break;
    }
    return { code: signal.aborted ? CANCELLED : code };
  }

  async #askBothFamilies(
    name: string,
    config: ResolverConfig,
    signal: AbortSignal,
  ): Promise<Result<Message>[]> {
    const ask = (type: QuestionType) => this.#query(name, type, config, signal);
    if (config.singleRequest) return [await ask("A"), await ask("AAAA")];
    return Promise.all([ask("A"), ask("AAAA")]);
  }

  #query(
    name: string,
    type: QuestionType,
    config: ResolverConfig,
    signal: AbortSignal,
  ): Promise<Result<Message>> {
    const offset = config.rotate ? this.#rotation++ : 0;
    return query({ name, type }, config, offset, this.#queryDeps, signal);
  }

  #sorted(found: readonly string[], ttlSeconds: number | undefined): Result<HostAnswer> {
    const addresses = sortAddresses([...new Set(found)], this.#deps.sourceAddress);
    return { value: { addresses, ttlSeconds } };
  }
}

function namesFor(name: string, config: ResolverConfig): readonly string[] {
  return isDomainName(name) ? searchNames(name, config) : [];
}

/** Returns of two failures the one that is not "there is none", and else the later one. */
function moreTelling(code: string, later: string): string {
  return later === NOT_FOUND ? code : later;
}

function addressesIn({ bytes, answers }: Message): string[] {
  return answers
    .filter(({ type }) => type === TYPES.A || type === TYPES.AAAA)
    .flatMap((record) => readAddress(bytes, record) ?? []);
}

/** Go takes none of the records if one of them is malformed (net/lookup.go, goLookupSRV). */
function readSrvAnswer(message: Message): Result<SrvAnswer> {
  const found = message.answers.filter(({ type }) => type === TYPES.SRV);
  const records = found.flatMap((record) => readSrv(message.bytes, record) ?? []);
  if (message.isMalformed || records.length < found.length) return { code: BAD_RESPONSE };
  return { value: { records, ttlSeconds: ttlOf(message) } };
}

/** Returns the shortest TTL of all answers, aliases included. A TTL with its highest bit set is 0 (RFC 2181, section 8). */
function ttlOf({ answers }: Message): number {
  return Math.min(...answers.map(({ ttlSeconds }) => (ttlSeconds > 0x7fffffff ? 0 : ttlSeconds)));
}
