// Which clients are let in: whose address is allowed, and who has not too many
// connections already. Asked before anything is done for a client.
import { BlockList, isIP } from "node:net";
import type { Relay } from "../relay/relay.ts";

/** Parts of the configuration. */
export interface GateLimits {
  /** Networks whose clients are let in, as `10.0.0.0/8`; empty: all. */
  readonly allowedNetworks: readonly string[];
  /** Connections of one address at the same time. 0: no limit. */
  readonly maxConnectionsPerClient: number;
}

export const NOT_ALLOWED = "outside --allow-cidr";
const TOO_MANY = "over --max-connections-per-client";

export type RefusedBecause = typeof NOT_ALLOWED | typeof TOO_MANY;

export class ClientGate {
  #limits: GateLimits = { allowedNetworks: [], maxConnectionsPerClient: 0 };
  #allowed: BlockList | undefined;
  readonly #counts = new Map<string, number>();
  readonly #clients = new Map<Relay, string>();

  /** Goes by these limits from now on; who is in stays. */
  set limits(limits: GateLimits) {
    this.#limits = limits;
    this.#allowed = limits.allowedNetworks.length === 0 ? undefined : new BlockList();
    for (const network of limits.allowedNetworks) {
      const [address, bits] = network.split("/") as [string, string];
      this.#allowed!.addSubnet(address, Number(bits), familyOf(address));
    }
  }

  /** Whether there are networks of which a client must be. */
  get hasNetworks(): boolean {
    return this.#allowed !== undefined;
  }

  /** Whether anybody at all might be refused. */
  get isGuarded(): boolean {
    return this.#allowed !== undefined || this.#limits.maxConnectionsPerClient > 0;
  }

  /** Why a client at this address is not let in; undefined: it is. */
  refusal(address: string): RefusedBecause | undefined {
    if (this.#allowed?.check(address, familyOf(address)) === false) return NOT_ALLOWED;
    const { maxConnectionsPerClient } = this.#limits;
    if (maxConnectionsPerClient === 0) return undefined;
    const count = this.#counts.get(address) ?? 0;
    return count >= maxConnectionsPerClient ? TOO_MANY : undefined;
  }

  /** A client at this address has been let in, until `leave`. */
  enter(relay: Relay, address: string): void {
    if (this.#limits.maxConnectionsPerClient === 0) return;
    this.#clients.set(relay, address);
    this.#counts.set(address, (this.#counts.get(address) ?? 0) + 1);
  }

  leave(relay: Relay): void {
    const address = this.#clients.get(relay);
    if (address === undefined) return;
    this.#clients.delete(relay);
    const count = this.#counts.get(address)! - 1;
    if (count === 0) this.#counts.delete(address);
    else this.#counts.set(address, count);
  }
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}
