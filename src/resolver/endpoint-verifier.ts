// Decides which discovered endpoints may be used: never the proxy itself, and,
// where discovery must be verified, only those that pass a TLS handshake.
import type { HostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import type { LookupResult, LookupError, DnsCache } from "./dns-cache.ts";
import { LookupGroup } from "./lookup-group.ts";
import type { IsSelf } from "./self-address.ts";
import { isUnreached, describeTlsError } from "./tls-error.ts";

/** Performs a TLS handshake with an IP literal, whose certificate must hold one of `names`. Rejects with a `code`. */
export type Verify = (address: HostPort, names: readonly string[]) => Promise<void>;

export interface VerifierEvents {
  /** The endpoint, or one of its addresses, is not used. Called when the reason changes. */
  rejected(spec: EndpointSpec, why: string): void;
  /** The endpoint is used, but has no address at this moment. */
  unresolved(spec: EndpointSpec, why: string): void;
}

/** Handshakes in progress at the same time; each costs a descriptor. */
export const MAX_HANDSHAKES = 16;

export class EndpointVerifier {
  readonly #names: DnsCache;
  readonly #isSelf: IsSelf;
  readonly #verifyAddress: Verify;
  readonly #clock: Clock;
  #events: VerifierEvents | undefined;
  #onLate = () => {};
  /** By label: the verified addresses, each with the generation in which it was verified. */
  readonly #verified = new Map<string, Map<string, number>>();
  /** Incremented when every address must be verified again. */
  #generation = 0;
  /** By label: the reason that was reported last. */
  readonly #reasons = new Map<string, string>();

  constructor(names: DnsCache, isSelf: IsSelf, verify: Verify, clock: Clock) {
    this.#names = names;
    this.#isSelf = isSelf;
    this.#verifyAddress = verify;
    this.#clock = clock;
  }

  /**
   * Reports to `events` from now on. `onLate` is called when a name resolves after
   * `verifyAll` has stopped waiting for it.
   */
  start(events: VerifierEvents, onLate: () => void): void {
    this.#events = events;
    this.#onLate = onLate;
  }

  /**
   * Returns the endpoints that may be used. An address that is verified is not
   * verified again. A name that is silent while others resolve counts as a name
   * without an address, and is looked up in the background.
   */
  async verifyAll(
    specs: readonly EndpointSpec[],
    mustVerify: boolean,
  ): Promise<readonly EndpointSpec[]> {
    const lookups = new LookupGroup(this.#names, this.#clock, this.#onLate);
    const found = specs.map(({ address }) => lookups.find(address.host));
    const admitted: (EndpointSpec | undefined)[] = [];
    const waiting = specs.map((spec, i) => async () => {
      admitted[i] = await this.#check(spec, await found[i]!, mustVerify);
    });
    const work = async () => {
      for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) await check();
    };
    await Promise.all(Array.from({ length: MAX_HANDSHAKES }, work));
    lookups.close();
    return admitted.filter((spec) => spec !== undefined);
  }

  /**
   * Makes every address verify again, because the CA may have changed. An address
   * that cannot be reached meanwhile stays verified.
   */
  invalidate(): void {
    this.#generation++;
    this.#reasons.clear();
  }

  /** Returns the endpoint with its verified addresses; undefined if none is verified any longer. */
  stillVerified(spec: EndpointSpec): EndpointSpec | undefined {
    const verified = this.#verified.get(labelOf(spec));
    if (verified === undefined || verified.size === 0) return undefined;
    return { ...spec, verifiedAddresses: new Set(verified.keys()) };
  }

  /** Forgets all other endpoints. One that returns must be verified again. */
  keepOnly(specs: readonly EndpointSpec[]): void {
    const labels = new Set(specs.map(labelOf));
    for (const label of [...this.#verified.keys(), ...this.#reasons.keys()]) {
      if (labels.has(label)) continue;
      this.#verified.delete(label);
      this.#reasons.delete(label);
    }
  }

  async #check(
    spec: EndpointSpec,
    { addresses, error }: LookupResult,
    mustVerify: boolean,
  ): Promise<EndpointSpec | undefined> {
    if (addresses === undefined) return this.#withoutAddress(spec, mustVerify, error);
    const own = addresses.find((address) => this.#isSelf(address, spec.address.port));
    if (own !== undefined) {
      this.#reject(spec, `it resolves to ${own}, this process's own listen address`);
      return undefined;
    }
    if (mustVerify) return this.#verify(spec, addresses);
    this.#reasons.delete(labelOf(spec));
    return spec;
  }

  #withoutAddress(
    spec: EndpointSpec,
    mustVerify: boolean,
    error: LookupError | undefined,
  ): EndpointSpec | undefined {
    const why = error?.code ?? "no address";
    if (mustVerify) {
      this.#reject(spec, `it does not resolve (${why})`);
      return undefined;
    }
    if (this.#isNews(spec, why)) this.#events?.unresolved(spec, why);
    return spec;
  }

  async #verify(
    spec: EndpointSpec,
    addresses: readonly string[],
  ): Promise<EndpointSpec | undefined> {
    const label = labelOf(spec);
    // A handshake that ends after `invalidate` changes nothing: a later one may have ended before.
    const generation = this.#generation;
    const isObsolete = () => generation !== this.#generation;
    const verified = this.#verified.get(label) ?? new Map<string, number>();
    this.#verified.set(label, verified);
    const failures: string[] = [];
    for (const host of addresses.filter((address) => verified.get(address) !== generation)) {
      try {
        await this.#verifyAddress({ host, port: spec.address.port }, spec.certificateNames);
        if (!isObsolete()) verified.set(host, generation);
      } catch (error) {
        if (!isObsolete() && !isUndecided(error)) verified.delete(host);
        failures.push(
          addresses.length === 1 ? describeTlsError(error) : `${host}: ${describeTlsError(error)}`,
        );
      }
    }
    if (isObsolete()) return undefined;
    if (failures.length > 0) this.#reject(spec, failures.join("; "));
    else this.#reasons.delete(label);
    const usable = addresses.some((address) => verified.has(address));
    return usable ? this.stillVerified(spec) : undefined;
  }

  #reject(spec: EndpointSpec, why: string): void {
    if (this.#isNews(spec, why)) this.#events?.rejected(spec, why);
  }

  #isNews(spec: EndpointSpec, why: string): boolean {
    const label = labelOf(spec);
    if (this.#reasons.get(label) === why) return false;
    this.#reasons.set(label, why);
    return true;
  }
}

/** Whether a failure says nothing of the certificate: the server was not reached, or our own files cannot be read. */
function isUndecided(error: unknown): boolean {
  return isUnreached(error) || (error as Error).name === "TlsFileError";
}
