// A watch during a fault, as etcd's client library holds it: it resumes after the last revision
// when its stream ends with UNAVAILABLE, INTERNAL or its connection, and gives up for good after
// any other code or a cancellation.
import { Watch } from "../../support/etcd-rpcs.ts";
import type { FaultClient } from "./fault-client.ts";
import { failureOf } from "./fault-client.ts";

const RESUMED: ReadonlySet<string> = new Set(["UNAVAILABLE", "INTERNAL", "cut"]);
const PAUSE_MS = 100;
const PATIENCE_MS = 3_600_000;

export class FaultWatch {
  /** When each key's event came, and how often. */
  readonly received = new Map<string, { at: number; times: number }>();
  /** How its streams ended, with the number of each. */
  readonly endings: Record<string, number> = {};
  readonly #client: FaultClient;
  readonly #range: { key: string; rangeEnd: string };
  #next = 0;
  #isClosed = false;

  constructor(client: FaultClient, range: { key: string; rangeEnd: string }) {
    this.#client = client;
    this.#range = range;
  }

  /** Resolves once the watch is created. */
  async start(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    void this.#run(resolve);
    await promise;
  }

  close(): void {
    this.#isClosed = true;
    this.#client.close();
  }

  async #run(created: () => void): Promise<void> {
    while (!this.#isClosed) {
      const ending = await this.#follow(created);
      if (this.#isClosed) return;
      if (ending !== undefined) {
        this.endings[ending] = (this.endings[ending] ?? 0) + 1;
        if (!RESUMED.has(ending)) return;
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  /** Returns how the stream ended; undefined if there was no connection for it. */
  async #follow(created: () => void): Promise<string | undefined> {
    this.#client.renewToken();
    const stream = await this.#client.open(Watch.Watch).catch(() => undefined);
    if (stream === undefined) return undefined;
    try {
      stream.send({ create: { ...this.#range, startRevision: this.#next } });
      for (;;) {
        const { header, canceled, events } = await stream.next(PATIENCE_MS);
        if (canceled) return "cancelled";
        if (this.#next === 0) this.#next = header!.revision + 1;
        created();
        const at = performance.now();
        for (const { kv } of events) {
          const times = (this.received.get(kv!.key)?.times ?? 0) + 1;
          this.received.set(kv!.key, { at, times });
          this.#next = kv!.modRevision + 1;
        }
      }
    } catch (error) {
      const { end } = stream.call;
      if (end === undefined) throw error;
      return failureOf(end) ?? "OK";
    }
  }
}
