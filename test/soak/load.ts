// The load: groups of workers, each of which holds one conversation after another.
// It counts conversations and reports those that fail.
import { ClientEnd } from "./client-end.ts";
import { conversations, type Kind } from "./conversations.ts";
import { randomOf } from "./seeded.ts";
import { Sleeper } from "./sleeper.ts";

interface WorkerGroup {
  readonly workers: number;
  /** Relative frequency of each kind of conversation. */
  readonly kinds: Partial<Record<Kind, number>>;
  /** Pause between two conversations of one worker. */
  readonly pauseMs?: number;
}

// Pause of a worker after a failure. Without it, refused clients would outnumber the others.
const PAUSE_AFTER_FAILURE_MS = 50;

const WORKER_GROUPS: readonly WorkerGroup[] = [
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
  { workers: 3, kinds: { bulk: 1 }, pauseMs: 200 },
];

/** A failed conversation. */
export interface Failure {
  readonly number: number;
  readonly kind: Kind;
  readonly message: string;
  /** Whether bytes were wrong, which no fault excuses. */
  readonly isWrong: boolean;
  /** Number of the server; undefined if none answered. */
  readonly server: number | undefined;
  /** On performance.now()'s clock, as is `endedAt`. */
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface LoadOptions {
  readonly port: number;
  readonly seed: number;
  readonly onFailure: (failure: Failure) => void;
}

export class Load {
  /** Conversations that have ended, by kind. */
  readonly counts = new Map<Kind, number>();
  /** Bytes of both streams of the conversations that have ended. */
  bytes = 0;
  readonly #options: LoadOptions;
  readonly #open = new Set<ClientEnd>();
  #sleeper = new Sleeper();
  #running: Promise<unknown> = Promise.resolve();
  #isStopped = true;
  #nextNumber = 1;

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Open conversations. */
  get open(): number {
    return this.#open.size;
  }

  start(): void {
    this.#isStopped = false;
    this.#sleeper = new Sleeper();
    const workers = WORKER_GROUPS.flatMap(({ workers, kinds, pauseMs = 0 }) => {
      // Contains each kind as often as its frequency, so that a worker picks one at random.
      const choices = Object.entries(kinds).flatMap(([kind, weight]) =>
        Array.from({ length: weight }, () => kind as Kind),
      );
      return Array.from({ length: workers }, () => this.#work(choices, pauseMs));
    });

    const timer = setInterval(() => this.#checkTimeouts(), 1000);
    this.#running = Promise.all(workers).finally(() => clearInterval(timer));
  }

  /** Lets all conversations end, and ends idle ones at once. Resolves when none is open. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#sleeper.wakeAll();
    await this.#running;
  }

  /** Opens `count` connections at once, each of which is reset at once. */
  async flood(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.#converse("touch")));
  }

  async #work(choices: readonly Kind[], pauseMs: number): Promise<void> {
    while (!this.#isStopped) {
      const random = randomOf(this.#options.seed, -this.#nextNumber);
      const hasSucceeded = await this.#converse(choices[random(choices.length)]!);
      const ms = hasSucceeded ? pauseMs : PAUSE_AFTER_FAILURE_MS;
      if (ms > 0) await this.#sleeper.sleep(ms);
    }
  }

  /** Holds one conversation; returns whether it succeeded. */
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
      failure = await conversations[kind]({ end, random, sleeper: this.#sleeper });
      this.bytes += end.sentBytes + end.receivedBytes;
    } catch (error) {
      failure = `connect: ${(error as { code?: string }).code ?? String(error)}`;
    }

    if (end !== undefined) this.#open.delete(end);
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    const message = end?.wrong === undefined ? failure : `wrong bytes ${end.wrong}`;
    if (message === undefined) return true;

    const [isWrong, endedAt] = [end?.wrong !== undefined, performance.now()];
    onFailure({ number, kind, message, isWrong, server: end?.server, startedAt, endedAt });
    if (end?.isClosed === false) end.reset();
    return false;
  }

  #checkTimeouts(): void {
    const now = performance.now();
    for (const end of this.#open) end.checkTimeout(now);
  }
}
