// Access control by client address: the networks of --allow-cidr.
import { BlockList, isIP } from "node:net";

export class ClientAcl {
  #allowed: BlockList | undefined;

  /** Replaces the allowed networks, such as `10.0.0.0/8`. An empty list allows every client. */
  setNetworks(networks: readonly string[]): void {
    this.#allowed = networks.length === 0 ? undefined : new BlockList();
    for (const network of networks) {
      const [address, bits] = network.split("/") as [string, string];
      this.#allowed!.addSubnet(address, Number(bits), familyOf(address));
    }
  }

  /** Whether every client is allowed. */
  get isOpen(): boolean {
    return this.#allowed === undefined;
  }

  /** Whether a client at this IP literal may connect. */
  allows(address: string): boolean {
    return this.#allowed?.check(address, familyOf(address)) ?? true;
  }
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}
