// HTTP where the gRPC clients connect, and on --metrics-addr: health and metrics, by the paths
// of etcd's proxy, over HTTP/1.1 and HTTP/2.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import http2 from "node:http2";
import { EtcdClient } from "../../support/etcd-client.ts";
import { Auth } from "../../support/etcd-rpcs.ts";
import { eventually } from "../../support/gateway-command.ts";
import { freePort } from "../../support/free-port.ts";
import { GrpcProxyScene, subjects } from "../../support/grpc-proxy-scene.ts";

const [[, subject]] = subjects as [(typeof subjects)[0]];

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  await eventually(async () => ((await condition()) ? true : undefined), what);
}

describe.if(subject.kind === "ours")("HTTP of the gRPC proxy", () => {
  const scene = new GrpcProxyScene(subject);
  const admin = `127.0.0.1:${freePort()}`;

  beforeAll(() => scene.start(3, [`--metrics-addr=http://${admin}`]));
  afterAll(() => scene.close());

  const get = async (address: string, path: string, method = "GET") => {
    const response = await fetch(`http://${address}${path}`, { method, keepalive: false });
    return {
      status: response.status,
      type: response.headers.get("content-type"),
      body: await response.text(),
    };
  };

  /** The same over HTTP/2 without TLS. */
  async function getByHttp2(path: string): Promise<{ status: number; body: string }> {
    const session = http2.connect(`http://${scene.proxy.address}`);
    const stream = session.request({ ":path": path });
    let status = 0;
    stream.on("response", (headers) => (status = Number(headers[":status"])));
    let body = "";
    for await (const chunk of stream) body += chunk;
    session.close();
    return { status, body };
  }

  describe.each([
    ["--listen-addr", () => scene.proxy.address],
    ["--metrics-addr", () => admin],
  ])("on %s", (_, addressOf) => {
    test.each(["/health", "/proxy/health"])("%s answers as etcd's does", async (path) => {
      expect(await get(addressOf(), path)).toEqual({
        status: 200,
        type: "application/json",
        body: '{"health":"true","reason":""}',
      });
    });

    test("/metrics is that of a member, /proxy/metrics the proxy's own", async () => {
      const member = await get(addressOf(), "/metrics");
      expect(member.status).toBe(200);
      expect(member.body).toContain("etcd_server_has_leader 1");
      const own = await get(addressOf(), "/proxy/metrics");
      expect(own.body).toContain("etcd_gateway_endpoint_up{");
      expect(own.body).not.toContain("etcd_server_has_leader");
    });
  });

  test("/proxy/metrics counts calls by method, type and code", async () => {
    const client = await scene.through();
    await client.call(Auth.UserList).catch(() => {});
    const { body } = await get(scene.proxy.address, "/proxy/metrics");
    const labels = 'grpc_type="unary",grpc_service="etcdserverpb.Auth",grpc_method="UserList"';
    expect(body).toContain(`grpc_server_started_total{${labels}} 1`);
    expect(body).toContain(`grpc_server_handled_total{${labels},grpc_code="OK"} 1`);
    expect(body).toContain(`grpc_server_msg_received_total{${labels}} 1`);
  });

  test("HTTP/2 requests that are not gRPC get the same answers", async () => {
    expect(await getByHttp2("/health")).toEqual({
      status: 200,
      body: '{"health":"true","reason":""}',
    });
    expect((await getByHttp2("/nothing")).status).toBe(404);
  });

  test("other paths are not found, and other methods are not allowed", async () => {
    expect(await get(scene.proxy.address, "/version")).toMatchObject({ status: 404 });
    expect(await get(scene.proxy.address, "/health", "POST")).toMatchObject({ status: 405 });
    expect(await get(scene.proxy.address, "/health", "HEAD")).toMatchObject({
      status: 200,
      body: "",
    });
  });

  test("what is neither HTTP/1 nor HTTP/2 is closed without an answer", async () => {
    const [hostname, port] = scene.proxy.address.split(":") as [string, string];
    const { promise, resolve } = Promise.withResolvers<void>();
    let answer = "";
    const socket = await Bun.connect({
      ...{ hostname, port: Number(port) },
      socket: {
        data: (_, chunk) => {
          answer += chunk;
        },
        end: () => resolve(),
        close: () => resolve(),
      },
    });
    socket.write("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    await promise;
    socket.terminate();
    expect(answer).toBe("");
  });

  test("/metrics and /health go to the members that are left", async () => {
    const { follower } = await scene.cluster.roles();
    await follower.kill();
    for (let i = 0; i < 6; i++) {
      expect((await get(scene.proxy.address, "/metrics")).status).toBe(200);
      expect((await get(scene.proxy.address, "/health")).status).toBe(200);
    }
    follower.start();
    await until(() => follower.isHealthy(), "the member is back");
  });

  test("/health is true when etcd refuses the proxy for lack of a user", async () => {
    const client = await EtcdClient.connect(scene.proxy.address);
    await client.call(Auth.UserAdd, { name: "root", password: "root" });
    await client.call(Auth.RoleAdd, { name: "root" });
    await client.call(Auth.UserGrantRole, { user: "root", role: "root" });
    await client.call(Auth.Enable);
    client.close();
    expect(await get(scene.proxy.address, "/health")).toMatchObject({ status: 200 });
  });

  test("/health is false without a leader, and says why", async () => {
    for (const member of scene.cluster.members.slice(1)) await member.kill();
    const { status, body } = await get(scene.proxy.address, "/health");
    expect(status).toBe(503);
    expect(JSON.parse(body)).toEqual({
      health: "false",
      reason: expect.stringMatching(/^GET ERROR:/),
    });
  });
});
