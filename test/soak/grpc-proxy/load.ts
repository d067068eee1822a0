// The load: each client does one step of its job after another.
import { randomOf } from "../seeded.ts";
import type { Checker } from "./checker.ts";
import { GROUPS, type Job, type JobParts } from "./jobs.ts";
import type { Reports } from "./reports.ts";
import { SoakClient } from "./soak-client.ts";

/** One call of this many is cut with its connection. */
const RESET_EVERY = 300;

export interface LoadOptions {
  readonly seed: number;
  readonly reports: Reports;
  readonly checker: Checker;
  readonly proxies: readonly string[];
}

interface Worker {
  readonly job: Job;
  readonly pauseMs: number;
  readonly parts: JobParts;
}

export class Load {
  readonly #reports: Reports;
  readonly #workers: readonly Worker[];
  #running: Promise<unknown> = Promise.resolve();
  #isStopped = true;

  constructor({ seed, reports, checker, proxies }: LoadOptions) {
    this.#reports = reports;
    const isStopped = () => this.#isStopped;
    this.#workers = GROUPS.flatMap(({ job, clients, pauseMs }, group) =>
      Array.from({ length: clients }, (_, number) => {
        const random = randomOf(seed, 1 + group * 100 + number);
        const name = `client${group}.${number}`;
        const options = { name, random, reports, proxies, resetEvery: RESET_EVERY };
        const client = new SoakClient(options);
        return { job, pauseMs, parts: { number, client, checker, random, isStopped } };
      }),
    );
  }

  start(): void {
    this.#isStopped = false;
    this.#running = Promise.all(this.#workers.map((worker) => this.#work(worker)));
  }

  /** Lets all steps end, and closes the connections. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    for (const { parts } of this.#workers) parts.client.reset();
  }

  async #work({ job, pauseMs, parts }: Worker): Promise<void> {
    const { client, random } = parts;
    while (!this.#isStopped) {
      try {
        await job(parts);
      } catch (error) {
        this.#reports.wrong(client.name, `at ${client.proxy}: ${String(error)}`);
      }
      await Bun.sleep(random(2 * pauseMs));
    }
  }
}
