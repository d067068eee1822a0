// Errors of etcd through the gRPC proxy: their codes, messages and trailers are the member's.
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { TxnRequest } from "../../support/etcd-messages.ts";
import {
  type AnyRpc,
  Auth,
  Cluster,
  Election,
  KV,
  Lease,
  Lock,
  Maintenance,
} from "../../support/etcd-rpcs.ts";
import type { CallOptions, GrpcAnswer, GrpcClient } from "../../support/grpc-client.ts";
import {
  type EtcdFault,
  GrpcProxyScene,
  proxyTestOf,
  subjects,
} from "../../support/grpc-proxy-scene.ts";

setDefaultTimeout(60_000);

type Call = readonly [
  title: string,
  rpc: AnyRpc,
  request: Record<string, unknown>,
  code: number,
  etcds?: EtcdFault,
];

const CODE_2: EtcdFault = { fault: "the code becomes 2" };
const CLUSTER_2: EtcdFault = { fault: "the code becomes 2", fixedIn: "3.6" };
const NO_PROMOTE: EtcdFault = { fault: "not implemented" };
const MIB = 1 << 20;
const put = { put: { key: "k" } };
const tooDeep = TxnRequest.encode({ success: [put, put] });

const CALLS: readonly Call[] = [
  ["KV.Range without a key", KV.Range, {}, 3, CODE_2],
  ["KV.Range at a compacted revision", KV.Range, { key: "k", revision: 2 }, 11, CODE_2],
  ["KV.Range at a future revision", KV.Range, { key: "k", revision: 1e9 }, 11, CODE_2],
  ["KV.Put without a key", KV.Put, { value: "v" }, 3, CODE_2],
  ["KV.Put with an unknown lease", KV.Put, { key: "k", lease: 99n }, 5, CODE_2],
  [
    "KV.Put of a value and its absence",
    KV.Put,
    { key: "k", value: "v", ignoreValue: true },
    3,
    CODE_2,
  ],
  ["KV.Put that keeps a missing value", KV.Put, { key: "none", ignoreValue: true }, 3, CODE_2],
  ["KV.DeleteRange without a key", KV.DeleteRange, {}, 3, CODE_2],
  ["KV.Txn of a key twice", KV.Txn, { success: [put, put] }, 3, CODE_2],
  ["KV.Txn of a key twice, nested", KV.Txn, { success: [{ txn: tooDeep }] }, 3, CODE_2],
  [
    "KV.Txn of 129 operations",
    KV.Txn,
    { success: Array(129).fill({ range: { key: "k" } }) },
    3,
    CODE_2,
  ],
  ["KV.Txn without a key", KV.Txn, { compare: [{}] }, 3, CODE_2],
  ["KV.Compact of what is compacted", KV.Compact, { revision: 1 }, 11, CODE_2],
  ["KV.Compact of the future", KV.Compact, { revision: 1e9 }, 11, CODE_2],
  ["KV.Put of 1.6 MiB", KV.Put, { key: "k", value: new Uint8Array(1.6 * MIB) }, 3, CODE_2],
  ["KV.Put of 3 MiB", KV.Put, { key: "k", value: new Uint8Array(3 * MIB) }, 8],
  ["Lease.Grant of a known lease", Lease.Grant, { id: 7n, ttl: 60 }, 9],
  ["Lease.Grant of 10^10 s", Lease.Grant, { ttl: 1e10 }, 11],
  ["Lease.Revoke of an unknown lease", Lease.Revoke, { id: 99n }, 5, CODE_2],
  ["Cluster.MemberRemove of an unknown member", Cluster.MemberRemove, { id: 99n }, 5, CLUSTER_2],
  ["Cluster.MemberUpdate of an unknown member", Cluster.MemberUpdate, { id: 99n }, 5, CLUSTER_2],
  ["Cluster.MemberPromote of an unknown member", Cluster.MemberPromote, { id: 99n }, 5, NO_PROMOTE],
  ["Cluster.MemberAdd without a URL", Cluster.MemberAdd, { peerUrls: ["x"] }, 3, CLUSTER_2],
  ["Maintenance.MoveLeader to an unknown member", Maintenance.MoveLeader, { id: 99n }, 9],
  ["Maintenance.HashKV of the future", Maintenance.HashKV, { revision: 1e9 }, 11],
  ["Auth.Authenticate without authentication", Auth.Authenticate, { name: "a" }, 9],
  ["Auth.UserGet of an unknown user", Auth.UserGet, { name: "none" }, 9],
  ["Auth.UserAdd without a name", Auth.UserAdd, {}, 3],
  ["Auth.RoleGet of an unknown role", Auth.RoleGet, { name: "none" }, 9],
  ["Auth.RoleDelete of an unknown role", Auth.RoleDelete, { name: "none" }, 9],
  ["Auth.Enable without a user root", Auth.Enable, {}, 9],
  ["Election.Leader without a leader", Election.Leader, { name: "none" }, 2],
  ["Lock.Lock with an unknown lease", Lock.Lock, { name: "lock", lease: 99n }, 2],
];

/** Calls that are wrong in their form; the codes differ between releases. */
const MALFORMED: readonly [title: string, call: (client: GrpcClient) => Promise<GrpcAnswer>][] = [
  ["an unknown method", (client) => client.unary("/etcdserverpb.KV/None", empty)],
  ["an unknown service", (client) => client.unary("/none.None/None", empty)],
  ["a path that names no method", (client) => client.unary("/none", empty)],
  ["the path /", (client) => client.unary("/", empty)],
  ["a message that is not protobuf", (client) => client.unary(KV.Range.path, broken)],
  ["a call without a message", withoutMessage],
  ["an unknown compression", (client) => compressed(client, "snappy")],
  ["a compressed message that is not", (client) => compressed(client, "gzip")],
  ["a compressed message without its encoding", (client) => compressed(client)],
];

const empty = new Uint8Array();
const broken = Uint8Array.of(0x0a, 0xff);
const KEY = KV.Range.request.encode({ key: "k" });

async function withoutMessage(client: GrpcClient): Promise<GrpcAnswer> {
  const call = client.call(KV.Range.path);
  call.halfClose();
  return await call.answer();
}

/** Calls with a message that is marked as compressed, and is not. */
async function compressed(client: GrpcClient, encoding?: string) {
  const options: CallOptions =
    encoding === undefined ? {} : { metadata: { "grpc-encoding": encoding } };
  const call = client.call(KV.Range.path, options);
  call.send(KEY, true);
  call.halfClose();
  return await call.answer();
}

describe.each(subjects)("%s returns the member's error for", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const scene = new GrpcProxyScene(subject);

  beforeAll(async () => {
    // More than etcd accepts, so that etcd refuses what is too large.
    await scene.start(1, [`--max-send-bytes=${8 * MIB}`]);
    const client = await scene.direct();
    await client.call(Lease.Grant, { id: 7n, ttl: 100_000 });
    for (let i = 0; i < 5; i++) await client.call(KV.Put, { key: "k", value: `${i}` });
    await client.call(KV.Compact, { revision: 4 });
  });
  afterEach(() => scene.endTest());
  afterAll(() => scene.close());

  for (const [title, rpc, request, code, etcds] of CALLS)
    proxyTest(
      title,
      async () => {
        const direct = await (await scene.direct()).answer(rpc, request);
        const through = await (await scene.through()).answer(rpc, request);
        expect(through).toEqual(direct);
        expect(direct.status).toBe(code);
      },
      etcds,
    );

  for (const [title, call] of MALFORMED)
    proxyTest(title, async () => {
      const direct = await call((await scene.direct()).grpc);
      const through = await call((await scene.through()).grpc);
      expect(through).toEqual(direct);
      expect(direct.status).toBeGreaterThan(0);
    });

  proxyTest(
    "an operation of KV.Txn without a value, and goes on serving",
    async () => {
      const proxy = await scene.anotherProxy();
      const request = { success: [{}] };
      const direct = await (await scene.direct()).answer(KV.Txn, request);
      const client = await scene.through(proxy);
      expect(await client.answer(KV.Txn, request)).toEqual(direct);
      expect((await client.answer(KV.Range, { key: "k" })).status).toBe(0);
    },
    { fault: "the process panics" },
  );

  test("the proxy is still the same process", () => {
    expect(scene.proxy.status).toBeUndefined();
  });
});
