// Which of the endpoints that somebody named may be used: none that is the
// gateway itself, and, where discovery must be verified, none that did not prove
// itself in a TLS handshake.
import type { HostPort } from "../core/address.ts";
import type { Clock } from "../core/clock.ts";
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";
import type { Found, LookupError, DnsCache } from "./dns-cache.ts";
import { LookupGroup } from "./lookup-group.ts";
import { isUnreached, describeTlsError } from "./tls-error.ts";

/** Shakes hands with an IP literal, whose certificate must hold one of `names`. Rejects with a `code`. */
export type Verify = (address: HostPort, names: readonly string[]) => Promise<void>;

export interface VerifierEvents {
  /** Not used, or not at all its addresses; told when the reason changes. */
  rejected(spec: EndpointSpec, why: string): void;
  /** Used, though it has no address at this moment. */
  unresolved(spec: EndpointSpec, why: string): void;
}

export interface EndpointVerifierDeps {
  readonly names: DnsCache;
  readonly isSelf: (address: string, port: number) => boolean;
  readonly verify: Verify;
  readonly clock: Clock;
  readonly events: VerifierEvents;
}

/** Handshakes in progress at the same time; each costs a descriptor. */
export const MAX_HANDSHAKES = 16;

export class EndpointVerifier {
  readonly #deps: EndpointVerifierDeps;
  readonly #onLate: () => void;
  /** Addresses that proved themselves, and in which round of proofs; by label. */
  readonly #verified = new Map<string, Map<string, number>>();
  /** Raised when all have to prove themselves anew. */
  #round = 0;
  /** What was last said of an endpoint. */
  readonly #reasons = new Map<string, string>();

  /** `onLate`: a name has resolved after `admit` had stopped waiting for it. */
  constructor(deps: EndpointVerifierDeps, onLate: () => void = () => {}) {
    this.#deps = deps;
    this.#onLate = onLate;
  }

  /**
   * Returns those that may be used. One that was verified before, and stays, is
   * not asked again. Names that are silent while others resolve count as names
   * without an address, and are looked up in the background.
   */
  async verifyAll(
    specs: readonly EndpointSpec[],
    mustVerify: boolean,
  ): Promise<readonly EndpointSpec[]> {
    const { names, clock } = this.#deps;
    const lookups = new LookupGroup(names, clock, this.#onLate);
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
   * All have to prove themselves again: what they are checked against may have
   * changed. Who cannot be reached for that keeps what he had.
   */
  invalidate(): void {
    this.#round++;
    this.#reasons.clear();
  }

  /** The endpoint as it may be used now, if it was admitted before; undefined if it lost that. */
  stillVerified(spec: EndpointSpec): EndpointSpec | undefined {
    const verified = this.#verified.get(labelOf(spec));
    if (verified === undefined || verified.size === 0) return undefined;
    return { ...spec, verifiedAddresses: new Set(verified.keys()) };
  }

  /** Forgets all others: who comes back is new. */
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
    { addresses, error }: Found,
    mustVerify: boolean,
  ): Promise<EndpointSpec | undefined> {
    const { isSelf } = this.#deps;
    if (addresses === undefined) return this.#withoutAddress(spec, mustVerify, error);
    const own = addresses.find((address) => isSelf(address, spec.address.port));
    if (own !== undefined) {
      this.#reject(spec, `it resolves to ${own}, the gateway's own listen address`);
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
    if (this.#isNews(spec, why)) this.#deps.events.unresolved(spec, why);
    return spec;
  }

  async #verify(
    spec: EndpointSpec,
    addresses: readonly string[],
  ): Promise<EndpointSpec | undefined> {
    const label = labelOf(spec);
    // Of the round that is now: a proof that ends after `recheck` does not count for the next.
    const round = this.#round;
    const verified = this.#verified.get(label) ?? new Map<string, number>();
    this.#verified.set(label, verified);
    const failures: string[] = [];
    for (const host of addresses.filter((address) => verified.get(address) !== round)) {
      try {
        await this.#deps.verify({ host, port: spec.address.port }, spec.certificateNames);
        verified.set(host, round);
      } catch (error) {
        if (!isUndecided(error)) verified.delete(host);
        failures.push(
          addresses.length === 1 ? describeTlsError(error) : `${host}: ${describeTlsError(error)}`,
        );
      }
    }
    if (failures.length > 0) this.#reject(spec, failures.join("; "));
    else this.#reasons.delete(label);
    const usable = addresses.some((address) => verified.has(address));
    return usable ? this.stillVerified(spec) : undefined;
  }

  #reject(spec: EndpointSpec, why: string): void {
    if (this.#isNews(spec, why)) this.#deps.events.rejected(spec, why);
  }

  #isNews(spec: EndpointSpec, why: string): boolean {
    const label = labelOf(spec);
    if (this.#reasons.get(label) === why) return false;
    this.#reasons.set(label, why);
    return true;
  }
}

/** Nothing was learnt of the certificate: nobody answered, or our own files cannot be read. */
function isUndecided(error: unknown): boolean {
  return isUnreached(error) || (error as Error).name === "TlsFileError";
}
