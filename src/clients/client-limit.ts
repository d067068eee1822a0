// Limits the connections of each client address (--max-connections-per-client).

export class ClientLimit<Connection extends object> {
  #max = 0;
  readonly #counts = new Map<string, number>();
  readonly #addresses = new Map<Connection, string>();

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

  /** Counts a connection for its client's address until `release`. Does nothing without a limit. */
  acquire(connection: Connection, address: string): void {
    if (!this.isOn) return;
    this.#addresses.set(connection, address);
    this.#counts.set(address, (this.#counts.get(address) ?? 0) + 1);
  }

  /** Stops counting a connection. Does nothing for one that was not acquired. */
  release(connection: Connection): void {
    const address = this.#addresses.get(connection);
    if (address === undefined) return;

    this.#addresses.delete(connection);
    const count = this.#counts.get(address)! - 1;
    if (count === 0) this.#counts.delete(address);
    else this.#counts.set(address, count);
  }
}
