// Real etcd traffic through the compiled gateway to three members: from etcdctl (gRPC) and
// to etcd's JSON gateway.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { etcdctl, EtcdCluster } from "../support/etcd-cluster.ts";
import { decode, encode, postJson, streamJson } from "../support/etcd-json.ts";
import {
  Closers,
  Command,
  type CommandOptions,
  eventually,
  requireTool,
} from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { streamBytes, until } from "../support/peer.ts";

setDefaultTimeout(60_000);

const MIB = 1 << 20;

const closers = new Closers();
let cluster: EtcdCluster;
let gateway: GatewayProcess;

beforeAll(async () => {
  cluster = closers.add(await EtcdCluster.start(3));
  gateway = closers.add(await GatewayProcess.start([`--endpoints=${cluster.endpoints}`]));
});
afterAll(() => closers.close());

/** Runs etcdctl through the gateway, expects success, and returns its output. */
async function ctl(args: readonly string[], options?: CommandOptions): Promise<string> {
  const { status, stdout, stderr } = await etcdctl(gateway.address, args, options);
  expect({ args, status, stderr }).toEqual({ args, status: 0, stderr: "" });
  return stdout;
}

/** Runs etcdctl through the gateway, expects it to fail, and returns its last line of errors. */
async function failedCtl(args: readonly string[]): Promise<string> {
  const { status, stderr } = await etcdctl(gateway.address, args);
  expect(status).not.toBe(0);
  return stderr.trimEnd().split("\n").at(-1)!;
}

/** Posts through the gateway, expects success, and returns the response. */
async function post(path: string, body: unknown = {}, token?: string) {
  const { status, body: response } = await postJson(
    gateway.port,
    path,
    token === undefined ? { body } : { body, token },
  );
  expect({ path, status, response }).toMatchObject({ status: 200 });
  return response;
}

const sha256 = (bytes: string | Uint8Array) => Bun.SHA256.hash(bytes, "hex");
/** Text of exactly a mebibyte. */
const mebibyte = Buffer.from(streamBytes(0, (MIB / 4) * 3)).toString("base64");

describe("etcdctl through the gateway", () => {
  test("put stores a key that get returns", async () => {
    expect(await ctl(["put", "ctl/greeting", "hello"])).toBe("OK\n");
    expect(await ctl(["get", "ctl/greeting"])).toBe("ctl/greeting\nhello\n");
  });

  test("put stores a value of 1 MiB of which get returns every byte", async () => {
    expect(mebibyte).toHaveLength(MIB);
    expect(await ctl(["put", "ctl/mebibyte"], { input: mebibyte })).toBe("OK\n");
    const value = await ctl(["get", "--print-value-only", "ctl/mebibyte"]);
    expect(value).toHaveLength(MIB + 1);
    expect(sha256(value.slice(0, -1))).toBe(sha256(mebibyte));
  });

  test("member list prints what a member prints directly", async () => {
    const through = await ctl(["member", "list"]);
    const direct = await etcdctl(cluster.members[0]!.address, ["member", "list"]);
    expect(through.trimEnd().split("\n")).toHaveLength(3);
    expect(through).toBe(direct.stdout);
  });

  test("watch --rev prints past events, then new ones as they happen", async () => {
    const put = JSON.parse(await ctl(["put", "ctl/watch/a", "1", "--write-out=json"]));
    const words = [requireTool("etcdctl"), `--endpoints=${gateway.address}`, "watch", "--prefix"];
    const watch = closers.add(
      new Command([...words, "ctl/watch/", `--rev=${put.header.revision}`], {
        env: { ETCDCTL_API: "3" },
      }),
    );
    // The first event is in the past. Once it has arrived, the watch is open.
    const first = "PUT\nctl/watch/a\n1\n";
    await until(() => watch.stdout === first, "the first event had arrived");
    await ctl(["put", "ctl/watch/b", "2"]);
    await ctl(["put", "ctl/watch/a", "3"]);
    await ctl(["del", "ctl/watch/b"]);
    const all = `${first}PUT\nctl/watch/b\n2\nPUT\nctl/watch/a\n3\nDELETE\nctl/watch/b\n\n`;
    await until(() => watch.stdout.length >= all.length, "all events had arrived");
    expect(watch.stdout).toBe(all);
    await watch.close();
  });

  test("lease keep-alive prolongs a lease, which expires without it", async () => {
    const granted = await ctl(["lease", "grant", "2"]);
    const [, lease] = /^lease (\w+) granted with TTL\(2s\)\n$/.exec(granted)!;
    await ctl(["put", `--lease=${lease}`, "ctl/leased", "with a lease"]);
    const keepAlive = closers.add(
      new Command(
        [requireTool("etcdctl"), `--endpoints=${gateway.address}`, "lease", "keep-alive", lease!],
        { env: { ETCDCTL_API: "3" } },
      ),
    );
    // etcdctl prints a line every 2/3 s, so the sixth comes after 3 s; the lease lasts 2 s.
    const line = `lease ${lease} keepalived with TTL(2)\n`;
    await until(
      () => keepAlive.stdout.length >= 6 * line.length,
      "the lease was prolonged six times",
    );
    expect(keepAlive.stdout).toStartWith(line.repeat(6));
    expect(await ctl(["get", "ctl/leased"])).toBe("ctl/leased\nwith a lease\n");
    await keepAlive.close();
    const isGone = async () => ((await ctl(["get", "ctl/leased"])) === "" ? true : undefined);
    await eventually(isGone, "the lease had expired");
    expect(await ctl(["lease", "timetolive", lease!])).toBe(`lease ${lease} already expired\n`);
  });

  test("txn runs the branch that its condition selects", async () => {
    await ctl(["put", "ctl/txn", "1"]);
    const transaction = 'value("ctl/txn") = "1"\n\nput ctl/txn 2\n\nput ctl/txn 3\n\n';
    expect(await ctl(["txn"], { input: transaction })).toBe("SUCCESS\n\nOK\n");
    expect(await ctl(["txn"], { input: transaction })).toBe("FAILURE\n\nOK\n");
    expect(await ctl(["get", "--print-value-only", "ctl/txn"])).toBe("3\n");
  });
});

describe("etcd's JSON gateway through the gateway", () => {
  test("put stores a key that range returns", async () => {
    await post("/v3/kv/put", { key: encode("json/greeting"), value: encode("hello") });
    const { kvs, count } = await post("/v3/kv/range", { key: encode("json/greeting") });
    expect(count).toBe("1");
    expect(decode(kvs[0].value)).toBe("hello");
  });

  test("put stores a value of 1 MiB of which range returns every byte", async () => {
    await post("/v3/kv/put", { key: encode("json/mebibyte"), value: encode(mebibyte) });
    const { kvs } = await post("/v3/kv/range", { key: encode("json/mebibyte") });
    expect(sha256(decode(kvs[0].value))).toBe(sha256(mebibyte));
  });

  test("put reaches all members in turn with 200 keys, which range returns by prefix", async () => {
    const keys = Array.from({ length: 200 }, (_, i) => `prefix/${String(i).padStart(3, "0")}`);
    const served = new Map<string, number>();
    for (const key of keys) {
      const { header } = await post("/v3/kv/put", { key: encode(key), value: encode(`of ${key}`) });
      served.set(header.member_id, (served.get(header.member_id) ?? 0) + 1);
    }
    expect([...served.values()].toSorted()).toEqual([66, 67, 67]);
    const range = { key: encode("prefix/"), range_end: encode("prefix0") };
    const { kvs, count } = await post("/v3/kv/range", range);
    expect(count).toBe("200");
    expect(kvs.map(({ key }: { key: string }) => decode(key))).toEqual(keys);
    const listed = await ctl(["get", "--prefix", "prefix/"]);
    expect(listed).toBe(keys.map((key) => `${key}\nof ${key}\n`).join(""));
  });

  test("watch streams its creation, then each event as it happens", async () => {
    const stop = new AbortController();
    const body = { create_request: { key: encode("json/watch"), range_end: encode("json/watci") } };
    const watch = streamJson(gateway.port, "/v3/watch", { body, signal: stop.signal });
    expect((await watch.next()).value.result.created).toBe(true);
    const seen: string[] = [];
    for (const value of ["1", "2", "3"]) {
      await post("/v3/kv/put", { key: encode("json/watch"), value: encode(value) });
      const { events } = (await watch.next()).value.result;
      for (const { kv } of events) seen.push(decode(kv.value));
    }
    expect(seen).toEqual(["1", "2", "3"]);
    stop.abort();
  });

  test("txn runs the branch that its condition selects", async () => {
    const key = encode("json/txn");
    const put = (value: string) => ({ request_put: { key, value: encode(value) } });
    const transaction = {
      compare: [{ target: "CREATE", key, create_revision: "0" }],
      success: [put("created")],
      failure: [put("changed")],
    };
    expect((await post("/v3/kv/txn", transaction)).succeeded).toBe(true);
    expect((await post("/v3/kv/txn", transaction)).succeeded).toBeUndefined();
    const { kvs } = await post("/v3/kv/range", { key });
    expect(decode(kvs[0].value)).toBe("changed");
  });

  test("lease grant returns the requested TTL and a usable lease", async () => {
    const { ID, TTL } = await post("/v3/lease/grant", { TTL: "60" });
    expect(TTL).toBe("60");
    const key = encode("json/leased");
    await post("/v3/kv/put", { key, value: encode("for a minute"), lease: ID });
    const { kvs } = await post("/v3/kv/range", { key });
    expect(kvs[0].lease).toBe(ID);
  });
});

// Last, and in this order, because authentication changes the whole cluster.
describe("authentication through the gateway", () => {
  const WRONG_PASSWORD = "etcdserver: authentication failed, invalid user ID or password";

  test("etcdctl enforces the rights of users, and reports etcd's error for a wrong password", async () => {
    await ctl(["user", "add", "root:secret"]);
    await ctl(["user", "add", "reader:quiet"]);
    await ctl(["role", "add", "reading"]);
    await ctl(["role", "grant-permission", "reading", "read", "--prefix=true", "ctl/"]);
    await ctl(["user", "grant-role", "reader", "reading"]);
    await ctl(["role", "add", "root"]);
    await ctl(["user", "grant-role", "root", "root"]);
    expect(await ctl(["auth", "enable"])).toBe("Authentication Enabled\n");

    const root = "--user=root:secret";
    expect(await ctl([root, "put", "other/key", "of root"])).toBe("OK\n");
    expect(await ctl(["--user=reader:quiet", "get", "ctl/greeting"])).toBe("ctl/greeting\nhello\n");
    expect(await failedCtl(["--user=reader:quiet", "get", "other/key"])).toBe(
      "Error: etcdserver: permission denied",
    );
    expect(await failedCtl(["--user=root:wrong", "get", "ctl/greeting"])).toBe(
      `Error: ${WRONG_PASSWORD}`,
    );
    expect(await failedCtl(["get", "ctl/greeting"])).toBe("Error: etcdserver: user name is empty");
    expect(await ctl([root, "auth", "disable"])).toBe("Authentication Disabled\n");
  });

  test("every member accepts the token of one, and rejects a wrong token", async () => {
    await post("/v3/auth/enable");
    const { token } = await post("/v3/auth/authenticate", { name: "root", password: "secret" });
    const key = encode("json/greeting");
    const responses = [];
    for (let i = 0; i < 3; i++) responses.push(await post("/v3/kv/range", { key }, token));
    expect(new Set(responses.map(({ header }) => header.member_id)).size).toBe(3);
    expect(responses.map(({ kvs }) => decode(kvs[0].value))).toEqual(["hello", "hello", "hello"]);

    const errorOf = async (path: string, body: unknown, token?: string) => {
      const options = token === undefined ? { body } : { body, token };
      const response = await postJson(gateway.port, path, options);
      return { status: response.status, error: response.body.error };
    };
    // The prefix makes it wrong. A number after it would be a raft index that etcd waits for.
    expect(await errorOf("/v3/kv/range", { key }, `wrong${token}`)).toEqual({
      status: 401,
      error: "etcdserver: invalid auth token",
    });
    expect(await errorOf("/v3/kv/range", { key })).toEqual({
      status: 400,
      error: "etcdserver: user name is empty",
    });
    const wrong = { name: "root", password: "wrong" };
    expect(await errorOf("/v3/auth/authenticate", wrong)).toEqual({
      status: 400,
      error: WRONG_PASSWORD,
    });
    await post("/v3/auth/disable", {}, token);
    expect(await ctl(["get", "ctl/greeting"])).toBe("ctl/greeting\nhello\n");
  });
});

test("start logs nothing but its own start during all of this", () => {
  expect(gateway.log.map(({ msg }) => msg)).toEqual([
    "listening",
    "ready to proxy client requests",
  ]);
});
