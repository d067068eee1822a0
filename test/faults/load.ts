// What clients do through one gateway while something breaks, and what they
// saw of it: workers that put and get, each attempt on a connection of its own.
import { randomBytes } from "node:crypto";
import { encode } from "../support/etcd-json.ts";
import { ask, type Outcome } from "./ask.ts";
import type { Cluster } from "./cluster.ts";

export const WORKERS = 4;
// A pace that leaves CPU to the members, on a machine of two cores.
const PACE_MS = 25;
const LARGE_BYTES = 48 * 1024;

export interface Figures {
  readonly attempts: number;
  readonly failed: number;
  /** How often each failure occurred. */
  readonly failures: Readonly<Record<string, number>>;
  /** Of the failed, those that began when the fault was over. */
  readonly failedAfter: number;
  readonly longestWaitMs: number;
  /** Between two successes of any worker, or the load's begin or end. */
  readonly longestGapMs: number;
  readonly checkedBytes: number;
  readonly wrongBytes: number;
}

/** What clients do: put and get keys, or send bulk and have it back. */
export type Workload = "keys" | "echo";

/** Clients of one gateway that are at it. */
export interface Clients {
  /** Resolves when no client works any more. */
  stop(): Promise<void>;
  /** `healedAt`: when the fault was over. Call it once, after `stop`. */
  figures(healedAt: number): Promise<Figures>;
}

/** One worker's next attempt: its outcome, and the bytes that it could check on the way. */
export interface Attempted {
  readonly outcome: Omit<Outcome, "body">;
  readonly checkedBytes?: number;
  readonly wrongBytes?: number;
}

/** Workers without end: what they attempt is the caller's. */
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

/** Puts of values of many sizes; what was acknowledged is read again at once, and once more in the end. */
export class PutAndGet implements Clients {
  readonly #tried = new Map<string, string>();
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
    const held = await this.#cluster.readBack(this.#prefix);
    let { checkedBytes, wrongBytes } = figures;
    for (const [key, value] of this.#tried) {
      // Without an answer nobody knows whether it was put; if it was, then whole.
      if (!this.#acknowledged.has(key) && !held.has(key)) continue;
      checkedBytes += sizeOf(value);
      wrongBytes += wrongIn(held.get(key), value);
    }
    await this.#cluster.forget(this.#prefix);
    return { ...figures, checkedBytes, wrongBytes };
  }

  async *#attempts(port: number, worker: number): AsyncGenerator<Attempted> {
    for (let i = 0; ; i++) {
      const key = `${this.#prefix}${worker}/${i}`;
      const bytes = i % 16 === 15 ? LARGE_BYTES : 1 + ((i * 397) % 4096);
      const value = randomBytes(bytes).toString("base64");
      this.#tried.set(key, value);
      const put = await ask(port, "/v3/kv/put", { key: encode(key), value });
      yield { outcome: put };
      if (put.failure !== undefined) continue;
      this.#acknowledged.add(key);
      const got = await ask(port, "/v3/kv/range", { key: encode(key) });
      if (got.failure !== undefined) yield { outcome: got };
      else {
        const wrongBytes = wrongIn(got.body.kvs?.[0]?.value, value);
        yield { outcome: got, checkedBytes: bytes, wrongBytes };
      }
    }
  }
}

const sizeOf = (base64: string) => Buffer.from(base64, "base64").length;

/** How many bytes are not what they should be; all of them if there are none. */
function wrongIn(found: string | undefined, wanted: string): number {
  if (found === wanted) return 0;
  const bytes = Buffer.from(wanted, "base64");
  const others = Buffer.from(found ?? "", "base64");
  const wrong = bytes.filter((byte, i) => byte !== others[i]).length;
  return wrong + Math.max(0, others.length - bytes.length);
}
