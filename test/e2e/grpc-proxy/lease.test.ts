// Leases, locks and elections through the gRPC proxy.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { type EtcdClient, GrpcError } from "../../support/etcd-client.ts";
import { Election, KV, Lease, Lock } from "../../support/etcd-rpcs.ts";
import { eventually } from "../../support/gateway-command.ts";
import { GrpcProxyScene, metricOf, proxyTestOf, subjects } from "../../support/grpc-proxy-scene.ts";

setDefaultTimeout(60_000);

describe.each(subjects)("%s", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const scene = new GrpcProxyScene(subject);
  let direct: EtcdClient;
  let through: EtcdClient;

  beforeAll(() => scene.start());
  afterEach(() => scene.endTest());
  afterAll(() => scene.close());

  async function connect(): Promise<void> {
    direct = await scene.direct();
    through = await scene.through();
  }

  const grant = async (ttl = 600) => (await direct.call(Lease.Grant, { ttl })).id;

  /** Returns the number of keys of a prefix that ends in "/". */
  const keysBelow = async (prefix: string): Promise<number> => {
    const rangeEnd = `${prefix.slice(0, -1)}0`;
    return (await direct.call(KV.Range, { key: prefix, rangeEnd, countOnly: true })).count;
  };

  const hasKeys = (prefix: string, count: number) =>
    eventually(
      async () => ((await keysBelow(prefix)) === count ? true : undefined),
      `${prefix} had ${count} keys`,
    );

  proxyTest(
    "keepalives of several leases on one stream are answered as by the member",
    async () => {
      await connect();
      const ids = [await grant(), await grant(300), 99n];
      const streams = [direct.open(Lease.KeepAlive), through.open(Lease.KeepAlive)];
      const [expected, answers] = await Promise.all(
        streams.map(async (stream) => {
          const found: unknown[] = [];
          for (const id of [...ids, ...ids]) {
            stream.send({ id });
            found.push(await stream.next());
          }
          return found;
        }),
      );
      expect(answers).toEqual(expected);
    },
    { fault: "an unknown lease is answered with TTL -1, and others late" },
  );

  proxyTest(
    "twenty keepalives in a row are answered without delay",
    async () => {
      await connect();
      const id = await grant();
      const stream = through.open(Lease.KeepAlive);
      for (let i = 0; i < 20; i++) {
        stream.send({ id });
        expect((await stream.next()).ttl).toBe(600);
      }
    },
    { fault: "a keepalive waits for the next renewal, up to a third of the TTL" },
  );

  proxyTest(
    "a keepalive is answered after the client has half-closed",
    async () => {
      await connect();
      const id = await grant();
      const stream = through.open(Lease.KeepAlive);
      stream.send({ id });
      stream.halfClose();
      expect((await stream.next()).ttl).toBe(600);
      expect((await stream.ended()).status).toBe(0);
    },
    { fault: "half-close is taken for cancel" },
  );

  proxyTest(
    "a lease is not renewed once its client has stopped",
    async () => {
      await connect();
      const renewals = () =>
        metricOf(scene.cluster.members[0]!.address, "etcd_debugging_lease_renewed_total");
      const before = await renewals();
      const id = await grant(3);
      await through.call(KV.Put, { key: "lease/a", lease: id });
      const stream = through.open(Lease.KeepAlive);
      stream.send({ id });
      expect((await stream.next()).ttl).toBe(3);

      // The stream stays open and silent.
      while ((await direct.call(Lease.TimeToLive, { id })).ttl >= 0) {
        expect(await renewals()).toBe(before + 1);
        await Bun.sleep(50);
      }
      await hasKeys("lease/", 0);
    },
    { fault: "renewals go on for the TTL" },
  );

  proxyTest("a lease lives on for as long as its client renews it", async () => {
    await connect();
    const id = await grant(2);
    await through.call(KV.Put, { key: "renewed", lease: id });
    const stream = through.open(Lease.KeepAlive);
    for (let i = 0; i < 6; i++) {
      stream.send({ id });
      expect((await stream.next()).ttl).toBe(2);
      await Bun.sleep(500);
    }
    expect((await direct.call(KV.Range, { key: "renewed" })).count).toBe(1);
  });

  proxyTest("a lock goes to the next waiting client when it is unlocked", async () => {
    await connect();
    const [first, second] = [await grant(), await grant()];
    const { key } = await through.call(Lock.Lock, { name: "lock", lease: first });
    const waiting = (await scene.through()).call(Lock.Lock, { name: "lock", lease: second });
    await hasKeys("lock/", 2);
    await through.call(Lock.Unlock, { key });
    expect((await waiting).key).toBe(`lock/${second.toString(16)}`);
  });

  proxyTest("a client that cancels its call no longer waits for a lock", async () => {
    await connect();
    await through.call(Lock.Lock, { name: "given-up", lease: await grant() });
    const call = through.grpc.call(Lock.Lock.path);
    const request = { name: "given-up", lease: await grant() };
    call.send(Lock.Lock.request.encode(request));
    call.halfClose();
    await hasKeys("given-up/", 2);
    call.cancel();
    await hasKeys("given-up/", 1);
  });

  proxyTest("a client whose deadline passes no longer waits for a lock", async () => {
    await connect();
    await through.call(Lock.Lock, { name: "late", lease: await grant() });
    const answer = await through.answer(
      Lock.Lock,
      { name: "late", lease: await grant() },
      { metadata: { "grpc-timeout": "300m" } },
    );
    // etcd reports it as UNKNOWN or CANCELLED, so only a proxy that sees to it says 4.
    expect(answer.status).not.toBe(0);
    await hasKeys("late/", 1);
  });

  proxyTest("an election is observed by every client, and resigning ends it", async () => {
    await connect();
    const observers = [direct, through].map((client) => client.open(Election.Observe));
    for (const observer of observers) {
      observer.send({ name: "elect" });
      observer.halfClose();
    }
    const [lease, next] = [await grant(), await grant()];
    const { leader } = await through.call(Election.Campaign, { name: "elect", lease, value: "1" });
    const follower = through.call(Election.Campaign, { name: "elect", lease: next, value: "3" });
    await hasKeys("elect/", 2);
    const seen = () => Promise.all(observers.map(async (o) => (await o.next()).kv!.value));
    expect(await seen()).toEqual(["1", "1"]);
    await through.call(Election.Proclaim, { leader: leader!, value: "2" });
    expect(await seen()).toEqual(["2", "2"]);
    await through.call(Election.Resign, { leader: leader! });
    expect((await follower).leader!.lease).toBe(next);
    expect(await seen()).toEqual(["3", "3"]);
  });

  proxyTest("a cancelled observer ends with CANCELLED, and others go on", async () => {
    await connect();
    const lease = await grant();
    await through.call(Election.Campaign, { name: "go-on", lease, value: "1" });
    const observers = [through.open(Election.Observe), through.open(Election.Observe)] as const;
    for (const observer of observers) {
      observer.send({ name: "go-on" });
      observer.halfClose();
      expect((await observer.next()).kv!.value).toBe("1");
    }
    observers[0].cancel();
    expect(await observers[0].next().catch((error) => error)).toBeInstanceOf(GrpcError);
    const { kv } = await through.call(Election.Leader, { name: "go-on" });
    const leader = { name: "go-on", key: kv!.key, revision: kv!.createRevision, lease };
    await through.call(Election.Proclaim, { leader, value: "2" });
    expect((await observers[1].next()).kv!.value).toBe("2");
  });
});
