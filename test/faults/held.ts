// Clients that hold a connection open, as watches do: silent ones, and ones
// that ask something each second. When does the gateway tell them of a fault?
import { encode } from "../support/etcd-json.ts";
import { until } from "../support/peer.ts";
import { requestFor } from "./ask.ts";

// Enough that round-robin brings two of each kind to one member of three.
const CLIENTS = 15;
const ASK_EVERY_MS = 1000;

const WHOAMI = requestFor("/v3/kv/range", { key: encode("held") }, "1.1");

export interface Endings {
  /** Clients that were connected to the member. */
  readonly clients: number;
  /** The longest that one of them was left in the dark, in ms; Infinity: as long as was waited. */
  readonly silentMs: number;
  readonly askingMs: number;
}

/** Connections that were established to one member, by the id that it tells in its answers. */
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
    if (clients.length < 2) throw new Error(`no two of ${CLIENTS} clients met the member`);
    for (const client of clients.filter((_, i) => i % 2 === 1)) client.askOnAndOn();
    return new HeldClients(clients);
  }

  /** Lets all go; how long each had to wait from `since` for its connection's end. */
  release(since: number): Endings {
    const waits = this.#clients.map(({ endedAt }) => endedAt - since);
    for (const client of this.#clients) client.release();
    const longest = (odd: number) => Math.max(...waits.filter((_, i) => i % 2 === odd));
    return { clients: waits.length, silentMs: longest(0), askingMs: longest(1) };
  }
}

/** That many clients which say nothing, whether or not they are let in. */
export async function holdIdle(port: number, count: number) {
  const clients = await Promise.all(Array.from({ length: count }, () => Client.open(port)));
  return { release: () => clients.forEach((client) => client?.release()) };
}

class Client {
  text = "";
  endedAt = Infinity;
  #socket: Bun.Socket | undefined;
  #timer: Timer | undefined;

  /** Undefined if it is refused. */
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

  /** One that has been answered. */
  static async connect(port: number): Promise<Client> {
    const client = await Client.open(port);
    if (client === undefined) throw new Error("a client was refused before the fault");
    client.#ask();
    await until(() => client.text.includes("member_id"), "a client was answered");
    return client;
  }

  askOnAndOn(): void {
    this.#timer = setInterval(() => this.#ask(), ASK_EVERY_MS);
  }

  release(): void {
    this.#socket?.terminate();
  }

  #ask(): void {
    this.#socket?.write(WHOAMI);
  }
}
