// What passes an HTTP proxy on its way to a real cluster: v2 and the JSON gateway, answers
// as they come, the member that a client stays with. etcd's own proxy is the control, and
// the tests say where it differs.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { encode, postJson } from "../../support/etcd-json.ts";
import { Closers, requireTool, run } from "../../support/gateway-command.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import { startHttpProxyFor } from "../../support/http-proxy-process.ts";
import { RawHttp } from "../../support/raw-http.ts";

setDefaultTimeout(60_000);

const closers = new Closers();
let cluster: EtcdCluster;

beforeAll(async () => {
  const options = { flags: ["--enable-v2=true"] };
  cluster = closers.add(await EtcdCluster.start(3, undefined, options));
});
afterAll(() => closers.close());

describe.each(["ours", "etcd"] as const)("HTTP proxy (%s)", (kind) => {
  let proxy: GatewayProcess;
  beforeAll(async () => {
    proxy = closers.add(await startHttpProxyFor(kind, cluster));
  });

  const v2 = async (path: string, method = "GET", body?: string) => {
    const response = await fetch(`http://${proxy.address}/v2/keys/${kind}${path}`, {
      method,
      ...(body !== undefined && {
        body,
        headers: { "Content-Type": "application/x-www-form-urlencoded" },
      }),
      keepalive: false,
    });
    return { status: response.status, body: (await response.json()) as any };
  };

  test("v2: set, get, compare and swap, delete and 404 are as at a member", async () => {
    expect((await v2("/a", "PUT", "value=1")).status).toBe(201);
    expect((await v2("/a?quorum=true")).body.node.value).toBe("1");
    expect((await v2("/a?prevValue=2", "PUT", "value=3")).status).toBe(412);
    expect((await v2("/a?prevValue=1", "PUT", "value=3")).status).toBe(200);
    expect((await v2("/a?quorum=true")).body.node.value).toBe("3");
    expect((await v2("/a", "DELETE")).body.action).toBe("delete");
    const missing = await v2("/a?quorum=true");
    expect([missing.status, missing.body.errorCode]).toEqual([404, 100]);
  });

  test("JSON gateway: put, range and txn are as at a member", async () => {
    const key = encode(`${kind}/k`);
    const put = await postJson(proxy.port, "/v3/kv/put", { body: { key, value: encode("v") } });
    expect(put.status).toBe(200);
    const { body } = await postJson(proxy.port, "/v3/kv/range", { body: { key } });
    expect(body.kvs[0].value).toBe(encode("v"));
    const success = [{ requestRange: { key } }];
    const txn = await postJson(proxy.port, "/v3/kv/txn", { body: { success } });
    expect(txn.body.responses[0].response_range.kvs[0].value).toBe(encode("v"));
  });

  test("etcdctl of v2 sets and gets", async () => {
    const etcdctl = (...args: string[]) =>
      run([requireTool("etcdctl"), "--no-sync", `--endpoints=http://${proxy.address}`, ...args], {
        env: { ETCDCTL_API: "2" },
      });
    expect((await etcdctl("set", `${kind}-ctl`, "x")).stdout).toBe("x\n");
    expect((await etcdctl("get", "--quorum", `${kind}-ctl`)).stdout).toBe("x\n");
  });

  test("a watch of v2 gets its head before the event only from ours", async () => {
    const client = await RawHttp.connect(proxy.address);
    client.request(`GET /v2/keys/${kind}/w?wait=true`);
    if (kind === "ours") await client.got("X-Etcd-Index");
    else await Bun.sleep(300);
    expect(client.received !== "").toBe(kind === "ours");
    await v2("/w", "PUT", "value=1");
    await client.got('"value":"1"');
    client.close();
  });

  test("a stream of v2 passes each event at once only in ours", async () => {
    const client = await RawHttp.connect(proxy.address);
    client.request(`GET /v2/keys/${kind}/s?wait=true&stream=true&recursive=true`);
    await Bun.sleep(300);
    for (const value of ["first", "second"]) {
      await v2("/s", "PUT", `value=${value}`);
      if (kind === "ours") await client.got(`"value":"${value}"`);
    }
    if (kind === "etcd") await Bun.sleep(300);
    expect(client.received.includes("second")).toBe(kind === "ours");
    client.close();
  });

  test.if(kind === "ours")("a JSON watch passes two events apart, each whole", async () => {
    const client = await RawHttp.connect(proxy.address);
    const key = encode("watched");
    client.request("POST /v3/watch", { body: JSON.stringify({ create_request: { key } }) });
    await client.got('"created":true');
    for (const text of ["one", "two"]) {
      const value = encode(text);
      await postJson(proxy.port, "/v3/kv/put", { body: { key, value } });
      await client.got(`"value":"${value}"}`);
    }
    client.close();
  });

  test("an answer has one CORS header only in ours", async () => {
    const client = await RawHttp.exchange(
      proxy.address,
      `GET /v2/keys/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`,
    );
    const found = client.received.match(/^access-control-allow-origin:/gim) ?? [];
    expect(found.length).toBe(kind === "ours" ? 1 : 2);
  });

  test("clients are spread over the members only by ours", async () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 90; i++) {
      const { body } = await postJson(proxy.port, "/v3/maintenance/status");
      const member = body.header.member_id as string;
      counts.set(member, (counts.get(member) ?? 0) + 1);
    }
    const least = counts.size < 3 ? 0 : Math.min(...counts.values());
    if (kind === "ours") expect(least).toBeGreaterThanOrEqual(25);
    else expect(least).toBe(0);
  });

  test("a client reads what it wrote before on its connection", async () => {
    for (let i = 0; i < 20; i++) {
      const client = await RawHttp.connect(proxy.address);
      const path = `/v2/keys/${kind}/own${i}`;
      client.request(`PUT ${path}?value=${i}`, { headers: ["Content-Length: 0"] });
      await client.got('"action":"set"');
      client.received = "";
      client.request(`GET ${path}`);
      await client.got('"action":"get"');
      expect(client.received).toContain(`"value":"${i}"`);
      client.close();
    }
  });
});
