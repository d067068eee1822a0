// Checks every answer that a client got: at once against what was acknowledged before the call,
// and at the end of a phase against the store's own history.
//
// etcd's revisions order all changes, so linearizability is two rules: an answer shows exactly
// the state at the revision that it names, and that revision is not below any acknowledged
// before the call began.
import type { Reports } from "./reports.ts";
import { type StoreEvent, type StoreHistory, isIn } from "./store-history.ts";

/** A put, by one client, never sent again by it. */
export interface Write {
  readonly id: number;
  readonly key: string;
  readonly client: string;
  /** What a counter holds after it. */
  readonly count: number | undefined;
  /** Of its answer; undefined: the client does not know whether it was applied. */
  acknowledgedAt: number | undefined;
  /** Whether the answer says that it was not applied. */
  isRefused: boolean;
  appliedAt: number | undefined;
}

/** A read's answer. */
export interface Read {
  readonly client: string;
  readonly from: string;
  readonly end: string;
  readonly revision: number;
  readonly found: readonly StoreEvent[];
  readonly count: number;
}

/** A request to delete keys. */
export interface Deletion {
  readonly client: string;
  readonly from: string;
  readonly end: string;
  /** Of its answer; undefined: the client does not know whether it was applied. */
  acknowledged?: { readonly revision: number; readonly deleted: number };
}

/** Changes of a range that a watch received, all of them from `after` (exclusive) to `to`. */
export interface Watched {
  readonly what: string;
  readonly from: string;
  readonly end: string;
  readonly after: number;
  readonly to: number;
  readonly events: readonly StoreEvent[];
}

/** Keys below it are also deleted by etcd, when their lease ends. */
export const LEASED = "l/";

export class Checker {
  /** Answers that were checked. */
  reads = 0;
  writes = 0;
  unknownWrites = 0;
  events = 0;
  /** The highest revision of an answer so far. */
  floor = 0;
  /** The revision at which the last phase ended, and the store was compacted. */
  oldest = 0;
  readonly #reports: Reports;
  readonly #history: StoreHistory;
  readonly #writes = new Map<number, Write>();
  /** What counters held after each of their writes. */
  readonly #counts = new Map<number, number>();
  #reads: Read[] = [];
  #deletions: Deletion[] = [];
  #watched: Watched[] = [];
  #nextId = 1;

  constructor(history: StoreHistory, reports: Reports) {
    this.#history = history;
    this.#reports = reports;
  }

  /** Announces a put, before it is sent. */
  write(client: string, key: string, count?: number): Write {
    const write = {
      ...{ id: this.#nextId++, key, client, count },
      ...{ acknowledgedAt: undefined, appliedAt: undefined, isRefused: false },
    };
    this.#writes.set(write.id, write);
    return write;
  }

  /** Announces a deletion, before it is sent. */
  deletion(client: string, from: string, end = ""): Deletion {
    const deletion = { client, from, end };
    this.#deletions.push(deletion);
    return deletion;
  }

  /** A put or a transaction that changed something was acknowledged. `floor`: when it was sent. */
  acknowledged(writes: readonly Write[], revision: number, floor: number): void {
    if (revision <= floor)
      this.#wrong(writes[0]!.key, `a write got revision ${revision}, ${floor} was acknowledged`);
    for (const write of writes) write.acknowledgedAt = revision;
    this.floor = Math.max(this.floor, revision);
  }

  /** Any answer that is not older than the call. `floor`: when it was sent. */
  answered(key: string, revision: number, floor: number): void {
    if (revision < floor)
      this.#wrong(key, `an answer has revision ${revision}, ${floor} was acknowledged before`);
    this.floor = Math.max(this.floor, revision);
  }

  read(read: Read): void {
    this.#reads.push(read);
  }

  watched(watched: Watched): void {
    this.#watched.push(watched);
  }

  /** Compares everything since the last call with the history. No call may be under way. */
  settle(): void {
    for (const event of this.#history.events) if (event.id !== undefined) this.#settlePut(event);
    for (const write of this.#writes.values()) this.#settleWrite(write);
    this.#settleDeletions();
    for (const read of this.#reads) this.#settleRead(read);
    for (const watched of this.#watched) this.#settleWatched(watched);
    this.reads += this.#reads.length;
    [this.#reads, this.#watched] = [[], []];
  }

  #settlePut({ id, key, revision }: StoreEvent): void {
    const write = this.#writes.get(id!);
    if (write === undefined || write.key !== key)
      this.#wrong(key, `the store has a value of write ${id}, which is not open, at ${revision}`);
    else if (write.appliedAt !== undefined)
      this.#wrong(key, `write ${id} was applied twice, at ${write.appliedAt} and ${revision}`);
    else write.appliedAt = revision;
    if (write?.count === undefined) return;

    const before = this.#history.stateAt(key, revision - 1);
    const count = before === undefined ? 0 : this.#counts.get(before.id!);
    if (count !== undefined && write.count !== count + 1)
      this.#wrong(key, `the counter went from ${count} to ${write.count} at ${revision}`);
    this.#counts.set(id!, write.count);
  }

  #settleWrite(write: Write): void {
    const { id, key, acknowledgedAt, appliedAt, isRefused } = write;
    this.#writes.delete(id);
    this.writes++;
    // Without an answer, it may have been applied, or not.
    const isUnknown = acknowledgedAt === undefined && !isRefused;
    if (isUnknown) this.unknownWrites++;
    else if (acknowledgedAt !== appliedAt)
      this.#wrong(
        key,
        `write ${id} was acknowledged at ${acknowledgedAt}, applied at ${appliedAt}`,
      );
  }

  #settleDeletions(): void {
    const acknowledged = new Map<number, Deletion>();
    for (const deletion of this.#deletions)
      if (deletion.acknowledged !== undefined && deletion.acknowledged.deleted > 0)
        acknowledged.set(deletion.acknowledged.revision, deletion);
    const unknown = this.#deletions.filter((deletion) => deletion.acknowledged === undefined);

    const revisions = new Set<number>();
    for (const { id, revision } of this.#history.events)
      if (id === undefined) revisions.add(revision);
    for (const revision of revisions) {
      const events = this.#history.at(revision);
      const { key } = events[0]!;
      const deletion = acknowledged.get(revision);
      acknowledged.delete(revision);
      if (deletion !== undefined) this.#settleDeletion(deletion, events);
      else if (!key.startsWith(LEASED)) {
        const at = unknown.findIndex(({ from, end }) => isIn(key, from, end));
        if (at < 0) this.#wrong(key, `a deletion at ${revision} that no client sent once`);
        else unknown.splice(at, 1);
      }
    }
    for (const [revision, { from }] of acknowledged)
      this.#wrong(from, `a deletion was acknowledged at ${revision}, and not applied`);
    // Those that were not applied by now are not going to be.
    this.#deletions = [];
  }

  #settleDeletion({ from, end, acknowledged }: Deletion, events: readonly StoreEvent[]): void {
    const { revision, deleted } = acknowledged!;
    const before = this.#history.rangeAt(from, end, revision - 1).length;
    const isRight = events.every(({ key, id }) => id === undefined && isIn(key, from, end));
    if (!isRight || deleted !== events.length || deleted !== before)
      this.#wrong(from, `a deletion at ${revision} said ${deleted}, of ${before}`);
  }

  #settleRead({ client, from, end, revision, found, count }: Read): void {
    const state = this.#history.stateAt(from, revision);
    const expected =
      end === "" ? (state ? [state] : []) : this.#history.rangeAt(from, end, revision);
    const isRight = count === expected.length && areEqual(found, expected);
    if (!isRight)
      this.#wrong(from, `${client} read ${text(found)} at ${revision}, want ${text(expected)}`);
  }

  #settleWatched({ what, from, end, after, to, events }: Watched): void {
    const expected = this.#history.events.filter(
      ({ key, revision }) => revision > after && revision <= to && isIn(key, from, end),
    );
    this.events += events.length;
    if (areEqual(events, expected)) return;
    const at = expected.findIndex((event, i) => !isEqual(event, events[i]));
    const first = at < 0 ? expected.length : at;
    const [got, want] = [events, expected].map((list) => text(list.slice(first, first + 4)));
    const counts = `${events.length} events, want ${expected.length}, after ${after} to ${to}`;
    this.#wrong(from, `${what}: ${counts}; event ${first} on is ${got}, want ${want}`);
  }

  #wrong(key: string, message: string): void {
    this.#reports.wrong(key, message);
  }
}

function isEqual(one: StoreEvent, other: StoreEvent | undefined): boolean {
  return one.revision === other?.revision && one.key === other.key && one.id === other.id;
}

function areEqual(some: readonly StoreEvent[], others: readonly StoreEvent[]): boolean {
  return some.length === others.length && some.every((event, i) => isEqual(event, others[i]));
}

function text(events: readonly StoreEvent[]): string {
  const shown = events.slice(0, 5).map(({ key, id, revision }) => `${key}=${id}@${revision}`);
  return `[${shown.join(" ")}${events.length > 5 ? " ..." : ""}]`;
}
