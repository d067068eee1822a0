// Checks the endpoints of --endpoints: one that resolves is enough for a start, and
// none may be the proxy itself.
import { isIP } from "node:net";
import { formatHostPort } from "../core/address.ts";
import { type Clock, pause } from "../core/clock.ts";
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import type { ClusterConfig, ServiceConfig } from "../core/gateway-config.ts";
import { UsageError } from "../core/usage-error.ts";
import { type DnsCache, UNTIL_ANSWERED } from "./dns-cache.ts";
import { StartError } from "../core/start-error.ts";
import type { IsSelf } from "./self-address.ts";

export interface EndpointChecks {
  readonly names: DnsCache;
  readonly isSelf: IsSelf;
  /** As the user wrote it. */
  readonly listen: string;
}

/**
 * Looks up an endpoint of --endpoints, for as long as the resolver tries.
 * Returns why it has no address; undefined if it has one.
 *
 * @throws {UsageError} if it is the gateway's own address.
 * @throws {StartError} if its name resolves to that address, which DNS may correct.
 */
export async function checkEndpoint(
  spec: EndpointSpec,
  { names, isSelf, listen }: EndpointChecks,
): Promise<string | undefined> {
  const { host, port } = spec.address;
  const { addresses, error } = await names.find(host, UNTIL_ANSWERED);
  const own = addresses?.find((address) => isSelf(address, port));
  if (own !== undefined) {
    const Failure = isIP(host) === 0 ? StartError : UsageError;
    throw new Failure(
      `Cannot use --endpoints "${labelOf(spec)}": it resolves to ${own}, this process's own --listen-addr "${listen}"; name etcd's address`,
    );
  }
  return addresses === undefined ? (error?.code ?? "no address") : undefined;
}

/** What a check reads of a proxy's configuration. */
export type CheckedConfig = ClusterConfig & Pick<ServiceConfig, "listen">;

export interface EndpointCheckEvents {
  /** An endpoint has no address. */
  unresolved(spec: EndpointSpec, why: string): void;
  /** After the check was over, an endpoint turned out to be the proxy itself. */
  isOwnAddress(spec: EndpointSpec, error: string): void;
}

// Time for the other names once one has resolved, so that the result covers every
// name that is answered promptly.
const SETTLE_MS = 250;

export class EndpointCheck {
  readonly #clock: Clock;
  readonly #isSelf: IsSelf;
  readonly #log: EndpointCheckEvents;
  /** The configuration that passed the last check. */
  #checked: CheckedConfig | undefined;
  #isClosed = false;

  constructor(clock: Clock, isSelf: IsSelf, log: EndpointCheckEvents) {
    this.#clock = clock;
    this.#isSelf = isSelf;
    this.#log = log;
  }

  /**
   * Looks up the endpoints until one has an address, for as long as the resolver
   * tries. The others are looked up in the background, and their failures are
   * logged. `names` caches the addresses for later dials, if it is the cache that these use.
   *
   * @throws {UsageError} if an endpoint resolves to the gateway itself.
   * @throws {StartError} if none resolves, and there is no SRV domain that may name others.
   */
  async check(config: CheckedConfig, names: DnsCache): Promise<void> {
    const before = this.#checked;
    this.#checked = config;
    try {
      await this.#check(config, names);
    } catch (error) {
      this.#checked = before;
      throw error;
    }
  }

  /** Stops logging. May be called twice. */
  close(): void {
    this.#isClosed = true;
  }

  async #check(config: CheckedConfig, names: DnsCache): Promise<void> {
    const { endpoints, srv } = config;
    // Peers are asked for the members later, again and again.
    if (endpoints.length === 0) return;
    const isSelf = this.#isSelf;
    const listen = formatHostPort(config.listen);
    const unresolved: [EndpointSpec, string][] = [];
    const { promise: isEnough, resolve: enough } = Promise.withResolvers<void>();
    let isOver = false;
    const check = async (spec: EndpointSpec): Promise<void> => {
      try {
        const why = await checkEndpoint(spec, { names, isSelf, listen });
        if (why === undefined) enough();
        else if (isOver) this.#logUnresolved(config, spec, why);
        else unresolved.push([spec, why]);
      } catch (error) {
        if (!isOver || !isOwnAddress(error)) throw error;
        if (this.#isNews(config)) this.#log.isOwnAddress(spec, error.message);
      }
    };

    // With SRV discovery they are only a fallback.
    if (srv !== undefined) enough();
    const all = Promise.all(endpoints.map(check));
    await Promise.race([all, isEnough.then(() => pause(this.#clock, SETTLE_MS, { until: all }))]);
    isOver = true;
    if (srv === undefined && unresolved.length === endpoints.length) throw noneResolves(unresolved);
    for (const [spec, why] of unresolved) this.#logUnresolved(config, spec, why);
  }

  #logUnresolved(config: CheckedConfig, spec: EndpointSpec, why: string): void {
    if (config.srv === undefined && this.#isNews(config)) this.#log.unresolved(spec, why);
  }

  /** Whether a result concerns the current configuration, and nothing was closed since. */
  #isNews(config: CheckedConfig): boolean {
    return !this.#isClosed && this.#checked === config;
  }
}

function isOwnAddress(error: unknown): error is Error {
  return error instanceof UsageError || error instanceof StartError;
}

/** Describes why each of the endpoints has no address. */
function noneResolves(unresolved: readonly [EndpointSpec, string][]): StartError {
  const names = unresolved.map(([spec, why]) => `"${labelOf(spec)}" (${why})`);
  return new StartError(`Cannot resolve any of --endpoints: ${names.join(", ")}`);
}
