// A watch that is kept open as long as the soak runs: it resumes after the last revision that
// it has received whenever its stream ends, and hands all its events to the checker.
import type { WatchStream } from "../../support/etcd-client.ts";
import { Watch } from "../../support/etcd-rpcs.ts";
import type { Checker } from "./checker.ts";
import { eventOfChange } from "./jobs.ts";
import type { Reports } from "./reports.ts";
import type { SoakClient } from "./soak-client.ts";
import type { StoreEvent } from "./store-history.ts";

export interface WatchedRange {
  readonly from: string;
  readonly end: string;
  readonly prevKv?: boolean;
  readonly progressNotify?: boolean;
}

const PATIENCE_MS = 3_600_000;
const PAUSE_MS = 20;

/** One range of a stream. */
class Range {
  events: StoreEvent[] = [];
  /** All events up to this revision were checked. */
  checkedTo = 0;
  /** The last revision that was received. */
  last = 0;

  constructor(readonly spec: WatchedRange) {}
}

/** Several ranges on one stream. */
export class LongWatch {
  /** How often a stream was opened again. */
  static resumptions = 0;
  readonly #client: SoakClient;
  readonly #checker: Checker;
  readonly #reports: Reports;
  readonly #ranges: readonly Range[];
  #stream: WatchStream | undefined;
  #isStopped = true;
  #running = Promise.resolve();

  constructor(
    client: SoakClient,
    { checker, reports }: { checker: Checker; reports: Reports },
    specs: readonly WatchedRange[],
  ) {
    this.#client = client;
    this.#checker = checker;
    this.#reports = reports;
    this.#ranges = specs.map((spec) => new Range(spec));
  }

  get ranges(): readonly WatchedRange[] {
    return this.#ranges.map(({ spec }) => spec);
  }

  /** Opens the stream. Events after `revision` are expected at first. */
  start(revision: number): void {
    for (const range of this.#ranges) {
      range.checkedTo ||= revision;
      range.last ||= revision;
    }
    this.#isStopped = false;
    this.#running = this.#run();
  }

  /** Ends the stream and its connection. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#client.reset();
    await this.#running;
  }

  /** Whether all ranges have received an event at `revision`, which each of them has. */
  hasReached(revision: number): boolean {
    return this.#ranges.every(({ last }) => last >= revision);
  }

  /** Hands the events up to `revision` to the checker. */
  settle(revision: number): void {
    for (const range of this.#ranges) {
      const { spec, events, checkedTo } = range;
      const { from, end } = spec;
      const what = `the long watch of ${this.#client.name}`;
      this.#checker.watched({ what, from, end, after: checkedTo, to: revision, events });
      range.checkedTo = revision;
      range.events = [];
    }
  }

  describe(): string {
    const lasts = this.#ranges.map(({ spec, last }) => `${spec.from}: ${last}`);
    return `${this.#client.name} at ${this.#client.proxy}, last revisions ${lasts.join(", ")}`;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const startedAt = performance.now();
      this.#stream = await this.#client.open(Watch.Watch);
      if (this.#stream === undefined || this.#isStopped) {
        await Bun.sleep(PAUSE_MS);
        continue;
      }
      LongWatch.resumptions++;
      await this.#follow(this.#stream).catch((error: Error) => {
        const end = this.#stream!.call.end;
        if (this.#isStopped) return;
        if (end === undefined) this.#reports.wrong(this.#client.name, error.message);
        else this.#client.failed("the long watch", end, startedAt);
      });
      await Bun.sleep(PAUSE_MS);
    }
  }

  async #follow(stream: WatchStream): Promise<void> {
    this.#reports.operation(this.#client.name, `watches from ${this.#ranges[0]!.last + 1}`);
    for (const [i, { spec, last }] of this.#ranges.entries()) {
      const { from: key, end: rangeEnd, prevKv = false, progressNotify = false } = spec;
      const create = { key, rangeEnd, prevKv, progressNotify, startRevision: last + 1 };
      stream.send({ create: { ...create, watchId: i + 1 } });
    }
    for (;;) {
      const { watchId, canceled, cancelReason, events } = await stream.next(PATIENCE_MS);
      const range = this.#ranges[watchId - 1];
      if (canceled || range === undefined)
        throw new Error(`watch ${watchId} was cancelled: ${cancelReason}`);
      for (const { type, kv } of events) {
        range.events.push(eventOfChange(type, kv!));
        range.last = kv!.modRevision;
      }
    }
  }
}
