import { describe, expect, test } from "bun:test";
import { Rejection } from "../../../src/grpc-proxy/message-pipe.ts";
import { Namespace } from "../../../src/grpc-proxy/namespace/namespace.ts";
import { bytesOf, field, message, varint, varintField } from "../../support/wire-format.ts";

const loose = new Namespace(bytesOf("p/"));
const strict = new Namespace(bytesOf("p/"), { strict: true });

const paths = (service: string, methods: string) =>
  methods.split(" ").map((method) => `/${service}/${method}`);

const rewritten = [
  ...paths("etcdserverpb.KV", "Range RangeStream Put DeleteRange Txn"),
  "/etcdserverpb.Watch/Watch",
  "/etcdserverpb.Lease/LeaseTimeToLive",
];
const passed = [
  ...paths("etcdserverpb.Lease", "LeaseGrant LeaseRevoke LeaseKeepAlive"),
  "/etcdserverpb.Cluster/MemberList",
  "/etcdserverpb.Maintenance/Status",
  ...paths("etcdserverpb.Auth", "AuthStatus Authenticate"),
  ...paths("grpc.health.v1.Health", "Check List Watch"),
  "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
const refusedIfStrict = [
  "/etcdserverpb.KV/Compact",
  "/etcdserverpb.Lease/LeaseLeases",
  ...paths("etcdserverpb.Cluster", "MemberAdd MemberRemove MemberUpdate MemberPromote"),
  ...paths("etcdserverpb.Maintenance", "Defragment Hash HashKV Snapshot MoveLeader Downgrade"),
  ...paths("etcdserverpb.Auth", "AuthEnable AuthDisable UserAdd UserGet UserList UserDelete"),
  ...paths("etcdserverpb.Auth", "UserChangePassword UserGrantRole UserRevokeRole RoleAdd RoleGet"),
  ...paths("etcdserverpb.Auth", "RoleList RoleDelete RoleGrantPermission RoleRevokePermission"),
];
const mappedIfStrict = [
  ...paths("v3lockpb.Lock", "Lock Unlock"),
  ...paths("v3electionpb.Election", "Campaign Proclaim Leader Observe Resign"),
];
const ALARM = "/etcdserverpb.Maintenance/Alarm";

describe("knows()", () => {
  test.each([...rewritten, ...passed, ...refusedIfStrict, ...mappedIfStrict, ALARM])(
    "%s",
    (path) => {
      expect([loose.knows(path), strict.knows(path)]).toEqual([true, true]);
    },
  );

  test.each([
    "",
    "/",
    "/etcdserverpb.KV/",
    "/etcdserverpb.KV/RangeAll",
    "/a.B/C",
    "etcdserverpb.KV/Range",
    "/etcdserverpb.KV/Range/",
    "/etcdserverpb.KV/constructor",
    "/etcdserverpb.KV/range",
  ])("not %j", (path) => {
    expect([loose.knows(path), loose.rewriterOf(path)]).toEqual([false, undefined]);
  });
});

describe("rewriterOf()", () => {
  test.each(rewritten)("%s is rewritten", (path) => {
    expect(loose.rewriterOf(path)).toBeDefined();
    expect(strict.rewriterOf(path)).toBeDefined();
  });

  test.each(passed)("%s passes, in strict mode too", (path) => {
    expect([loose.rewriterOf(path), strict.rewriterOf(path)]).toEqual([undefined, undefined]);
  });

  test.each([...refusedIfStrict, ...mappedIfStrict, ALARM])("%s passes unless strict", (path) => {
    expect(loose.rewriterOf(path)).toBeUndefined();
  });
});

describe("strict mode refuses", () => {
  test.each(refusedIfStrict)("%s", (path) => {
    const { request, response } = strict.rewriterOf(path)!;
    const text = `etcd-gateway: ${path} is not confined to the namespace; refused by --namespace-strict`;
    for (const bytes of [message(), field(1, "x"), message("\xff")])
      expect(codeAndText(() => request!(bytes))).toEqual([7, text]);
    expect(response).toBeUndefined();
  });

  test.each([
    ["activates", varintField(1, 1)],
    ["deactivates", message(varintField(1, 2), varintField(2, 2n ** 64n - 1n), varintField(3, 1))],
    ["activates after another action", message(varintField(1, 0), varintField(1, 1))],
    ["activates before another action", message(varintField(1, 1), varintField(1, 0))],
    ["activates with a padded tag", message(varint(8, 5), "\x01")],
    ["has an action of more than 32 bits", varintField(1, 2n ** 32n + 1n)],
  ])("an Alarm call that %s", (_, bytes) => {
    expect(codeAndText(() => strict.rewriterOf(ALARM)!.request!(bytes))[0]).toBe(7);
  });

  test.each([
    ["lists all alarms", message()],
    ["lists alarms", message(varintField(1, 0), varintField(2, 5), varintField(3, 1))],
    ["lists alarms with unknown fields", message(field(9, varintField(1, 1)), varintField(7, 1))],
  ])("no Alarm call that %s", (_, bytes) => {
    expect(strict.rewriterOf(ALARM)!.request!(bytes)).toBe(bytes);
  });

  test("a malformed Alarm call, in etcd's words", () => {
    expect(codeAndText(() => strict.rewriterOf(ALARM)!.request!(message("\x08")))).toEqual([
      13,
      "grpc: error unmarshalling request: unexpected EOF",
    ]);
  });
});

describe("strict mode maps locks and elections", () => {
  const lease = varintField(2, 2n ** 63n - 1n);
  const pair = (key: string) => field(2, field(1, key), varintField(3, 9), field(5, "v"));
  const leaderKey = (name: string, key: string) =>
    message(field(1, name), field(2, key), varintField(3, 9), varintField(4, 8));
  const requests: [what: string, client: Uint8Array, etcd: Uint8Array][] = [
    ["Lock/Lock", message(field(1, "l"), lease), message(field(1, "p/l"), lease)],
    ["Lock/Lock", lease, message(field(1, "p/"), lease)],
    ["Lock/Unlock", field(1, "l/7"), field(1, "p/l/7")],
    [
      "Election/Campaign",
      message(field(1, "e"), lease, field(3, "v")),
      message(field(1, "p/e"), lease, field(3, "v")),
    ],
    ["Election/Campaign", field(3, "v"), message(field(1, "p/"), field(3, "v"))],
    [
      "Election/Proclaim",
      message(field(1, leaderKey("e", "e/7")), field(2, "v")),
      message(field(1, leaderKey("p/e", "p/e/7")), field(2, "v")),
    ],
    ["Election/Proclaim", field(2, "v"), field(2, "v")],
    ["Election/Leader", field(1, "e"), field(1, "p/e")],
    ["Election/Observe", message(), field(1, "p/")],
    ["Election/Resign", field(1, leaderKey("e", "e/7")), field(1, leaderKey("p/e", "p/e/7"))],
    ["Election/Resign", field(1, field(2, "e/7")), field(1, field(1, "p/"), field(2, "p/e/7"))],
    ["Election/Resign", message(), message()],
  ];
  test.each(requests)("%s", (name, client, etcd) => {
    expect(hex(strict.rewriterOf(pathOf(name))!.request!(client))).toBe(hex(etcd));
  });

  const answers: [what: string, etcd: Uint8Array, client: Uint8Array][] = [
    ["Lock/Lock", field(2, "p/l/7"), field(2, "l/7")],
    ["Election/Campaign", field(2, leaderKey("p/e", "p/e/7")), field(2, leaderKey("e", "e/7"))],
    ["Election/Leader", pair("p/e/7"), pair("e/7")],
    ["Election/Observe", pair("p/e/7"), pair("e/7")],
  ];
  test.each(answers)("the answer of %s", (name, etcd, client) => {
    expect(hex(strict.rewriterOf(pathOf(name))!.response!(etcd))).toBe(hex(client));
  });

  // etcd's own lock and election servers answer so, since they are clients of their KV server.
  test.each([
    ["Lock/Unlock", message()],
    ["Lock/Unlock", field(1, "")],
    ["Election/Resign", field(1)],
    ["Election/Resign", field(1, field(1, "e"))],
    ["Election/Proclaim", field(1, field(1, "e"), field(2, ""))],
  ])("%s refuses an empty key as etcd does", (name, bytes) => {
    expect(codeAndText(() => strict.rewriterOf(pathOf(name))!.request!(bytes))).toEqual([
      2,
      "etcdserver: key is not provided",
    ]);
  });

  test("a foreign key in an answer is refused", () => {
    const foreign: [name: string, bytes: Uint8Array][] = [
      ["Lock/Lock", field(2, "l/7")],
      ["Lock/Lock", message()],
      ["Election/Campaign", field(2, leaderKey("p/e", "e/7"))],
      ["Election/Campaign", field(2, leaderKey("e", "p/e/7"))],
      ["Election/Leader", pair("e/7")],
    ];
    for (const [name, bytes] of foreign)
      expect(codeAndText(() => strict.rewriterOf(pathOf(name))!.response!(bytes))[0]).toBe(13);
  });
});

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

function pathOf(name: string): string {
  return `/${name.startsWith("Lock/") ? "v3lockpb" : "v3electionpb"}.${name}`;
}

function codeAndText(attempt: () => unknown): [code: number, text: string] {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Rejection) return [error.code, error.message];
    throw error;
  }
  throw new Error("not rejected");
}
