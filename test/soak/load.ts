// Crews of workers, each in one conversation after the other, and the tally of
// what became of them.
import { ClientEnd } from "./client-end.ts";
import { conversations, type Kind } from "./conversations.ts";
import { Patience } from "./patience.ts";
import { randomOf } from "./seeded.ts";

/** So many workers, and how often each kind comes among them. */
interface Crew {
  readonly workers: number;
  readonly kinds: Partial<Record<Kind, number>>;
  /** Between two conversations of one worker. */
  readonly restMs?: number;
}

// A client that failed does not come back at once, or the refused ones would be the most.
const REST_AFTER_FAILURE_MS = 50;

const CREWS: readonly Crew[] = [
  {
    workers: 40,
    kinds: {
      ...{ short: 72, "half-close": 8, "server first": 6 },
      ...{ "client reset": 5, "server reset": 5, touch: 4 },
    },
  },
  { workers: 200, kinds: { idle: 2, silent: 1 } },
  { workers: 20, kinds: { drip: 1 } },
  { workers: 10, kinds: { slow: 1 } },
  { workers: 3, kinds: { bulk: 1 }, restMs: 200 },
];

/** A conversation that did not go as it should. */
export interface Failure {
  readonly number: number;
  readonly kind: Kind;
  readonly what: string;
  /** Whether bytes were wrong, which nothing excuses. */
  readonly isWrong: boolean;
  /** Who served it, if that is known. */
  readonly server: number | undefined;
  /** Both on performance.now()'s clock. */
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface LoadOptions {
  readonly port: number;
  readonly seed: number;
  readonly onFailure: (failure: Failure) => void;
}

export class Load {
  /** Conversations so far, of each kind. */
  readonly counts = new Map<Kind, number>();
  /** Bytes of both streams, of the conversations that are over. */
  bytes = 0;
  readonly #options: LoadOptions;
  readonly #open = new Set<ClientEnd>();
  #patience = new Patience();
  #running: Promise<unknown> = Promise.resolve();
  #isStopped = true;
  #nextNumber = 1;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Conversations under way. */
  get open(): number {
    return this.#open.size;
  }

  start(): void {
    this.#isStopped = false;
    this.#patience = new Patience();
    const workers = CREWS.flatMap(({ workers, kinds, restMs = 0 }) => {
      // Each kind as often as it weighs: a worker draws one.
      const draw = Object.entries(kinds).flatMap(([kind, weight]) =>
        Array.from({ length: weight }, () => kind as Kind),
      );
      return Array.from({ length: workers }, () => this.#work(draw, restMs));
    });
    const looking = setInterval(() => this.#look(), 1000);
    this.#running = Promise.all(workers).finally(() => clearInterval(looking));
  }

  /** Has all of them come to their end, idle ones at once. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#patience.end();
    await this.#running;
  }

  /** So many clients at once that connect and reset. */
  async flood(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.#converse("touch")));
  }

  async #work(draw: readonly Kind[], restMs: number): Promise<void> {
    while (!this.#isStopped) {
      const random = randomOf(this.#options.seed, -this.#nextNumber);
      const isGood = await this.#converse(draw[random(draw.length)]!);
      const pauseMs = isGood ? restMs : REST_AFTER_FAILURE_MS;
      if (pauseMs > 0) await this.#patience.wait(pauseMs);
    }
  }

  /** Whether it went as it should. */
  async #converse(kind: Kind): Promise<boolean> {
    const { port, seed, onFailure } = this.#options;
    const number = this.#nextNumber++;
    const startedAt = performance.now();
    let end: ClientEnd | undefined;
    let failure: string | undefined;
    try {
      end = await ClientEnd.connect({ port, seed, number });
      this.#open.add(end);
      const random = randomOf(seed, number);
      failure = await conversations[kind]({ end, random, patience: this.#patience });
      this.bytes += end.sentBytes + end.receivedBytes;
    } catch (error) {
      failure = `connect: ${(error as { code?: string }).code ?? String(error)}`;
    }
    if (end !== undefined) this.#open.delete(end);
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    const what = end?.wrong === undefined ? failure : `wrong bytes ${end.wrong}`;
    if (what === undefined) return true;
    const [isWrong, endedAt] = [end?.wrong !== undefined, performance.now()];
    onFailure({ number, kind, what, isWrong, server: end?.server, startedAt, endedAt });
    if (end?.isClosed === false) end.reset();
    return false;
  }

  #look(): void {
    const now = performance.now();
    for (const end of this.#open) end.look(now);
  }
}
