// The read-only mode in front of a real cluster: what only reads passes, in every spelling
// what does not is refused, and nothing is written.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { encode, postJson } from "../../support/etcd-json.ts";
import { Closers, requireTool, run } from "../../support/gateway-command.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import { startHttpProxyFor } from "../../support/http-proxy-process.ts";
import { RawHttp } from "../../support/raw-http.ts";

setDefaultTimeout(60_000);

const closers = new Closers();
let cluster: EtcdCluster;
let ours: GatewayProcess;
let etcds: GatewayProcess;

beforeAll(async () => {
  cluster = closers.add(await EtcdCluster.start(1, undefined, { flags: ["--enable-v2=true"] }));
  ours = closers.add(await startHttpProxyFor("ours", cluster, "readonly"));
  etcds = closers.add(await startHttpProxyFor("etcd", cluster, "readonly"));
  const { port } = cluster.members[0]!;
  await postJson(port, "/v3/kv/put", { body: { key: encode("k"), value: encode("before") } });
  await fetch(`http://${cluster.endpoints}/v2/keys/k?value=before`, { method: "PUT" });
});
afterAll(() => closers.close());

async function statusOf(proxy: GatewayProcess, method: string, path: string, body = "") {
  const client = await RawHttp.connect(proxy.address);
  client.request(`${method} ${path}`, { headers: ["Connection: close"], body });
  await client.closed();
  return client.status;
}

const KEY = JSON.stringify({ key: encode("k") });
const PUT = JSON.stringify({ key: encode("k"), value: encode("after") });

test.each([
  ["GET", "/v2/keys/k", 200, 200],
  ["GET", "/v2/members", 200, 200],
  ["GET", "/version", 200, 200],
  ["GET", "/health", 200, 200],
  ["HEAD", "/v2/keys/k", 200, 501],
  ["OPTIONS", "/v2/keys/k", 200, 501],
  ["PUT", "/v2/keys/k?value=after", 501, 501],
  ["POST", "/v2/keys/k?value=after", 501, 501],
  ["DELETE", "/v2/keys/k", 501, 501],
  ["PATCH", "/v2/keys/k", 501, 501],
  ["GET", "/v2/auth/users", 501, 200],
  ["GET", "/debug/vars", 501, 200],
  ["GET", "/v2/keys/../auth/users", 501, 301],
  ["GET", "/v2//auth/users", 501, 301],
])("%s %s gets %i; from etcd's proxy %i", async (method, path, status, etcdStatus) => {
  expect(await statusOf(ours, method, path)).toBe(status);
  expect(await statusOf(etcds, method, path)).toBe(etcdStatus);
});

test.each([
  ["/v3/kv/range", KEY, 200],
  ["/v3beta/kv/range", KEY, 200],
  ["/v3/kv/%72ange", KEY, 200],
  ["/v3/cluster/member/list", "{}", 200],
  ["/v3/maintenance/status", "{}", 200],
  ["/v3/kv/put", PUT, 501],
  ["/v3/kv/%70ut", PUT, 501],
  ["/v3/kv%2Fput", PUT, 501],
  ["/v3beta/kv/put", PUT, 501],
  ["/v3//kv/put", PUT, 501],
  ["/v3/kv/range/../put", PUT, 501],
  ["/v3/kv/deleterange", KEY, 501],
  ["/v3/kv/compaction", '{"revision":"1"}', 501],
  ["/v3/lease/grant", '{"TTL":"10"}', 501],
  ["/v3/lock/lock", "{}", 501],
  ["/v3/election/campaign", "{}", 501],
  ["/v3/maintenance/snapshot", "{}", 501],
  ["/v3/maintenance/defragment", "{}", 501],
  ["/v3/auth/enable", "{}", 501],
  ["/v3/auth/user/list", "{}", 501],
  ["/v3/cluster/member/add", "{}", 501],
  ["/v3/unknown", "{}", 501],
  ["/v4/kv/put", PUT, 501],
])("POST %s gets %# as it should", async (path, body, status) => {
  expect(await statusOf(ours, "POST", path, body)).toBe(status);
});

const range = { requestRange: { key: encode("k") } };
const put = { requestPut: { key: encode("k"), value: encode("after") } };

test.each([
  [{ success: [range] }, 200],
  [{ success: [range], failure: [range] }, 200],
  [{ success: [range, put] }, 501],
  [{ failure: [put] }, 501],
  [{ success: [{ request_put: put.requestPut }] }, 501],
  [{ success: [{ requestTxn: { success: [put] } }] }, 501],
  [{ success: [{ ...range, ...put }] }, 501],
])("a transaction %j gets %i", async (txn, status) => {
  expect(await statusOf(ours, "POST", "/v3/kv/txn", JSON.stringify(txn))).toBe(status);
});

test("a refusal of the JSON gateway says why, one of v2 has no body", async () => {
  const json = await RawHttp.connect(ours.address);
  json.request("POST /v3/kv/put", { headers: ["Connection: close"], body: PUT });
  await json.closed();
  expect(JSON.parse(json.body)).toEqual({
    error: expect.stringContaining("read-only"),
    message: expect.stringContaining("read-only"),
    code: 12,
    details: [],
  });
  const v2 = await RawHttp.connect(ours.address);
  v2.request("DELETE /v2/keys/k", { headers: ["Connection: close"] });
  await v2.closed();
  expect(v2.body).toBe("");
});

test("etcdctl of v2 cannot write", async () => {
  const { status, stderr, stdout } = await run(
    [requireTool("etcdctl"), "--no-sync", `--endpoints=http://${ours.address}`, "set", "k", "x"],
    { env: { ETCDCTL_API: "2" } },
  );
  expect(stdout + stderr).toContain("Not Implemented");
  expect(status).not.toBe(0);
});

test("nothing was written", async () => {
  const { port } = cluster.members[0]!;
  const { body } = await postJson(port, "/v3/kv/range", { body: { key: encode("k") } });
  expect(body.kvs[0].value).toBe(encode("before"));
  const v2 = await fetch(`http://${cluster.endpoints}/v2/keys/k`);
  expect(((await v2.json()) as any).node.value).toBe("before");
});
