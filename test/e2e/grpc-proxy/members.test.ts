// The gRPC proxy with members that die or hang: calls go on through others, no write is applied
// twice, and watches resume without a gap.
import { afterEach, beforeEach, describe, expect, setDefaultTimeout } from "bun:test";
import { EtcdClient, GrpcError, type WatchStream } from "../../support/etcd-client.ts";
import { Cluster, KV, Lease, Watch } from "../../support/etcd-rpcs.ts";
import { eventually } from "../../support/gateway-command.ts";
import {
  GrpcProxyScene,
  metricOf,
  proxyOnlyTestOf,
  subjects,
} from "../../support/grpc-proxy-scene.ts";

setDefaultTimeout(90_000);

const UNAVAILABLE = 14;
/** A client's own patience with one call. */
const DEADLINE = { metadata: { "grpc-timeout": "1500m" } };
const WRITERS = 10;
const HEALTH_CHECKS = [
  "--health-url=http://{host}:{port}/health",
  ...["--health-interval=200ms", "--health-timeout=500ms", "--health-fall=1"],
];

describe.each(subjects)("%s", (_, subject) => {
  const proxyTest = proxyOnlyTestOf(subject);
  let scene: GrpcProxyScene;

  beforeEach(async () => {
    scene = new GrpcProxyScene(subject);
    await scene.start(3);
  });
  afterEach(() => scene.close());

  /** Returns the number of watchers at each member. */
  const watcherCounts = () =>
    Promise.all(
      scene.cluster.members.map(({ address }) =>
        metricOf(address, "etcd_debugging_mvcc_watcher_total"),
      ),
    );

  /** Returns the status of a small read through the proxy. */
  const read = async (client: EtcdClient): Promise<number> =>
    (await client.answer(KV.Range, { key: "any" }, DEADLINE)).status;

  proxyTest("writes go on when a member is killed, and none is applied twice", async () => {
    const clients = await Promise.all(Array.from({ length: WRITERS }, () => scene.through()));
    const { follower } = await scene.cluster.roles();
    const load = new Load(clients);
    await load.reached(200);
    await follower.kill();
    await load.reached(600);
    follower.start();
    await load.reached(1000);
    const { acknowledged, failures } = await load.stop();

    // Only writes that were under way at the killed member may fail.
    for (const { status } of failures) expect(status).toBe(UNAVAILABLE);
    expect(failures.length).toBeLessThanOrEqual(WRITERS);
    await scene.cluster.healthy();
    const { kvs } = await (await scene.direct()).call(KV.Range, { key: "w/", rangeEnd: "w0" });
    expect(kvs.filter(({ version }) => version !== 1)).toEqual([]);
    const stored = new Set(kvs.map(({ key }) => key));
    expect(acknowledged.filter((key) => !stored.has(key))).toEqual([]);
  });

  proxyTest(
    "calls go on when a member hangs",
    async () => {
      // The kernel answers for a member that hangs, so only a check notices it.
      const flags = subject.kind === "ours" ? HEALTH_CHECKS : [];
      const client = await scene.through(await scene.anotherProxy(flags));
      const { follower } = await scene.cluster.roles();
      for (let i = 0; i < 6; i++) expect(await read(client)).toBe(0);
      follower.signal("SIGSTOP");
      try {
        // At first, calls that went to the member wait; from then on, none does.
        const isServed = async () => {
          for (let i = 0; i < 12; i++) if ((await read(client)) !== 0) return undefined;
          return true;
        };
        await eventually(isServed, "twelve reads in a row were served", 30_000);
      } finally {
        follower.signal("SIGCONT");
      }
      for (let i = 0; i < 6; i++) expect(await read(client)).toBe(0);
    },
    { fault: "nothing notices a member that hangs" },
  );

  proxyTest("calls go on when the leader is killed", async () => {
    const client = await scene.through();
    const { leader } = await scene.cluster.roles();
    await client.call(KV.Put, { key: "before" });
    await leader.kill();
    const isServed = async () => ((await read(client)) === 0 ? true : undefined);
    await eventually(isServed, "a new leader served a read");
    // From here on, nothing fails.
    for (let i = 0; i < 30; i++) await client.call(KV.Put, { key: `after/${i}` });
  });

  proxyTest("a watch and its client miss nothing when its member is killed", async () => {
    const before = await watcherCounts();
    const watcher = new ResumingWatch(await scene.through(), "events");
    await watcher.open();
    const counts = await watcherCounts();
    const serving = counts.findIndex((count, i) => count > before[i]!);
    const member = scene.cluster.members[serving]!;
    const other = scene.cluster.members[(serving + 1) % 3]!;
    const direct = scene.add(await EtcdClient.connect(other.address));
    for (let i = 0; i < 50; i++) await direct.call(KV.Put, { key: "events", value: `${i}` });
    await watcher.reached(50);
    await member.kill();
    for (let i = 50; i < 100; i++)
      await eventually(
        () => direct.call(KV.Put, { key: "events", value: `${i}` }, DEADLINE),
        "the put was accepted",
      );
    await watcher.reached(100);
    expect(watcher.values).toEqual(Array.from({ length: 100 }, (_item, i) => `${i}`));
    for (const status of watcher.ends) expect(status).toBe(UNAVAILABLE);
  });

  proxyTest("a lease outlives the member that renews it", async () => {
    const client = await scene.through();
    const { follower } = await scene.cluster.roles();
    const { id } = await client.call(Lease.Grant, { ttl: 5 });
    await client.call(KV.Put, { key: "leased", lease: id });
    const renew = async () => {
      const stream = client.open(Lease.KeepAlive);
      stream.send({ id });
      const { ttl } = await stream.next();
      stream.halfClose();
      return ttl;
    };
    expect(await renew()).toBe(5);
    await follower.kill();
    // Members are asked in turn, so some of these would have gone to the dead one.
    for (let i = 0; i < 6; i++) expect(await eventually(renew, "the lease was renewed")).toBe(5);
    expect((await client.call(KV.Range, { key: "leased" })).count).toBe(1);
  });

  proxyTest(
    "UNAVAILABLE is the answer while all members are down, and ends with it",
    async () => {
      const client = await scene.through();
      await client.call(KV.Put, { key: "any" });
      await Promise.all(scene.cluster.members.map((member) => member.kill()));
      const answer = await client.answer(KV.Range, { key: "any" });
      expect(answer.status).toBe(UNAVAILABLE);
      for (const member of scene.cluster.members) member.start();
      await scene.cluster.healthy();
      const isServed = async () => ((await read(client)) === 0 ? true : undefined);
      await eventually(isServed, "a read was served");
      expect((await client.call(Cluster.MemberList)).members).toHaveLength(3);
    },
    { fault: "calls wait until their deadline" },
  );
});

/** Puts a key of its own with each call, from several clients at once. */
class Load {
  readonly #acknowledged: string[] = [];
  readonly #failures: { key: string; status: number }[] = [];
  readonly #running: Promise<void>[];
  #isOver = false;

  constructor(clients: readonly EtcdClient[]) {
    this.#running = clients.map((client, i) => this.#run(client, i));
  }

  /** Resolves once `count` writes are acknowledged. */
  async reached(count: number): Promise<void> {
    const isReached = async () => (this.#acknowledged.length >= count ? true : undefined);
    await eventually(isReached, `${count} writes were acknowledged`);
  }

  async stop() {
    this.#isOver = true;
    await Promise.all(this.#running);
    return { acknowledged: this.#acknowledged, failures: this.#failures };
  }

  async #run(client: EtcdClient, writer: number): Promise<void> {
    for (let i = 0; !this.#isOver; i++) {
      const key = `w/${writer}/${i}`;
      const { status } = await client.answer(KV.Put, { key });
      if (status === 0) this.#acknowledged.push(key);
      else this.#failures.push({ key, status });
    }
  }
}

/** Watches a key as etcd's client does: resumes from the next revision when a stream breaks. */
class ResumingWatch {
  readonly values: string[] = [];
  /** How the streams so far ended. */
  readonly ends: number[] = [];
  #next = 0;

  constructor(
    readonly client: EtcdClient,
    readonly key: string,
  ) {}

  async open(): Promise<void> {
    const stream = this.client.open(Watch.Watch);
    stream.send({ create: { key: this.key, startRevision: this.#next } });
    const { header } = await stream.next();
    if (this.#next === 0) this.#next = header!.revision + 1;
    void this.#follow(stream);
  }

  async reached(count: number): Promise<void> {
    const isReached = async () => (this.values.length >= count ? true : undefined);
    await eventually(isReached, `${count} events arrived`);
  }

  async #follow(stream: WatchStream): Promise<void> {
    try {
      for (;;) {
        for (const { kv } of (await stream.next(60_000)).events) {
          this.values.push(kv!.value);
          this.#next = kv!.modRevision + 1;
        }
      }
    } catch (error) {
      if (!(error instanceof GrpcError) || this.client.grpc.isClosed) return;
      this.ends.push(error.end.status);
      await eventually(async () => (await this.open(), true), "the watch was resumed");
    }
  }
}
