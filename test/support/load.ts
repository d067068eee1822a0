// A load of requests, each on a new connection, and the outcome of each.
import { requestOnce } from "./etcd-request.ts";
import { until } from "./peer.ts";

export interface Attempt {
  readonly number: number;
  /** The worker's number, from 0. */
  readonly worker: number;
  /** On performance.now()'s clock, as is `endedAt`. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** An errno's name, "HTTP" and a status other than 200, or undefined for success. */
  readonly code: string | undefined;
}

type HttpRequest = Parameters<typeof requestOnce>[1];

/** Workers that send one request after the other, each on a new connection, until `stop`. */
export class Load {
  readonly attempts: Attempt[] = [];
  readonly #workers: Promise<void>[];
  #isStopped = false;
  #number = 0;

  constructor(port: number, workers: number, request: (number: number) => HttpRequest) {
    this.#workers = Array.from({ length: workers }, (_, worker) =>
      this.#work(worker, port, request),
    );
  }

  get succeeded(): Attempt[] {
    return this.attempts.filter(({ code }) => code === undefined);
  }

  get failed(): Attempt[] {
    return this.attempts.filter(({ code }) => code !== undefined);
  }

  /** Resolves when `count` attempts that started after the call have succeeded. */
  async successes(count: number): Promise<void> {
    const from = performance.now();
    const first = this.attempts.length;
    const isNewSuccess = ({ startedAt, code }: Attempt) => startedAt >= from && code === undefined;
    const isReached = () => this.attempts.slice(first).filter(isNewSuccess).length >= count;
    await until(isReached, `${count} attempts had succeeded`, 30_000);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#workers);
  }

  report(): string {
    const ends = this.succeeded.map(({ endedAt }) => endedAt).toSorted((a, b) => a - b);
    const gaps = ends.slice(1).map((end, i) => end - ends[i]!);
    const codes = new Map<string, number>();
    for (const { code } of this.failed) codes.set(code!, (codes.get(code!) ?? 0) + 1);
    const failures = [...codes].map(([code, count]) => `, ${count} ${code}`).join("");
    const gap = Math.max(...gaps).toFixed(0);
    return `${this.attempts.length} attempts, ${this.failed.length} failed${failures}; longest gap ${gap} ms`;
  }

  async #work(
    worker: number,
    port: number,
    request: (number: number) => HttpRequest,
  ): Promise<void> {
    while (!this.#isStopped) {
      const number = this.#number++;
      const startedAt = performance.now();
      const code = await requestOnce(port, request(number)).then(
        ({ status }) => (status === 200 ? undefined : `HTTP ${status}`),
        (error: Error & { code?: string }) => error.code ?? error.message,
      );
      this.attempts.push({ number, worker, startedAt, endedAt: performance.now(), code });
      // Leaves the members CPU time for elections.
      await Bun.sleep(5);
    }
  }
}
