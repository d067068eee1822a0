// What the store holds, and held at each revision of a phase, read from a member directly. The
// answers that clients got through the proxies are compared with it.
import { EtcdClient } from "../../support/etcd-client.ts";
import { Watch } from "../../support/etcd-rpcs.ts";
import { idOf } from "./values.ts";

/** A change of one key. */
export interface StoreEvent {
  readonly revision: number;
  readonly key: string;
  /** The write that put the value; undefined: the key was deleted. */
  readonly id: number | undefined;
}

/** The range end that stands for all keys from the first on. */
export const FROM_KEY = "\0";

/** Whether a key is in a range, as etcd compares them; without an end, the range is one key. */
export function isIn(key: string, from: string, end = ""): boolean {
  if (end === "") return key === from;
  return key >= from && (end === FROM_KEY || key < end);
}

/** Returns the range end of a prefix. */
export function endOf(prefix: string): string {
  const last = prefix.length - 1;
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
}

const READ_MS = 60_000;

export class StoreHistory {
  /** The changes of this phase, in their order. */
  events: StoreEvent[] = [];
  /** All changes of this phase by key, after the last one before it. */
  readonly #byKey = new Map<string, StoreEvent[]>();
  /** The last revision that was read. */
  revision = 0;

  /** Reads the changes up to `to`, which must be a change. The last phase's are dropped. */
  async read(address: string, to: number): Promise<void> {
    this.events = [];
    for (const [key, events] of this.#byKey) {
      const last = events.at(-1)!;
      if (last.id === undefined) this.#byKey.delete(key);
      else this.#byKey.set(key, [last]);
    }

    const client = await EtcdClient.connect(address);
    try {
      const stream = client.open(Watch.Watch);
      const startRevision = this.revision + 1;
      stream.send({ create: { key: FROM_KEY, rangeEnd: FROM_KEY, startRevision } });
      while (this.revision < to) {
        for (const { type, kv } of (await stream.next(READ_MS)).events)
          this.add({
            revision: kv!.modRevision,
            key: kv!.key,
            id: type === 0 ? idOf(kv!.value) : undefined,
          });
      }
    } finally {
      client.close();
    }
  }

  /** Returns the change that made the key what it was at a revision; undefined if it was absent. */
  stateAt(key: string, revision: number): StoreEvent | undefined {
    const event = this.#byKey.get(key)?.findLast((event) => event.revision <= revision);
    return event?.id === undefined ? undefined : event;
  }

  /** Returns the keys of a range that existed at a revision, in their order, as changes. */
  rangeAt(from: string, end: string, revision: number): StoreEvent[] {
    const keys = [...this.#byKey.keys()].filter((key) => isIn(key, from, end)).toSorted();
    return keys.flatMap((key) => this.stateAt(key, revision) ?? []);
  }

  /** Returns the changes at one revision. */
  at(revision: number): StoreEvent[] {
    let low = 0;
    for (let high = this.events.length; low < high;) {
      const middle = (low + high) >> 1;
      if (this.events[middle]!.revision < revision) low = middle + 1;
      else high = middle;
    }
    const found: StoreEvent[] = [];
    while (this.events[low]?.revision === revision) found.push(this.events[low++]!);
    return found;
  }

  /** Adds a change that follows all others. */
  add(event: StoreEvent): void {
    this.revision = event.revision;
    this.events.push(event);
    const events = this.#byKey.get(event.key) ?? [];
    events.push(event);
    this.#byKey.set(event.key, events);
  }
}
