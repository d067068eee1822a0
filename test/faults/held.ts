// Clients that hold a connection open, as watches do, half of them silent and half
// sending requests. Measures how long after a fault the gateway ends the connection.
import { encode } from "../support/etcd-json.ts";
import { until } from "../support/peer.ts";
import { requestFor } from "./post.ts";

// Enough for round-robin to assign at least two of each kind to one member of three.
const CLIENTS = 15;
const REQUEST_INTERVAL_MS = 1000;

const REQUEST = requestFor("/v3/kv/range", { key: encode("held") }, "1.1");

export interface Endings {
  /** The number of clients that were connected to the member. */
  readonly clients: number;
  /** The longest time until a silent client's connection ended; Infinity if one did not end. */
  readonly silentMs: number;
  /** The same for clients that send requests. */
  readonly activeMs: number;
}

/** Connections to one member, selected by the member id in its responses. */
export class HeldClients {
  readonly #clients: readonly Client[];

  private constructor(clients: readonly Client[]) {
    this.#clients = clients;
  }

  static async open(port: number, memberId: string): Promise<HeldClients> {
    const all = await Promise.all(Array.from({ length: CLIENTS }, () => Client.connect(port)));
    const isMembers = ({ text }: Client) => text.includes(`"member_id":"${memberId}"`);
    for (const client of all) if (!isMembers(client)) client.release();
    const clients = all.filter(isMembers);
    if (clients.length < 2)
      throw new Error(`fewer than two of ${CLIENTS} clients are connected to the member`);
    for (const client of clients.filter((_, i) => i % 2 === 1)) client.sendRequests();
    return new HeldClients(clients);
  }

  /** Closes all connections; returns the times from `since` until the gateway ended them. */
  release(since: number): Endings {
    const waits = this.#clients.map(({ endedAt }) => endedAt - since);
    for (const client of this.#clients) client.release();
    const longest = (odd: number) => Math.max(...waits.filter((_, i) => i % 2 === odd));
    return { clients: waits.length, silentMs: longest(0), activeMs: longest(1) };
  }
}

/** Opens `count` connections that stay silent. A refused one is not an error. */
export async function holdIdle(port: number, count: number) {
  const clients = await Promise.all(Array.from({ length: count }, () => Client.open(port)));
  return { release: () => clients.forEach((client) => client?.release()) };
}

class Client {
  text = "";
  endedAt = Infinity;
  #socket: Bun.Socket | undefined;
  #timer: Timer | undefined;

  /** Connects; undefined if the connection is refused. */
  static async open(port: number): Promise<Client | undefined> {
    const client = new Client();
    const connected = Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data(_, chunk) {
          client.text += chunk;
        },
        close() {
          client.endedAt = performance.now();
          clearInterval(client.#timer);
        },
      },
    });
    client.#socket = await connected.catch(() => undefined);
    return client.#socket && client;
  }

  /** Connects, and receives a response. */
  static async connect(port: number): Promise<Client> {
    const client = await Client.open(port);
    if (client === undefined) throw new Error("a client was refused before the fault");
    client.#send();
    await until(() => client.text.includes("member_id"), "a client received its response");
    return client;
  }

  sendRequests(): void {
    this.#timer = setInterval(() => this.#send(), REQUEST_INTERVAL_MS);
  }

  release(): void {
    this.#socket?.terminate();
  }

  #send(): void {
    this.#socket?.write(REQUEST);
  }
}
