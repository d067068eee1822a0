// Watches through the gRPC proxy, compared with the same watches at the member.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import type { EtcdClient, WatchStream } from "../../support/etcd-client.ts";
import { KV, Watch } from "../../support/etcd-rpcs.ts";
import { eventually } from "../../support/gateway-command.ts";
import {
  type EtcdFault,
  GrpcProxyScene,
  proxyTestOf,
  subjects,
} from "../../support/grpc-proxy-scene.ts";

setDefaultTimeout(60_000);

const ONE_STREAM: EtcdFault = { fault: "watches share one watch at etcd" };
const NO_REASON: EtcdFault = { fault: "refusals have no header and no reason" };
const HALF_CLOSE: EtcdFault = { fault: "half-close is taken for cancel" };

type Create = NonNullable<Parameters<WatchStream["send"]>[0]["create"]>;

describe.each(subjects)("%s", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const scene = new GrpcProxyScene(subject);
  let direct: EtcdClient;
  let through: EtcdClient;
  /** The revision of the last write before the test. */
  let revision: number;

  beforeAll(() => scene.start());
  afterEach(() => scene.endTest());
  afterAll(() => scene.close());

  async function connect(): Promise<void> {
    direct = await scene.direct();
    through = await scene.through();
    ({ revision } = (await put("before", "")).header!);
  }

  const put = (key: string, value: string | Uint8Array) => direct.call(KV.Put, { key, value });

  /** Opens a stream at the member and one through the proxy, and sends both the same request. */
  function openBoth(...creates: Create[]): readonly [WatchStream, WatchStream] {
    const streams = [direct.open(Watch.Watch), through.open(Watch.Watch)] as const;
    for (const stream of streams) for (const create of creates) stream.send({ create });
    return streams;
  }

  /** Takes `count` messages of each, expects them to be equal, and returns them. */
  async function same([member, proxy]: readonly [WatchStream, WatchStream], count: number) {
    const take = async (stream: WatchStream) => {
      const messages = [];
      for (let i = 0; i < count; i++) messages.push(await stream.next());
      return messages;
    };
    const expected = await take(member);
    expect(await take(proxy)).toEqual(expected);
    return expected;
  }

  /** Creates watches that the member answers once each, and expects the same answers. */
  const REFUSALS: readonly [title: string, () => Create[], EtcdFault?][] = [
    ["a range that ends before it begins", () => [{ key: "b", rangeEnd: "a" }], NO_REASON],
    ["a range that ends where it begins", () => [{ key: "b", rangeEnd: "b" }], NO_REASON],
    [
      "a negative revision",
      () => [{ key: "b", startRevision: -5 }],
      { ...NO_REASON, since: "3.5" },
    ],
    [
      "an id twice",
      () => [
        { key: "b", watchId: 7 },
        { key: "c", watchId: 7 },
      ],
      ONE_STREAM,
    ],
    ["a revision in the future", () => [{ key: "b", startRevision: revision + 100 }]],
    ["no key, which is the first key", () => [{}]],
    ["everything", () => [{ key: "\0", rangeEnd: "\0" }]],
  ];
  for (const [title, creates, etcds] of REFUSALS)
    proxyTest(
      `a watch of ${title} is answered as by the member`,
      async () => {
        await connect();
        await same(openBoth(...creates()), creates().length);
      },
      etcds,
    );

  proxyTest("puts, deletes and a cancel arrive as from the member", async () => {
    await connect();
    const streams = openBoth({ key: "events/", rangeEnd: "events0", prevKv: true });
    await same(streams, 1);
    await put("events/a", "1");
    await put("events/a", "2");
    await put("events/b", new Uint8Array(1.4e6).fill(200));
    await direct.call(KV.DeleteRange, { key: "events/", rangeEnd: "events0" });
    const messages = await same(streams, 4);
    expect(messages.map(({ events }) => events.length)).toEqual([1, 1, 1, 2]);
    for (const stream of streams) stream.send({ cancel: { watchId: 0 } });
    await same(streams, 1);
  });

  proxyTest("events from a past revision arrive as from the member", async () => {
    await connect();
    for (let i = 0; i < 20; i++) await put("past", `${i}`);
    const [[member], [proxy]] = openBoth({ key: "past", startRevision: revision + 5 }).map(
      (stream) => [stream],
    ) as [[WatchStream], [WatchStream]];
    const events = async (stream: WatchStream) => {
      const found: unknown[] = [];
      while (found.length < 16) found.push(...(await stream.next()).events);
      return found;
    };
    expect(await events(proxy)).toEqual(await events(member));
  });

  proxyTest(
    "filters, ids that the client chose and several watches of a stream work",
    async () => {
      await connect();
      const streams = openBoth(
        { key: "many", watchId: 5 },
        { key: "many", watchId: 9, filters: "\0" },
        { key: "many", watchId: 2, filters: "\x01", prevKv: true },
      );
      await same(streams, 3);
      await put("many", "1");
      await direct.call(KV.DeleteRange, { key: "many" });
      const inOrder = async (stream: WatchStream) => {
        const messages: Awaited<ReturnType<WatchStream["next"]>>[] = [];
        for (let i = 0; i < 4; i++) messages.push(await stream.next());
        // Watches of one stream are notified in any order.
        const rank = (m: (typeof messages)[0]) => `${m.watchId} ${m.header!.revision}`;
        return messages.sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
      };
      expect(await inOrder(streams[1])).toEqual(await inOrder(streams[0]));
    },
    ONE_STREAM,
  );

  proxyTest(
    "a progress request is answered as by the member",
    async () => {
      await connect();
      const streams = openBoth({ key: "progress" });
      await same(streams, 1);
      for (const stream of streams) stream.send({ progress: {} });
      const [answer] = await same(streams, 1);
      expect([answer!.watchId, answer!.header!.revision]).toEqual([-1, revision]);
    },
    ONE_STREAM,
  );

  proxyTest(
    "large messages are fragmented for a client that wants it",
    async () => {
      await connect();
      for (let i = 0; i < 4; i++) await put(`large/${i}`, new Uint8Array(1e6).fill(i));
      const create = { key: "large/", rangeEnd: "large0", startRevision: revision + 1 };
      const streams = openBoth({ ...create, fragment: true });
      const messages = await same(streams, 3);
      expect(messages.map(({ fragment }) => fragment)).toEqual([false, true, false]);
    },
    ONE_STREAM,
  );

  proxyTest("a watch of a compacted revision is cancelled as by the member", async () => {
    await connect();
    for (let i = 0; i < 5; i++) await put("compacted", `${i}`);
    await direct.call(KV.Compact, { revision: revision + 4 });
    const messages = await same(openBoth({ key: "compacted", startRevision: revision + 1 }), 2);
    expect(messages[1]).toMatchObject({ canceled: true, compactRevision: revision + 4 });
  });

  proxyTest(
    "a watch that compaction cancelled does not end other watches of its key",
    async () => {
      await connect();
      for (let i = 0; i < 5; i++) await put("revived", `${i}`);
      await direct.call(KV.Compact, { revision: revision + 4 });
      const first = through.open(Watch.Watch);
      first.send({ create: { key: "revived", startRevision: revision + 1 } });
      await first.next();
      expect((await first.next()).canceled).toBe(true);

      const second = (await scene.through()).open(Watch.Watch);
      second.send({ create: { key: "revived" } });
      expect((await second.next()).created).toBe(true);
      await put("revived", "again");
      expect((await second.next()).events.map(({ kv }) => kv!.value)).toEqual(["again"]);
    },
    { fault: "the ended watch stays, and attracts new ones" },
  );

  proxyTest(
    "events arrive after the client has half-closed",
    async () => {
      await connect();
      const streams = openBoth({ key: "half" });
      await same(streams, 1);
      for (const stream of streams) stream.halfClose();
      await put("half", "1");
      await put("half", "2");
      await same(streams, 2);
    },
    HALF_CLOSE,
  );

  const ENDINGS: readonly [
    title: string,
    end: (stream: WatchStream, client: EtcdClient) => void,
  ][] = [
    ["cancels it", (stream) => stream.send({ cancel: { watchId: 0 } })],
    ["resets the stream", (stream) => stream.cancel()],
    ["closes the connection", (_stream, client) => client.close()],
  ];
  for (const [title, end] of ENDINGS)
    proxyTest(`a watch is gone from etcd once the client ${title}`, async () => {
      await connect();
      const before = await scene.settledWatchers();
      const stream = through.open(Watch.Watch);
      stream.send({ create: { key: "gone" } });
      await stream.next();
      expect(await scene.watchers()).toBe(before + 1);
      end(stream, through);
      const isGone = async () => ((await scene.watchers()) === before ? true : undefined);
      await eventually(isGone, "the watch was gone");
    });
});
