// Every unary method that changes nothing, through the gRPC proxy: its answer is the member's,
// to the byte, with all headers and trailers.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import type { EtcdClient } from "../../support/etcd-client.ts";
import {
  type AnyRpc,
  Auth,
  Cluster,
  Election,
  KV,
  Lease,
  Maintenance,
} from "../../support/etcd-rpcs.ts";
import { GrpcProxyScene, isBefore, proxyTestOf, subjects } from "../../support/grpc-proxy-scene.ts";

setDefaultTimeout(60_000);

type Request = Record<string, unknown>;
type Call = readonly [title: string, rpc: AnyRpc, request: Request, since?: string];

const LEASE = 0x1234_5678_9abc_def0n;
/** The first revision of the keys: a new cluster's is 1. */
const FIRST = 2;

const range = (title: string, request: Request): Call => [
  `KV.Range ${title}`,
  KV.Range,
  { key: "read/", rangeEnd: "read0", ...request },
];

const CALLS: readonly Call[] = [
  range("of a prefix", {}),
  range("of one key", { key: "read/1", rangeEnd: "" }),
  range("of a missing key", { key: "read/none", rangeEnd: "" }),
  range("to the end", { rangeEnd: "\0" }),
  range("of everything", { key: "\0", rangeEnd: "\0" }),
  range("with a limit", { limit: 2 }),
  range("by revision, descending", { sortOrder: 2, sortTarget: 3 }),
  range("by key, ascending", { sortOrder: 1 }),
  range("of a count", { countOnly: true }),
  range("of keys", { keysOnly: true }),
  range("from one member", { serializable: true }),
  range("of a window of revisions", { minModRevision: FIRST + 1, maxCreateRevision: FIRST + 2 }),
  range("at a past revision", { revision: FIRST + 1 }),
  ["KV.Txn that only reads", KV.Txn, { success: [{ range: { key: "read/1" } }] }],
  ["Lease.Leases", Lease.Leases, {}],
  ["Lease.TimeToLive", Lease.TimeToLive, { id: LEASE, keys: true }],
  ["Lease.TimeToLive of a missing lease", Lease.TimeToLive, { id: 5n }],
  ["Cluster.MemberList", Cluster.MemberList, {}],
  ["Cluster.MemberList, linearizable", Cluster.MemberList, { linearizable: true }],
  ["Maintenance.Alarm", Maintenance.Alarm, {}],
  ["Maintenance.Status", Maintenance.Status, {}],
  ["Maintenance.Hash", Maintenance.Hash, {}],
  ["Maintenance.HashKV", Maintenance.HashKV, { revision: FIRST + 1 }],
  ["Auth.Status", Auth.Status, {}, "3.5"],
  ["Auth.UserGet", Auth.UserGet, { name: "reader" }],
  ["Auth.UserList", Auth.UserList, {}],
  ["Auth.RoleGet", Auth.RoleGet, { name: "reading" }],
  ["Auth.RoleList", Auth.RoleList, {}],
  ["Election.Leader", Election.Leader, { name: "read-election" }],
];

async function seed(client: EtcdClient): Promise<void> {
  // etcd lists the keys of a lease in random order up to 3.5, so this lease has one key.
  await client.call(Lease.Grant, { id: LEASE, ttl: 100_000 });
  await client.call(KV.Put, { key: "read/1", value: "first", lease: LEASE });
  for (const key of ["read/2", "read/3", "read/2"])
    await client.call(KV.Put, { key, value: `value of ${key}` });
  const { id: lease } = await client.call(Lease.Grant, { ttl: 100_000 });
  await client.call(Election.Campaign, { name: "read-election", lease, value: "leader" });
  await client.call(Auth.UserAdd, { name: "reader", password: "p" });
  await client.call(Auth.RoleAdd, { name: "reading" });
  const permission = { type: 0, key: "read/", rangeEnd: "read0" };
  await client.call(Auth.RoleGrantPermission, { name: "reading", permission });
  await client.call(Auth.UserGrantRole, { user: "reader", role: "reading" });
}

describe.each(subjects)("%s returns the member's bytes for", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const scene = new GrpcProxyScene(subject);

  beforeAll(async () => {
    await scene.start();
    await seed(await scene.direct());
  });
  afterEach(() => scene.endTest());
  afterAll(() => scene.close());

  for (const [title, rpc, request, since = "3.4"] of CALLS)
    proxyTest(title, async () => {
      const [member, proxy] = [await scene.direct(), await scene.through()];
      for (let attempt = 1; ; attempt++) {
        const before = await member.answer(rpc, request);
        const answer = await proxy.answer(rpc, request);
        const after = await member.answer(rpc, request);
        // A lease's remaining time may change in between.
        if (!Bun.deepEquals(before, after) && attempt < 3) continue;
        expect(before.status).toBe(isBefore(subject.release.name, since) ? 12 : 0);
        expect(answer).toEqual(before);
        return;
      }
    });
});
