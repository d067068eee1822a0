// Authentication through the gRPC proxy: tokens, and what users may do, with several users at
// once. Each client's token is its own, whatever the proxy shares between clients.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import type { EtcdClient } from "../../support/etcd-client.ts";
import {
  type AnyRpc,
  Auth,
  Election,
  KV,
  Lease,
  Maintenance,
  Watch,
} from "../../support/etcd-rpcs.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import {
  type EtcdFault,
  GrpcProxyScene,
  proxyTestOf,
  subjects,
} from "../../support/grpc-proxy-scene.ts";

setDefaultTimeout(60_000);

const CODE_2: EtcdFault = { fault: "the code becomes 2" };
const ONE_TOKEN: EtcdFault = { fault: "watches share one stream, with the first client's token" };

/** Calls that etcd refuses: to a client without a token, and to alice. */
const REFUSED: readonly [
  title: string,
  rpc: AnyRpc,
  request: Record<string, unknown>,
  etcds?: EtcdFault,
][] = [
  ["KV.Range", KV.Range, { key: "b/1" }, CODE_2],
  ["KV.Put", KV.Put, { key: "b/1" }, CODE_2],
  ["KV.DeleteRange", KV.DeleteRange, { key: "a", rangeEnd: "c" }, CODE_2],
  ["KV.Txn", KV.Txn, { success: [{ put: { key: "b/1" } }] }, CODE_2],
  ["Auth.UserList", Auth.UserList, {}],
  ["Auth.RoleAdd", Auth.RoleAdd, { name: "more" }],
  ["Maintenance.Snapshot", Maintenance.Snapshot, {}],
  ["Maintenance.Defragment", Maintenance.Defragment, {}],
];

describe.each(subjects)("%s", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const scene = new GrpcProxyScene(subject);
  let direct: EtcdClient;
  let through: EtcdClient;

  beforeAll(async () => {
    await scene.start();
    const client = await scene.through();
    await client.call(Auth.UserAdd, { name: "root", password: "root" });
    await client.call(Auth.RoleAdd, { name: "root" });
    await client.call(Auth.UserGrantRole, { user: "root", role: "root" });
    for (const [user, key, rangeEnd] of [
      ["alice", "a/", "a0"],
      ["bob", "b/", "b0"],
    ])
      await addUser(client, user!, key!, rangeEnd!);
    await client.call(Auth.Enable);
  });
  afterEach(() => scene.endTest());
  afterAll(() => scene.close());

  /** Adds a user with a role of the same name, which may read and write the range. */
  async function addUser(client: EtcdClient, name: string, key: string, rangeEnd: string) {
    await client.call(Auth.UserAdd, { name, password: name });
    await client.call(Auth.RoleAdd, { name });
    const permission = { type: 2, key, rangeEnd };
    await client.call(Auth.RoleGrantPermission, { name, permission });
    await client.call(Auth.UserGrantRole, { user: name, role: name });
  }

  async function connect(): Promise<void> {
    direct = await scene.direct();
    through = await scene.through();
  }

  /** Connects to the proxy as a user. */
  async function as(user: string, proxy?: GatewayProcess): Promise<EtcdClient> {
    const client = await scene.through(proxy);
    const request = { name: user, password: user };
    client.token = (await client.call(Auth.Authenticate, request)).token;
    return client;
  }

  proxyTest("a wrong password is refused as by the member", async () => {
    await connect();
    for (const name of ["alice", "none"]) {
      const request = { name, password: "wrong" };
      const expected = await direct.answer(Auth.Authenticate, request);
      expect(await through.answer(Auth.Authenticate, request)).toEqual(expected);
      expect(expected.status).toBe(3);
    }
  });

  for (const [title, rpc, request, etcds] of REFUSED)
    proxyTest(
      `${title} without a token, with a wrong one, or without permission is refused as by the member`,
      async () => {
        await connect();
        const { token } = await as("alice");
        for (const one of [undefined, "wrong", token]) {
          direct.token = through.token = one;
          const expected = await direct.answer(rpc, request);
          expect(await through.answer(rpc, request)).toEqual(expected);
          expect(expected.status).not.toBe(0);
        }
      },
      etcds,
    );

  proxyTest("users at once have their own rights each", async () => {
    const clients = await Promise.all(["alice", "bob"].map((user) => as(user)));
    const calls = Array.from({ length: 40 }, async (_item, i) => {
      const client = clients[i % 2]!;
      const key = ["a/own", "b/own"][Math.floor(i / 2) % 2]!;
      return (await client.answer(KV.Put, { key })).status === 0;
    });
    const expected = Array.from({ length: 40 }, (_item, i) => i % 2 === Math.floor(i / 2) % 2);
    expect(await Promise.all(calls)).toEqual(expected);
  });

  proxyTest(
    "a token in the authorization header counts, as for the member",
    async () => {
      const { token } = await as("alice");
      const metadata = { authorization: token! };
      const client = await scene.through();
      expect((await client.answer(KV.Put, { key: "a/header" }, { metadata })).status).toBe(0);
    },
    { fault: "all metadata but the token is dropped" },
  );

  proxyTest(
    "a read from one member shows no user the data of another",
    async () => {
      const [alice, bob] = [await as("alice"), await as("bob")];
      await alice.call(KV.Put, { key: "a/secret", value: "of alice" });
      const request = { key: "a/secret", serializable: true };
      expect((await alice.call(KV.Range, request)).kvs).toHaveLength(1);
      for (const client of [bob, await scene.through()])
        expect((await client.answer(KV.Range, request)).status).not.toBe(0);
    },
    { fault: "the cache answers without asking etcd" },
  );

  proxyTest(
    "watches of several users see their own keys each",
    async () => {
      const clients = await Promise.all(["alice", "bob"].map((user) => as(user)));
      const streams = clients.map((client) => client.open(Watch.Watch));
      for (const [i, stream] of streams.entries()) {
        stream.send({ create: { key: ["a/watch", "b/watch"][i]! } });
        expect(await stream.next()).toMatchObject({ created: true, canceled: false });
      }
      for (const [i, client] of clients.entries())
        await client.call(KV.Put, { key: ["a/watch", "b/watch"][i]! });
      for (const stream of streams) expect((await stream.next()).events).toHaveLength(1);
    },
    ONE_TOKEN,
  );

  proxyTest(
    "a watch without permission is refused as by the member",
    async () => {
      await connect();
      const { token } = await as("alice");
      for (const one of [undefined, token]) {
        const [expected, answer] = await Promise.all(
          [direct, through].map(async (client) => {
            client.token = one;
            const stream = client.open(Watch.Watch);
            stream.send({ create: { key: "b/watch" } });
            return await stream.next();
          }),
        );
        expect(expected!.canceled).toBe(true);
        expect(answer).toEqual(expected!);
      }
    },
    { fault: "refusals have no header" },
  );

  proxyTest(
    "new watches work after the user of the first one is gone",
    async () => {
      const proxy = await scene.anotherProxy();
      const root = await as("root");
      await addUser(root, "carol", "c/", "c0");
      const first = (await as("carol", proxy)).open(Watch.Watch);
      first.send({ create: { key: "c/1" } });
      await first.next();
      await root.call(Auth.UserDelete, { name: "carol" });
      await root.call(Auth.RoleDelete, { name: "carol" });

      const bob = await as("bob", proxy);
      const second = bob.open(Watch.Watch);
      second.send({ create: { key: "b/later" } });
      expect(await second.next()).toMatchObject({ created: true, canceled: false });
      await bob.call(KV.Put, { key: "b/later" });
      expect((await second.next()).events).toHaveLength(1);
    },
    ONE_TOKEN,
  );

  proxyTest(
    "a lease lives on for as long as its user renews it",
    async () => {
      const alice = await as("alice");
      const { id } = await alice.call(Lease.Grant, { ttl: 2 });
      await alice.call(KV.Put, { key: "a/lease", lease: id });
      const stream = alice.open(Lease.KeepAlive);
      for (let i = 0; i < 6; i++) {
        stream.send({ id });
        expect((await stream.next()).ttl).toBe(2);
        await Bun.sleep(500);
      }
      expect((await alice.call(KV.Range, { key: "a/lease" })).count).toBe(1);
    },
    { fault: "the renewal has no token", since: "3.5" },
  );

  proxyTest(
    "an election is observed by a user",
    async () => {
      const root = await as("root");
      const { id: lease } = await root.call(Lease.Grant, { ttl: 60 });
      await root.call(Election.Campaign, { name: "elect", lease, value: "root" });
      const observer = root.open(Election.Observe);
      observer.send({ name: "elect" });
      observer.halfClose();
      expect((await observer.next()).kv!.value).toBe("root");
    },
    { fault: "Election.Observe loses the token" },
  );

  proxyTest("a snapshot is given to root", async () => {
    const stream = (await as("root")).open(Maintenance.Snapshot);
    stream.send({});
    stream.halfClose();
    const { status, messages } = await stream.call.answer();
    expect(status).toBe(0);
    expect(messages.length).toBeGreaterThan(0);
  });

  // Last, because it changes the cluster.
  proxyTest("root disables authentication, after which no token is needed", async () => {
    await (await as("root")).call(Auth.Disable);
    const client = await scene.through();
    expect((await client.call(KV.Put, { key: "free" })).header).toBeDefined();
  });
});
