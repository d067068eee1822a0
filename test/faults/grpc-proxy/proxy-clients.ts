// The clients of one proxy during a fault: workers that put, get and watch keys on connections
// that they keep, and watches of all keys that are open from before the fault until after it.
import { randomBytes } from "node:crypto";
import { KV, Watch } from "../../support/etcd-rpcs.ts";
import type { Cluster } from "../cluster.ts";
import { type Attempted, type Figures, Workers } from "../load.ts";
import { CLIENT_TIMEOUT_MS } from "../post.ts";
import { FaultClient, type Login } from "./fault-client.ts";
import { FaultWatch } from "./fault-watch.ts";
import type { Proxy, ProxyPlan } from "./proxies.ts";

export const WATCHES = 3;
/** One put of this many is followed by a watch of its own. */
export const WATCH_EVERY = 8;
const LARGE_BYTES = 48 * 1024;
/** Time for the last events. */
const LAST_EVENTS_MS = 2000;

export interface ProxyFigures extends Figures {
  /** Events that the open watches should have received, together. */
  readonly events: number;
  readonly lost: number;
  /** Events that came more than once. */
  readonly repeated: number;
  /** The longest time from the answer of a put to its event. */
  readonly latestEventMs: number;
  /** Writes that are in the store twice. */
  readonly appliedTwice: number;
  /** How the streams of open watches ended. */
  readonly endings: Readonly<Record<string, number>>;
}

export class ProxyClients {
  readonly #cluster: Cluster;
  readonly #prefix: string;
  readonly #plan: ProxyPlan;
  readonly #address: string;
  readonly #watches: readonly FaultWatch[];
  readonly #clients: FaultClient[] = [];
  readonly #attempted = new Map<string, string>();
  /** When the put of a key was acknowledged. */
  readonly #acknowledged = new Map<string, number>();
  #workers!: Workers;

  constructor(proxy: Proxy, cluster: Cluster, prefix: string, plan: ProxyPlan) {
    this.#cluster = cluster;
    this.#prefix = prefix;
    this.#plan = plan;
    this.#address = proxy.address;
    const range = { key: prefix, rangeEnd: `${prefix}\xff` };
    this.#watches = Array.from(
      { length: WATCHES },
      () => new FaultWatch(new FaultClient(this.#address, plan.login), range),
    );
  }

  /** Starts the clients; resolves once the watches are created. */
  async start(): Promise<void> {
    await Promise.all(this.#watches.map((watch) => watch.start()));
    this.#workers = new Workers((worker) => this.#attempts(worker));
  }

  /** Stops the workers; resolves when their last attempts are over and the last events are due. */
  async stop(): Promise<void> {
    await this.#workers.stop();
    await Bun.sleep(LAST_EVENTS_MS);
    for (const one of [...this.#clients, ...this.#watches]) one.close();
  }

  /** Returns what the clients noticed; the fault was over at `healedAt`. Call once, after `stop`. */
  async figures(healedAt: number): Promise<ProxyFigures> {
    const figures = await this.#workers.figures(healedAt);
    const stored = await readBack(this.#cluster, this.#prefix, this.#plan.login);
    let { checkedBytes, wrongBytes } = figures;
    for (const [key, value] of this.#attempted) {
      // A put without an answer may be missing, but what is stored must be complete.
      if (!this.#acknowledged.has(key) && !stored.has(key)) continue;
      checkedBytes += value.length;
      if (stored.get(key)?.value !== value) wrongBytes += value.length;
    }
    const appliedTwice = [...stored.values()].filter(({ version }) => version !== 1).length;
    return { ...figures, checkedBytes, wrongBytes, appliedTwice, ...this.#watchFigures(stored) };
  }

  #watchFigures(stored: ReadonlyMap<string, Stored>) {
    const endings: Record<string, number> = {};
    let [lost, repeated, latestEventMs] = [0, 0, 0];
    for (const watch of this.#watches) {
      for (const [ending, count] of Object.entries(watch.endings))
        endings[ending] = (endings[ending] ?? 0) + count;
      for (const key of stored.keys()) {
        const event = watch.received.get(key);
        if (event === undefined) lost++;
        else if (event.times > 1) repeated++;
        const acknowledgedAt = this.#acknowledged.get(key);
        if (event !== undefined && acknowledgedAt !== undefined)
          latestEventMs = Math.max(latestEventMs, event.at - acknowledgedAt);
      }
    }
    return { events: stored.size * WATCHES, lost, repeated, latestEventMs, endings };
  }

  async *#attempts(worker: number): AsyncGenerator<Attempted> {
    const client = new FaultClient(this.#address, this.#plan.login);
    this.#clients.push(client);
    for (let i = 0; ; i++) {
      const key = `${this.#prefix}${worker}/${i}`;
      const isLarge = this.#plan.isBulk === true || i % 16 === 15;
      const bytes = isLarge ? LARGE_BYTES : 1 + ((i * 397) % 4096);
      const value = randomBytes(bytes).toString("latin1");
      this.#attempted.set(key, value);

      const put = await client.call(KV.Put, { key, value });
      yield { outcome: put };
      if (put.failure !== undefined) continue;
      this.#acknowledged.set(key, put.endedAt);

      const got = await client.call(KV.Range, { key });
      if (got.failure !== undefined) yield { outcome: got };
      else {
        const isRight = got.response!.kvs[0]?.value === value;
        yield { outcome: got, checkedBytes: bytes, wrongBytes: isRight ? 0 : bytes };
      }
      if (i % WATCH_EVERY === 0) {
        const { revision } = put.response!.header!;
        yield { outcome: await watchOnce(client, key, revision) };
      }
    }
  }
}

/** Opens a watch of a key from a put's revision on, and waits for the event. Never rejects. */
async function watchOnce(
  client: FaultClient,
  key: string,
  startRevision: number,
): Promise<Attempted["outcome"]> {
  const startedAt = performance.now();
  let failure: string | undefined;
  client.renewToken();
  const stream = await client.open(Watch.Watch).catch(() => undefined);
  try {
    stream?.send({ create: { key, startRevision } });
    for (let isOver = stream === undefined; !isOver;) {
      const { canceled, events } = await stream!.next(CLIENT_TIMEOUT_MS);
      isOver = canceled || events.length > 0;
      if (canceled) failure = "watch cancelled";
    }
    if (stream === undefined) failure = "refused";
  } catch {
    failure = stream?.call.end === undefined ? "watch timeout" : "watch ended";
  }
  stream?.cancel();
  return { failure, startedAt, endedAt: performance.now() };
}

interface Stored {
  readonly value: string;
  /** 1, unless the key was put more than once. */
  readonly version: number;
}

// Keys in one response; all keys of a row would make it huge.
const PAGE_KEYS = 50;

/** Reads the survivor's keys directly, then deletes them. */
async function readBack({ survivor }: Cluster, prefix: string, login: Login | undefined) {
  const client = new FaultClient(survivor.address, login);
  const found = new Map<string, Stored>();
  const rangeEnd = `${prefix}\xff`;
  try {
    for (let key = prefix; ;) {
      const { response, failure } = await client.call(KV.Range, {
        key,
        rangeEnd,
        limit: PAGE_KEYS,
      });
      if (response === undefined) throw new Error(`cannot read back: ${failure}`);
      const { kvs, more } = response;
      for (const { key, value, version } of kvs) found.set(key, { value, version });
      if (!more) break;
      key = `${kvs.at(-1)!.key}\0`;
    }
    await client.call(KV.DeleteRange, { key: prefix, rangeEnd });
    return found;
  } finally {
    client.close();
  }
}
