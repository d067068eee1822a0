// The connections of clients that are open.
import type { TcpSystem } from "../net/tcp-socket.ts";
import type { OpenConnections } from "../clients/acceptor.ts";
import type { Client } from "./client.ts";

export class Clients implements OpenConnections {
  readonly #system: Pick<TcpSystem, "isReset">;
  readonly #clients = new Set<Client>();
  #onEmpty = () => {};

  constructor(system: Pick<TcpSystem, "isReset">) {
    this.#system = system;
  }

  get count(): number {
    return this.#clients.size;
  }

  [Symbol.iterator](): Iterator<Client> {
    return this.#clients.values();
  }

  has(client: Client): boolean {
    return this.#clients.has(client);
  }

  add(client: Client): void {
    this.#clients.add(client);
  }

  remove(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#onEmpty();
  }

  reapReset(): void {
    for (const client of this.#clients) {
      const { descriptor } = client;
      if (descriptor !== undefined && this.#system.isReset(descriptor)) client.terminate();
    }
  }

  /** Sends all clients away: they take no new calls, and close when theirs have ended. Resolves when they are gone. */
  drain(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onEmpty = resolve;
    if (this.#clients.size === 0) resolve();
    for (const client of this.#clients) client.drain();
    return promise;
  }

  /** Ends all connections, but for those whose last bytes the kernel delivers. May be called twice. */
  close(): void {
    for (const client of [...this.#clients]) if (!client.isShut) client.terminate();
  }
}
