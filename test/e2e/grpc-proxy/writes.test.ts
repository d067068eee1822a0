// Every unary method that changes something, through the gRPC proxy: a sequence of calls runs
// at the member, then through the proxy, and the answers differ only in what the first changed.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { EtcdClient } from "../../support/etcd-client.ts";
import { TxnRequest, TxnResponse } from "../../support/etcd-messages.ts";
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
import type { GrpcAnswer } from "../../support/grpc-client.ts";
import {
  type EtcdFault,
  GrpcProxyScene,
  proxyTestOf,
  subjects,
} from "../../support/grpc-proxy-scene.ts";

setDefaultTimeout(60_000);

/** One run of the sequence. */
interface Run {
  /** The revision at its start. */
  readonly base: number;
  /** Of the member that it adds: a removed one cannot be added again within a second. */
  readonly peerUrl: string;
  /** The messages of earlier answers, by title. */
  readonly memory: Map<string, any>;
}

type Request = Record<string, unknown>;
type Step = readonly [
  title: string,
  rpc: AnyRpc,
  request: Request | ((run: Run) => Request),
  etcds?: EtcdFault,
];

const LEASE = 0x1234_5678_9abc_def0n;
const NO_PROMOTE: EtcdFault = { fault: "Cluster.MemberPromote is not implemented" };

const put = (key: string, value: string) => ({ put: { key, value } });
const NESTED = TxnRequest.encode({
  compare: [{ key: "write/a", target: 3, value: "2" }],
  success: [put("write/nested", "yes"), { deleteRange: { key: "write/none" } }],
});
const ROLE = { name: "writing", permission: { type: 2, key: "w", rangeEnd: "x" } };
const memberId = ({ memory }: Run) => ({ id: memory.get("Cluster.MemberAdd")?.member.id });
const leader = ({ memory }: Run) => ({ leader: memory.get("Election.Campaign")?.leader });

/** Leaves everything as it was but revisions, so that it can run twice. */
const STEPS: readonly Step[] = [
  ["KV.Put", KV.Put, { key: "write/a", value: "1" }],
  ["KV.Put with the previous value", KV.Put, { key: "write/a", value: "2", prevKv: true }],
  ["KV.Put of a lease alone", KV.Put, { key: "write/a", ignoreValue: true, lease: LEASE }],
  ["KV.Put of binary", KV.Put, { key: "write/\0\xff", value: new Uint8Array(99_999).fill(0x80) }],
  [
    "KV.Txn with nested operations",
    KV.Txn,
    {
      compare: [{ key: "write/a", target: 0, result: 1, version: 1 }],
      success: [put("write/txn", "1"), { txn: NESTED }, { range: { key: "write/txn" } }],
      failure: [put("write/txn", "2")],
    },
  ],
  ["KV.Txn whose condition fails", KV.Txn, { compare: [{ key: "write/a", version: 9 }] }],
  ["KV.Range of what was written", KV.Range, { key: "write/", rangeEnd: "write0" }],
  ["KV.DeleteRange", KV.DeleteRange, { key: "write/", rangeEnd: "write0", prevKv: true }],
  ["KV.Compact", KV.Compact, ({ base }) => ({ revision: base, physical: true })],
  ["Lease.Grant", Lease.Grant, { id: 77n, ttl: 600 }],
  ["Lease.Revoke", Lease.Revoke, { id: 77n }],
  [
    "Cluster.MemberAdd",
    Cluster.MemberAdd,
    ({ peerUrl }) => ({ peerUrls: [peerUrl], isLearner: true }),
  ],
  [
    "Cluster.MemberUpdate",
    Cluster.MemberUpdate,
    (run) => ({ ...memberId(run), peerUrls: [`${run.peerUrl}0`] }),
  ],
  ["Cluster.MemberPromote", Cluster.MemberPromote, memberId, NO_PROMOTE],
  ["Cluster.MemberRemove", Cluster.MemberRemove, memberId],
  ["Maintenance.Alarm, activating", Maintenance.Alarm, { action: 1, alarm: 1 }],
  ["Maintenance.Alarm, deactivating", Maintenance.Alarm, { action: 2, alarm: 1 }],
  ["Maintenance.Defragment", Maintenance.Defragment, {}],
  ["Maintenance.MoveLeader", Maintenance.MoveLeader, { id: 5n }],
  ["Maintenance.Downgrade", Maintenance.Downgrade, { version: "3.0.0" }],
  ["Auth.UserAdd", Auth.UserAdd, { name: "writer", password: "p" }],
  ["Auth.UserChangePassword", Auth.UserChangePassword, { name: "writer", password: "q" }],
  ["Auth.RoleAdd", Auth.RoleAdd, { name: "writing" }],
  ["Auth.RoleGrantPermission", Auth.RoleGrantPermission, ROLE],
  ["Auth.UserGrantRole", Auth.UserGrantRole, { user: "writer", role: "writing" }],
  ["Auth.UserRevokeRole", Auth.UserRevokeRole, { user: "writer", role: "writing" }],
  [
    "Auth.RoleRevokePermission",
    Auth.RoleRevokePermission,
    { role: "writing", key: "w", rangeEnd: "x" },
  ],
  ["Auth.RoleDelete", Auth.RoleDelete, { name: "writing" }],
  ["Auth.UserDelete", Auth.UserDelete, { name: "writer" }],
  ["Auth.Enable without a user root", Auth.Enable, {}],
  ["Lock.Lock", Lock.Lock, { name: "write-lock", lease: LEASE }],
  ["Lock.Unlock", Lock.Unlock, ({ memory }) => ({ key: memory.get("Lock.Lock")?.key })],
  [
    "Election.Campaign",
    Election.Campaign,
    { name: "write-election", lease: LEASE, value: "first" },
  ],
  ["Election.Proclaim", Election.Proclaim, (run) => ({ ...leader(run), value: "second" })],
  ["Election.Resign", Election.Resign, leader],
];

/** The steps that etcd refuses. Auth.Authenticate and the like are in auth.test.ts. */
const REFUSED = [
  "Cluster.MemberPromote",
  "Maintenance.MoveLeader",
  "Maintenance.Downgrade",
  "Auth.Enable without a user root",
];

/** Runs the steps; returns what is comparable of each answer. */
async function runSteps(client: EtcdClient, peerUrl: string): Promise<unknown[]> {
  const { header } = await client.call(KV.Put, { key: "base" });
  const run: Run = { base: header!.revision, peerUrl, memory: new Map() };
  const results: unknown[] = [];
  for (const [title, rpc, request] of STEPS) {
    const fields = typeof request === "function" ? request(run) : request;
    const answer = await client.answer(rpc, fields);
    if (answer.status === 0) run.memory.set(title, rpc.response.decode(answer.messages[0]!.bytes));
    results.push(comparable(rpc, answer, run));
  }
  return results;
}

/** Returns an answer without what two runs do not have in common. */
function comparable({ response }: AnyRpc, answer: GrpcAnswer, run: Run): unknown {
  const messages = answer.messages.map(({ isCompressed, bytes }) => {
    const message = response.decode(bytes);
    // Encoding is reproducible, so equal fields that were equally encoded are equal bytes.
    const isCanonical = response.encode(message).equals(bytes);
    return { isCompressed, isCanonical, message: relativeTo(run, message) };
  });
  return { ...answer, messages };
}

/** Copies a message with revisions relative to the start of the run. */
function relativeTo(run: Run, value: unknown, name = ""): unknown {
  const { base, peerUrl, memory } = run;
  if (Array.isArray(value)) {
    const items = value.map((item) => relativeTo(run, item, name));
    // In the order of their ids, of which the added one's is new in each run.
    return name === "members" ? items.sort((a: any, b: any) => (a.name < b.name ? -1 : 1)) : items;
  }
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(
      Object.entries(value).map(([key, field]) => [key, relativeTo(run, field, key)]),
    );
  if (typeof value === "number" && /revision/i.test(name) && value !== 0) return value - base;
  if (typeof value === "string" && name === "peerUrls") return value.replace(peerUrl, "added");
  if (name === "id" && value === memory.get("Cluster.MemberAdd")?.member.id) return "added";
  if (name === "txn" && value !== "")
    return relativeTo(run, TxnResponse.decode(Buffer.from(value as string, "latin1")));
  return value;
}

describe.each(subjects)("%s answers as the member:", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const scene = new GrpcProxyScene(subject);
  let direct: unknown[];
  let through: unknown[];

  beforeAll(async () => {
    await scene.start();
    const client = await scene.direct();
    await client.call(Lease.Grant, { id: LEASE, ttl: 100_000 });
    direct = await runSteps(client, "http://127.0.0.2:1");
    through = await runSteps(await scene.through(), "http://127.0.0.3:1");
  });
  afterAll(() => scene.close());

  for (const [i, [title, , , etcds]] of STEPS.entries())
    proxyTest(
      title,
      async () => {
        expect(through[i]).toEqual(direct[i]);
      },
      etcds,
    );

  test("the member accepts all but the refused steps", () => {
    const refused = STEPS.filter((_step, i) => (direct[i] as GrpcAnswer).status !== 0);
    expect(refused.map(([title]) => title)).toEqual(REFUSED);
  });
});
