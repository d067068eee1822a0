// Bounds the memory that is held for peers at once. The buffer limit gives a stalled peer
// fifteen seconds, in which a client can have members send more than the machine has; this
// closes the clients that hold most as soon as twice the limit is held.
import type { BufferedBytes } from "../http2/buffered-bytes.ts";

// Above the limit, the buffer limit resets stalled calls; up to here it may.
const CEILING = 2;

/** A client whose connection may be closed. */
export interface HoldingClient {
  /** Bytes held because of its connection: of its requests, and what it does not read of the proxy's own. */
  readonly heldBytes: number;
  terminate(): void;
}

/** A call, and what is held of its response. */
export interface HoldingCall {
  readonly sender: HoldingClient;
  readonly responseHeldBytes: number;
}

export interface MemoryHolders {
  readonly clients: Iterable<HoldingClient>;
  readonly calls: Iterable<HoldingCall>;
  /** `count` clients were closed when `bufferedBytes` were held. */
  clientsEnded(count: number, bufferedBytes: number): void;
}

/** Counts the bytes that are held: the total, and those of one part of it. */
export class CountedBytes implements BufferedBytes {
  bytes = 0;
  readonly #total: BufferedBytes;

  constructor(total: BufferedBytes) {
    this.#total = total;
  }

  add(bytes: number): void {
    this.bytes += bytes;
    this.#total.add(bytes);
  }

  get mayGrow(): boolean {
    return this.#total.mayGrow;
  }
}

export class MemoryCeiling implements BufferedBytes {
  readonly #total: BufferedBytes & { readonly bytes: number };
  readonly #holders: MemoryHolders;
  #maxBytes = Number.POSITIVE_INFINITY;
  #isScheduled = false;

  /** `total` counts the bytes, and has a limit of its own. */
  constructor(total: BufferedBytes & { readonly bytes: number }, holders: MemoryHolders) {
    this.#total = total;
    this.#holders = holders;
  }

  /** 0: no limit. */
  setLimit(limitBytes: number): void {
    this.#maxBytes = limitBytes === 0 ? Number.POSITIVE_INFINITY : CEILING * limitBytes;
  }

  add(bytes: number): void {
    this.#total.add(bytes);
    if (bytes <= 0 || this.#total.bytes <= this.#maxBytes || this.#isScheduled) return;
    // Not here: the bytes come from the middle of what a connection reads.
    this.#isScheduled = true;
    queueMicrotask(() => this.#enforce());
  }

  get mayGrow(): boolean {
    return this.#total.mayGrow;
  }

  #enforce(): void {
    this.#isScheduled = false;
    const before = this.#total.bytes;
    let count = 0;
    for (const [client] of this.#byHeldBytes()) {
      if (this.#total.bytes <= this.#maxBytes) break;
      client.terminate();
      count++;
    }
    if (count > 0) this.#holders.clientsEnded(count, before);
  }

  /** Returns the clients that hold anything, those that hold most first. */
  #byHeldBytes(): [HoldingClient, number][] {
    const held = new Map<HoldingClient, number>();
    const add = (client: HoldingClient, bytes: number) => {
      if (bytes > 0) held.set(client, (held.get(client) ?? 0) + bytes);
    };
    for (const client of this.#holders.clients) add(client, client.heldBytes);
    for (const { sender, responseHeldBytes } of this.#holders.calls) add(sender, responseHeldBytes);
    return [...held].sort(([, a], [, b]) => b - a);
  }
}
