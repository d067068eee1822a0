// The clients of one gateway during a fault, and the figures of what they noticed:
// workers that put and get keys, each attempt on a new connection.
import { randomBytes } from "node:crypto";
import { encode } from "../support/etcd-json.ts";
import type { Cluster } from "./cluster.ts";
import { type Outcome, post } from "./post.ts";

export const WORKERS = 4;
// Pause between attempts, which leaves CPU time to the members on two cores.
const PACE_MS = 25;
const LARGE_BYTES = 48 * 1024;

export interface Figures {
  readonly attempts: number;
  readonly failed: number;
  /** The number of attempts by failure. */
  readonly failures: Readonly<Record<string, number>>;
  /** Failed attempts that began after the fault was over. */
  readonly failedAfter: number;
  readonly longestWaitMs: number;
  /** The longest time between two successes of any worker, counting the load's start and end. */
  readonly longestGapMs: number;
  readonly checkedBytes: number;
  readonly wrongBytes: number;
}

/** Clients put and get keys, or send bulk to an echo server. */
export type Workload = "keys" | "echo";

/** The running clients of one gateway. */
export interface Clients {
  /** Stops the clients; resolves when their last attempts are over. */
  stop(): Promise<void>;
  /** Returns what the clients noticed; the fault was over at `healedAt`. Call once, after `stop`. */
  figures(healedAt: number): Promise<Figures>;
}

/** One attempt of a worker: its outcome, and the bytes that it checked. */
export interface Attempted {
  readonly outcome: Omit<Outcome, "body">;
  readonly checkedBytes?: number;
  readonly wrongBytes?: number;
}

/** Runs attempts, which the caller provides, in WORKERS workers until they are stopped. */
export class Workers implements Clients {
  readonly #outcomes: Omit<Outcome, "body">[] = [];
  readonly #startedAt = performance.now();
  readonly #workers: Promise<void>[];
  #stoppedAt = 0;
  #checkedBytes = 0;
  #wrongBytes = 0;

  constructor(attempts: (worker: number) => AsyncGenerator<Attempted>) {
    this.#workers = Array.from({ length: WORKERS }, (_, i) => this.#work(attempts(i)));
  }

  async stop(): Promise<void> {
    this.#stoppedAt = performance.now();
    await Promise.all(this.#workers);
  }

  async figures(healedAt: number): Promise<Figures> {
    const failed = this.#outcomes.filter(({ failure }) => failure !== undefined);
    const failures: Record<string, number> = {};
    for (const { failure } of failed) failures[failure!] = (failures[failure!] ?? 0) + 1;

    const successes = this.#outcomes
      .filter(({ failure, endedAt }) => failure === undefined && endedAt < this.#stoppedAt)
      .map(({ endedAt }) => endedAt);
    const marks = [this.#startedAt, ...successes.toSorted((a, b) => a - b), this.#stoppedAt];

    return {
      attempts: this.#outcomes.length,
      failed: failed.length,
      failures,
      failedAfter: failed.filter(({ startedAt }) => startedAt > healedAt).length,
      longestWaitMs: Math.max(...this.#outcomes.map((o) => o.endedAt - o.startedAt)),
      longestGapMs: Math.max(...marks.slice(1).map((mark, i) => mark - marks[i]!)),
      checkedBytes: this.#checkedBytes,
      wrongBytes: this.#wrongBytes,
    };
  }

  async #work(attempts: AsyncGenerator<Attempted>): Promise<void> {
    for await (const { outcome, checkedBytes = 0, wrongBytes = 0 } of attempts) {
      this.#outcomes.push(outcome);
      this.#checkedBytes += checkedBytes;
      this.#wrongBytes += wrongBytes;
      if (this.#stoppedAt > 0) return;
      await Bun.sleep(PACE_MS);
    }
  }
}

/** Puts values of many sizes, and reads each acknowledged one back at once and at the end. */
export class PutAndGet implements Clients {
  readonly #attempted = new Map<string, string>();
  readonly #acknowledged = new Set<string>();
  readonly #workers: Workers;
  readonly #cluster: Cluster;
  readonly #prefix: string;

  constructor(port: number, cluster: Cluster, prefix: string) {
    this.#cluster = cluster;
    this.#prefix = prefix;
    this.#workers = new Workers((worker) => this.#attempts(port, worker));
  }

  async stop(): Promise<void> {
    await this.#workers.stop();
  }

  async figures(healedAt: number): Promise<Figures> {
    const figures = await this.#workers.figures(healedAt);
    const stored = await this.#cluster.readBack(this.#prefix);

    let { checkedBytes, wrongBytes } = figures;
    for (const [key, value] of this.#attempted) {
      // A put without a response may be missing, but what is stored must be complete.
      if (!this.#acknowledged.has(key) && !stored.has(key)) continue;
      checkedBytes += sizeOf(value);
      wrongBytes += countWrongBytes(stored.get(key), value);
    }
    await this.#cluster.deletePrefix(this.#prefix);
    return { ...figures, checkedBytes, wrongBytes };
  }

  async *#attempts(port: number, worker: number): AsyncGenerator<Attempted> {
    for (let i = 0; ; i++) {
      const key = `${this.#prefix}${worker}/${i}`;
      const bytes = i % 16 === 15 ? LARGE_BYTES : 1 + ((i * 397) % 4096);
      const value = randomBytes(bytes).toString("base64");
      this.#attempted.set(key, value);

      const put = await post(port, "/v3/kv/put", { key: encode(key), value });
      yield { outcome: put };
      if (put.failure !== undefined) continue;
      this.#acknowledged.add(key);

      const got = await post(port, "/v3/kv/range", { key: encode(key) });
      if (got.failure !== undefined) yield { outcome: got };
      else {
        const wrongBytes = countWrongBytes(got.body.kvs?.[0]?.value, value);
        yield { outcome: got, checkedBytes: bytes, wrongBytes };
      }
    }
  }
}

const sizeOf = (base64: string) => Buffer.from(base64, "base64").length;

/** Counts the bytes of `actual` that differ from `expected`, missing and surplus ones included. */
function countWrongBytes(actual: string | undefined, expected: string): number {
  if (actual === expected) return 0;
  const bytes = Buffer.from(expected, "base64");
  const others = Buffer.from(actual ?? "", "base64");
  const wrong = bytes.filter((byte, i) => byte !== others[i]).length;
  return wrong + Math.max(0, others.length - bytes.length);
}
