// Limits the connections of each client address (--max-connections-per-client).
import type { Relay } from "../relay/relay.ts";

export class ClientLimit {
  #max = 0;
  readonly #counts = new Map<string, number>();
  readonly #addresses = new Map<Relay, string>();

  /** Sets the limit. 0: no limit. Open connections stay, and count if they were acquired. */
  setMax(max: number): void {
    this.#max = max;
  }

  /** Whether there is a limit. */
  get isOn(): boolean {
    return this.#max > 0;
  }

  /** Whether a client address has reached the limit. */
  isReached(address: string): boolean {
    return this.isOn && (this.#counts.get(address) ?? 0) >= this.#max;
  }

  /** Counts a relay for its client's address until `release`. Does nothing without a limit. */
  acquire(relay: Relay, address: string): void {
    if (!this.isOn) return;
    this.#addresses.set(relay, address);
    this.#counts.set(address, (this.#counts.get(address) ?? 0) + 1);
  }

  /** Stops counting a relay. Does nothing for a relay that was not acquired. */
  release(relay: Relay): void {
    const address = this.#addresses.get(relay);
    if (address === undefined) return;

    this.#addresses.delete(relay);
    const count = this.#counts.get(address)! - 1;
    if (count === 0) this.#counts.delete(address);
    else this.#counts.set(address, count);
  }
}
