// Watches through the gRPC proxy under load: thousands of events, many watches, readers that
// stand still.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import type { EtcdClient, WatchStream } from "../../support/etcd-client.ts";
import { KV, Watch } from "../../support/etcd-rpcs.ts";
import { framed, MessageReader } from "../../support/grpc-client.ts";
import { GrpcProxyScene, proxyTestOf, subjects } from "../../support/grpc-proxy-scene.ts";
import { until } from "../../support/peer.ts";
import { FrameType, RawHttp2 } from "../../support/raw-http2.ts";

setDefaultTimeout(60_000);

const KIB = 1 << 10;

describe.each(subjects)("%s", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const scene = new GrpcProxyScene(subject);
  let writer: EtcdClient;

  beforeAll(() => scene.start());
  afterEach(() => scene.endTest());
  afterAll(() => scene.close());

  /** Puts numbered keys, many at a time; returns the revision of the first. */
  async function putMany(prefix: string, count: number, value = ""): Promise<number> {
    const { header } = await writer.call(KV.Put, { key: "before" });
    // Bun's client resets calls once it holds 10 MB.
    const size = value === "" ? 200 : 10;
    for (let done = 0; done < count; done += size) {
      const batch = Array.from({ length: Math.min(size, count - done) }, (_item, i) => done + i);
      await Promise.all(
        batch.map((i) => writer.call(KV.Put, { key: `${prefix}${i}`, value: `${value}${i}` })),
      );
    }
    return header!.revision + 1;
  }

  /** Opens a watch of a prefix; resolves once it is created. */
  async function watch(client: EtcdClient, prefix: string, startRevision = 0) {
    const stream = client.open(Watch.Watch);
    stream.send({ create: { key: prefix, rangeEnd: after(prefix), startRevision } });
    expect((await stream.next()).created).toBe(true);
    return stream;
  }

  proxyTest("thousands of events arrive once, in order", async () => {
    writer = await scene.direct();
    const stream = await watch(await scene.through(), "many/");
    const first = await putMany("many/", 2000);
    // 5,120 events of 40 revisions.
    for (let i = 0; i < 40; i++) {
      const puts = Array.from({ length: 128 }, (_item, j) => ({ put: { key: `many/${i}/${j}` } }));
      await writer.call(KV.Txn, { success: puts });
    }
    const { revisions, keys } = await read(stream, 7120);
    expect(revisions).toEqual([...range(first, 2000), ...range(first + 2000, 40, 128)]);
    expect(new Set(keys).size).toBe(7120);
  });

  proxyTest(
    "watches that start 3,000 revisions back catch up, alongside a current one",
    async () => {
      writer = await scene.direct();
      const live = await watch(await scene.through(), "late/");
      const first = await putMany("late/", 3000);
      await read(live, 3000);
      const clients = await Promise.all(Array.from({ length: 3 }, () => scene.through()));
      const laggards = await Promise.all(clients.map((client) => watch(client, "late/", first)));
      for (const stream of laggards)
        expect((await read(stream, 3000)).revisions).toEqual(range(first, 3000));
    },
    { fault: "merging watches lose events" },
  );

  proxyTest("500 watches of one stream see their own key's event", async () => {
    writer = await scene.direct();
    const stream = (await scene.through()).open(Watch.Watch);
    const created = new Map<number, string>();
    for (let i = 0; i < 500; i++) {
      stream.send({ create: { key: `own/${i}` } });
      created.set((await stream.next()).watchId, `own/${i}`);
    }
    await putMany("own/", 500);
    for (let i = 0; i < 500; i++) {
      const { watchId, events } = await stream.next();
      expect(events.map(({ kv }) => kv!.key)).toEqual([created.get(watchId)!]);
    }
  });

  proxyTest("300 streams of one connection see each event", async () => {
    writer = await scene.direct();
    const client = await scene.through();
    const streams: WatchStream[] = [];
    for (let i = 0; i < 300; i++) streams.push(await watch(client, "each/"));
    const first = await putMany("each/", 10);
    for (const stream of streams)
      expect((await read(stream, 10)).revisions).toEqual(range(first, 10));
  });

  proxyTest(
    "clients that do not read delay no others, take no memory, and miss nothing",
    async () => {
      writer = await scene.direct();
      const stalled = await Promise.all(Array.from({ length: 8 }, () => stalledWatch("stalled/")));
      const reader = await watch(await scene.through(), "stalled/");
      const before = scene.proxy.residentKib;
      const first = await putMany("stalled/", 1500, "v".repeat(32 * KIB));
      expect((await read(reader, 1500)).revisions).toEqual(range(first, 1500));
      // They are owed 375 MiB.
      expect(scene.proxy.residentKib - before).toBeLessThan(100 * KIB);

      const { revisions } = await resume(stalled[0]!, 1500);
      expect(revisions).toEqual(range(first, 1500));
    },
    { fault: "streams of slow clients are buffered, then cancelled" },
  );

  /** Opens a watch whose client grants the windows that HTTP/2 begins with, and no more. */
  async function stalledWatch(prefix: string): Promise<RawHttp2> {
    const client = scene.add(await RawHttp2.connect(Number(scene.proxy.address.split(":")[1])));
    const create = { key: prefix, rangeEnd: after(prefix) };
    client.startCall(Watch.Watch.path);
    const request = framed(Watch.Watch.request.encode({ create }), false);
    client.send(FrameType.data, 0, 1, request);
    const isCreated = () => client.frames.some(({ type }) => type === FrameType.data);
    await until(isCreated, "the watch was created");
    return client;
  }
});

/** Opens the windows and reads events. */
async function resume(client: RawHttp2, count: number) {
  const events: { key: string; revision: number }[] = [];
  const reader = new MessageReader(({ bytes }) => events.push(...eventsOf(bytes)));
  const take = ({ type, payload }: { type: number; payload: Buffer }) => {
    if (type === FrameType.data) reader.take(payload);
  };
  for (const frame of client.frames) take(frame);
  client.onFrame = take;
  for (const stream of [0, 1]) client.grant(stream, 1 << 30);
  await until(() => events.length >= count, `${count} events arrived`);
  return { revisions: events.map(({ revision }) => revision) };
}

function eventsOf(bytes: Buffer): { key: string; revision: number }[] {
  const { events } = Watch.Watch.response.decode(bytes);
  return events.map(({ kv }) => ({ key: kv!.key, revision: kv!.modRevision }));
}

/** Reads events of a stream until there are `count` or more. */
async function read(stream: WatchStream, count: number) {
  const keys: string[] = [];
  const revisions: number[] = [];
  while (keys.length < count) {
    for (const { kv } of (await stream.next()).events) {
      keys.push(kv!.key);
      revisions.push(kv!.modRevision);
    }
  }
  return { keys, revisions };
}

/** Returns the end of the range of a prefix that ends in "/". */
const after = (prefix: string) => `${prefix.slice(0, -1)}0`;

/** Returns `count` numbers from `first`, each `times` times. */
function range(first: number, count: number, times = 1): number[] {
  return Array.from({ length: count * times }, (_item, i) => first + Math.floor(i / times));
}
