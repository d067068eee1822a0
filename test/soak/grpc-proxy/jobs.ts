// What the clients of the soak do, one step at a time. Each step hands its answers to the checker.
import { KV, Lease, Watch } from "../../support/etcd-rpcs.ts";
import type { GrpcCall } from "../../support/grpc-client.ts";
import type { Random } from "../../support/random-input.ts";
import { oneOf } from "../../support/random-input.ts";
import { sizeBetween } from "../seeded.ts";
import type { Checker } from "./checker.ts";
import type { SoakClient } from "./soak-client.ts";
import { endOf, type StoreEvent } from "./store-history.ts";
import { idOf, valueOf } from "./values.ts";

export const WRITERS = 8;
export const KEYS = 5;
const COUNTERS = 3;
const SWEPT = 5;
const LARGEST_BYTES = 1 << 20;

/** Above the longest time that renewals fail: a leader that hangs, and an election. */
const TTL_S = 60;
const RENEWALS = 5;
const RENEWAL_PAUSE_MS = 1000;

export interface JobParts {
  readonly number: number;
  readonly client: SoakClient;
  readonly checker: Checker;
  readonly random: Random;
  readonly isStopped: () => boolean;
}

/** Does one step. */
export type Job = (parts: JobParts) => Promise<unknown>;

interface Kv {
  readonly key: string;
  readonly modRevision: number;
  readonly value: string;
}

export const eventOf = ({ key, modRevision, value }: Kv): StoreEvent => ({
  ...{ key, revision: modRevision, id: idOf(value) },
});

async function put(parts: JobParts, key: string, bytes: number, lease = 0n): Promise<number> {
  const { client, checker } = parts;
  const [write, { floor }] = [checker.write(client.name, key), checker];
  const value = valueOf(write.id, bytes);
  const answer = await client.call(KV.Put, { key, value, lease }, `${key} = ${write.id}`);
  if (answer === undefined) return 0;
  const { revision } = answer.header!;
  checker.acknowledged([write], revision, floor);
  return revision;
}

async function remove({ client, checker }: JobParts, key: string, rangeEnd = ""): Promise<void> {
  const [deletion, { floor }] = [checker.deletion(client.name, key, rangeEnd), checker];
  const answer = await client.call(KV.DeleteRange, { key, rangeEnd }, `${key} deleted`);
  if (answer === undefined) return;
  const { deleted, header } = answer;
  deletion.acknowledged = { revision: header!.revision, deleted };
  checker.answered(key, header!.revision, deleted > 0 ? floor + 1 : floor);
}

async function get(parts: JobParts, from: string, end: string, serializable: boolean) {
  const { client, checker } = parts;
  const { floor } = checker;
  const request = { key: from, rangeEnd: end, serializable };
  const answer = await client.call(KV.Range, request, `${from}${serializable ? " old" : ""}`);
  if (answer === undefined) return undefined;
  const { revision } = answer.header!;
  if (!serializable) checker.answered(from, revision, floor);
  const [found, { count }] = [answer.kvs.map(eventOf), answer];
  checker.read({ client: client.name, from, end, revision, found, count });
  return answer;
}

/** Puts or deletes one of its own keys. */
const write: Job = async (parts) => {
  const { random, number } = parts;
  const key = `r/${number}/${random(KEYS)}`;
  if (random(6) === 0) await remove(parts, key);
  else await put(parts, key, sizeBetween(random, 8, 8192));
};

/** Reads a key or all keys of any writer, linearizable or not. */
const read: Job = async (parts) => {
  const { random } = parts;
  const prefix = `r/${random(WRITERS)}/`;
  const isRange = random(5) === 0;
  const key = isRange ? prefix : `${prefix}${random(KEYS)}`;
  await get(parts, key, isRange ? endOf(prefix) : "", random(2) === 0);
};

/** Increments a counter that others increment too, by compare and set. */
const count: Job = async (parts) => {
  const { client, checker, random } = parts;
  const key = `c/${random(COUNTERS)}`;
  const before = await get(parts, key, "", false);
  if (before === undefined) return;
  const [kv] = before.kvs;
  // The counter is its number of versions, since it is never deleted.
  const [modRevision, version] = [kv?.modRevision ?? 0, kv?.version ?? 0];
  const [write, { floor }] = [checker.write(client.name, key, version + 1), checker];
  const value = valueOf(write.id, 20);
  const request = {
    compare: [{ target: 2, key, modRevision }],
    success: [{ put: { key, value } }],
    failure: [{ range: { key } }],
  };
  const answer = await client.call(KV.Txn, request, `${key} = ${write.id}`);
  if (answer === undefined) return;
  const { revision } = answer.header!;
  if (answer.succeeded) {
    checker.acknowledged([write], revision, floor);
    return;
  }
  write.isRefused = true;
  checker.answered(key, revision, floor);
  const range = answer.responses[0]!.range!;
  const [found, { count }] = [range.kvs.map(eventOf), range];
  checker.read({ client: client.name, from: key, end: "", revision, found, count });
};

/** Puts a large value and reads it. */
const large: Job = async (parts) => {
  const key = `b/${parts.number}`;
  await put(parts, key, sizeBetween(parts.random, 1 << 16, LARGEST_BYTES));
  await get(parts, key, "", false);
};

/** Puts several keys at one revision, and deletes them at another. */
const sweep: Job = async (parts) => {
  const { client, checker, number } = parts;
  const prefix = `d/${number}/`;
  const keys = Array.from({ length: SWEPT }, (_, i) => `${prefix}${i}`);
  const { floor } = checker;
  const writes = keys.map((key) => checker.write(client.name, key));
  const success = writes.map(({ id, key }) => ({ put: { key, value: valueOf(id, 100) } }));
  const answer = await client.call(KV.Txn, { success }, `${prefix} = ${writes[0]!.id}`);
  if (answer !== undefined) checker.acknowledged(writes, answer.header!.revision, floor);
  await remove(parts, prefix, endOf(prefix));
};

/** Holds a lease for a while, then revokes it. Its key must exist until then, and not after. */
const lease: Job = async (parts) => {
  const { client, number, isStopped } = parts;
  const key = `l/${number}`;
  const granted = await client.call(Lease.Grant, { ttl: TTL_S }, key);
  if (granted === undefined) return;
  const isPut = (await put(parts, key, 50, granted.id)) > 0;
  for (let i = 0; i < RENEWALS && !isStopped(); i++) {
    if (!(await renew(parts, granted.id))) break;
    await Bun.sleep(RENEWAL_PAUSE_MS);
  }
  const held = await get(parts, key, "", false);
  if (isPut && held !== undefined && held.count !== 1) throw new Error(`${key} has expired`);
  const revoked = await client.call(Lease.Revoke, { id: granted.id }, `${key} revoked`);
  if (revoked === undefined) return;
  const after = await get(parts, key, "", false);
  if (after !== undefined && after.count !== 0) throw new Error(`${key} outlived its lease`);
};

/** Renews a lease several times on one stream; returns false if the stream broke. */
async function renew({ client }: JobParts, id: bigint): Promise<boolean> {
  const stream = await client.open(Lease.KeepAlive);
  if (stream === undefined) return false;
  const startedAt = performance.now();
  try {
    for (let i = 0; i < 3; i++) {
      stream.send({ id });
      const answer = await stream.next(30_000);
      if (answer.id !== id || answer.ttl !== TTL_S)
        throw new Error(`lease ${id} was renewed as ${answer.id} for ${answer.ttl} s`);
    }
    stream.halfClose();
    const end = await stream.ended();
    if (end.status !== 0) client.failed("LeaseKeepAlive", end, startedAt);
    return end.status === 0;
  } catch (error) {
    if (stream.call.end === undefined) throw error;
    client.failed("LeaseKeepAlive", stream.call.end, startedAt);
    return false;
  }
}

/** Watches the last few hundred revisions for a moment, and cancels. */
const glance: Job = async (parts) => {
  const { client, checker, random } = parts;
  const from = oneOf(random, ["r/", "c/", "d/"]);
  const after = Math.max(checker.oldest, checker.floor - random(300)) + 1;
  const stream = await client.open(Watch.Watch);
  if (stream === undefined) return;
  const startedAt = performance.now();
  const end = endOf(from);
  try {
    stream.send({ create: { key: from, rangeEnd: end, startRevision: after + 1 } });
    const events: StoreEvent[] = [];
    // Events come only while there is load.
    while (events.length < 20 && (await isWaiting(stream.call, parts.isStopped)))
      for (const { type, kv } of (await stream.next()).events)
        events.push(eventOfChange(type, kv!));
    stream.cancel();
    const to = events.at(-1)?.revision ?? after;
    checker.watched({ what: `a glance of ${client.name}`, from, end, after, to, events });
  } catch (error) {
    if (stream.call.end === undefined) throw error;
    client.failed("a glance", stream.call.end, startedAt);
  }
};

/** Resolves with true once a message is there or the call has ended, with false when the load ends. */
async function isWaiting(call: GrpcCall, isStopped: () => boolean): Promise<boolean> {
  const deadline = performance.now() + 30_000;
  while (call.waiting === 0 && call.end === undefined) {
    if (isStopped()) return false;
    if (performance.now() > deadline) throw new Error("a glance got nothing for 30 s");
    await Bun.sleep(20);
  }
  return true;
}

export function eventOfChange(type: number, kv: Kv): StoreEvent {
  if (type === 0) return eventOf(kv);
  return { key: kv.key, revision: kv.modRevision, id: undefined };
}

/** Opens many small streams at once on one connection. Every second one is cancelled. */
const burst: Job = async ({ client, random }) => {
  const connection = await client.connected();
  const startedAt = performance.now();
  const request = KV.Range.request.encode({ key: `r/${random(WRITERS)}/0` });
  const streams = Array.from({ length: 100 }, (_, i) => i).map(async (i) => {
    const call = connection.grpc.call(KV.Range.path);
    call.send(request);
    call.halfClose();
    if (i % 2 === 0) {
      await Bun.sleep(random(4));
      call.cancel();
    } else {
      const { status, message } = await call.ended(30_000);
      if (status !== 0) client.failed("a burst", { status, message }, startedAt);
    }
  });
  await Promise.all(
    streams.map((stream) =>
      stream.catch((error) => {
        if (!connection.grpc.isClosed) throw error;
      }),
    ),
  );
};

/** Groups of clients: how many, what they do, and their pause between two steps. */
export const GROUPS: readonly { job: Job; clients: number; pauseMs: number }[] = [
  { job: write, clients: WRITERS, pauseMs: 20 },
  { job: read, clients: 10, pauseMs: 20 },
  { job: count, clients: 5, pauseMs: 20 },
  { job: large, clients: 2, pauseMs: 800 },
  { job: sweep, clients: 2, pauseMs: 100 },
  { job: lease, clients: 4, pauseMs: 10 },
  { job: glance, clients: 3, pauseMs: 100 },
  { job: burst, clients: 2, pauseMs: 500 },
];
