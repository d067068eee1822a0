// The life of an HTTP proxy: members that freeze, die, come back and are replaced; slow
// peers and memory; drain, reload, loops, status, metrics and the access log.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, writeFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Blackhole } from "../../support/blackhole.ts";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { encode, postJson } from "../../support/etcd-json.ts";
import { Closers, eventually } from "../../support/gateway-command.ts";
import { freePort } from "../../support/free-port.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import { startHttpProxy } from "../../support/http-proxy-process.ts";
import { until } from "../../support/peer.ts";
import { RawHttp } from "../../support/raw-http.ts";
import { ScriptedMember } from "../../support/scripted-member.ts";

setDefaultTimeout(90_000);

const closers = new Closers();
afterEach(() => closers.close());

const RANGE = { body: { key: encode("k") } };
const range = ({ port }: GatewayProcess) => postJson(port, "/v3/kv/range", RANGE);

async function clusterOf(size: number, flags: readonly string[] = []) {
  const cluster = closers.add(await EtcdCluster.start(size));
  const proxy = closers.add(await startHttpProxy([`--endpoints=${cluster.endpoints}`, ...flags]));
  return { cluster, proxy };
}

async function scripted(flags: readonly string[] = []) {
  const member = closers.add(await ScriptedMember.start());
  const proxy = closers.add(await startHttpProxy([`--endpoints=${member.address}`, ...flags]));
  return { member, proxy };
}

describe("members", () => {
  test("a frozen one fails no read, and is marked down", async () => {
    const { cluster, proxy } = await clusterOf(3);
    const { follower } = await cluster.roles();
    follower.signal("SIGSTOP");
    try {
      for (let i = 0; i < 12; i++) {
        const { status } = await postJson(proxy.port, "/v3/kv/range", {
          body: { ...RANGE.body, serializable: true },
        });
        expect(status).toBe(200);
      }
      await proxy.logged("deactivated endpoint", (line) => line["address"] === follower.address);
    } finally {
      follower.signal("SIGCONT");
    }
  });

  test("all dead: requests are held, and answered when the members are back", async () => {
    const { cluster, proxy } = await clusterOf(1);
    const [member] = cluster.members;
    await member!.kill();
    const held = range(proxy);
    member!.start();
    expect((await held).status).toBe(200);
  });

  test("none comes back: 503 in etcd's words", async () => {
    const proxy = closers.add(await startHttpProxy([`--endpoints=127.0.0.1:${freePort()}`]));
    const response = await fetch(`http://${proxy.address}/v2/keys/`);
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(await response.json()).toEqual({
      message: "httpproxy: zero endpoints currently available",
    });
  });

  test("one that drops SYNs costs a client the attempt delay, not the dial timeout", async () => {
    const hole = closers.add(new Blackhole());
    const member = closers.add(await ScriptedMember.start());
    const endpoints = `127.0.0.1:${hole.port},${member.address}`;
    const proxy = closers.add(
      await startHttpProxy([`--endpoints=${endpoints}`, "--dial-timeout=1m"]),
    );
    for (let i = 0; i < 4; i++) {
      const client = await RawHttp.connect(proxy.address);
      client.request(`PUT /echo?${i}`, { body: "x" });
      await client.got(`/echo?${i}`);
      client.close();
    }
  });

  test("replaced one by one, no request fails", async () => {
    const { cluster, proxy } = await clusterOf(3, ["--endpoints-auto-sync-interval=200ms"]);
    const failures: unknown[] = [];
    let isOver = false;
    const load = (async () => {
      while (!isOver) {
        const { status, body } = await range(proxy);
        // A read that waits for a leader that is removed gets this from any member.
        if (status !== 200 && body.error !== "etcdserver: leader changed") failures.push(body);
        await Bun.sleep(5);
      }
    })();
    for (const old of [...cluster.members]) {
      // After its leader was removed, a cluster takes no member for a while.
      await cluster.roles();
      const added = await cluster.add();
      await proxy.logged("endpoints changed", (line) =>
        JSON.stringify(line).includes(added.address),
      );
      await cluster.remove(old);
    }
    isOver = true;
    await load;
    expect(failures).toEqual([]);
  });
});

describe("memory", () => {
  test("a 64 MiB answer to a client that does not read is not held", async () => {
    const size = 64 * 1024 * 1024;
    const server = closers.add(
      net.createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
          socket.end(Buffer.alloc(size));
        });
      }),
    );
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as net.AddressInfo;
    const proxy = closers.add(await startHttpProxy([`--endpoints=127.0.0.1:${port}`]));
    const before = proxy.residentKib;
    const client = closers.add(await RawHttp.connect(proxy.address));
    client.pause();
    client.request("GET /big");
    await Bun.sleep(1500);
    expect(proxy.residentKib - before).toBeLessThan(32 * 1024);
    client.resume();
    await until(() => client.received.length > size, "the answer arrived", 30_000);
  });

  test("a 64 MiB upload to a member that does not read is not held", async () => {
    const { member, proxy } = await scripted(["--max-request-bytes=0"]);
    const size = 64 * 1024 * 1024;
    const before = proxy.residentKib;
    const client = closers.add(await RawHttp.connect(proxy.address));
    client.request("PUT /slow-upload", { headers: [`Content-Length: ${size}`] });
    client.send(Buffer.alloc(size));
    await until(() => member.requests.length === 1, "the member got the head");
    await Bun.sleep(1500);
    expect(proxy.residentKib - before).toBeLessThan(32 * 1024);
    const [request] = member.requests;
    request!.socket.resume();
    await until(() => request!.bodyBytes === size, "the member got the body", 30_000);
  });
});

describe("SIGTERM", () => {
  test("lets requests finish, closes idle connections, and cuts watches at the deadline", async () => {
    const { member, proxy } = await scripted(["--drain-timeout=1s"]);
    const idle = closers.add(await RawHttp.connect(proxy.address));
    idle.request("GET /echo?idle");
    await idle.got("/echo?idle");
    const slow = closers.add(await RawHttp.connect(proxy.address));
    slow.request("GET /hang?wait=true&slow");
    const watch = closers.add(await RawHttp.connect(proxy.address));
    watch.request("GET /head-only?wait=true");
    await watch.got("X-Early");
    await until(() => member.requestsOf("GET /hang").length === 1, "the member got the request");

    proxy.signal("SIGTERM");
    await idle.closed();
    member
      .requestsOf("GET /hang")[0]!
      .socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await slow.closed();
    expect(slow.received).toContain("Connection: close");
    expect(slow.body).toBe("ok");
    expect(await watch.closed()).toBe("ECONNRESET");
    expect(await proxy.exited()).toBe(0);
  });

  test("ends at once when nothing is in progress", async () => {
    const { proxy } = await scripted(["--drain-timeout=1m"]);
    proxy.signal("SIGTERM");
    expect(await proxy.exited(5000)).toBe(0);
  });
});

test("SIGHUP applies other endpoints, and requests in progress go on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "etcd-gateway-http-"));
  closers.defer(() => rmSync(folder, { recursive: true }));
  const [first, second] = [
    closers.add(await ScriptedMember.start()),
    closers.add(await ScriptedMember.start()),
  ];
  const file = join(folder, "config.yaml");
  writeFileSync(file, `endpoints: ${first.address}\n`);
  const proxy = closers.add(await startHttpProxy([`--config-file=${file}`]));
  const watch = closers.add(await RawHttp.connect(proxy.address));
  watch.request("GET /head-only?wait=true");
  await watch.got("X-Early");

  writeFileSync(file, `endpoints: ${second.address}\n`);
  proxy.signal("SIGHUP");
  await proxy.logged("reloaded");
  const client = closers.add(await RawHttp.connect(proxy.address));
  client.request("GET /echo?after");
  await client.got("/echo?after");
  expect(second.requestsOf("GET /echo?after")).toHaveLength(1);
  first.requestsOf("GET /head-only")[0]!.socket.write("2\r\nok\r\n");
  await watch.got("ok");
});

test("a loop through a second proxy ends with 508", async () => {
  const [a, b] = [freePort(), freePort()];
  const start = (own: number, other: number) =>
    startHttpProxy([`--endpoints=127.0.0.1:${other}`, `--listen-addr=127.0.0.1:${own}`]);
  const first = closers.add(await start(a, b));
  closers.add(await start(b, a));
  const response = await fetch(`http://${first.address}/v2/keys/`);
  expect(response.status).toBe(508);
  expect(first.descriptors).toBeLessThan(60);
});

describe("operation", () => {
  test("/v2/config/local/proxy names the endpoints that are up", async () => {
    const { member, proxy } = await scripted();
    const url = `http://${proxy.address}/v2/config/local/proxy`;
    const response = await fetch(url);
    expect(await response.text()).toBe(`{"endpoints":["http://${member.address}"]}\n`);
    const refused = await fetch(url, { method: "PUT" });
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET"]);
  });

  test("/metrics counts requests by method and code, unknown methods as one", async () => {
    const { proxy } = await scripted();
    for (const method of ["GET", "PUT", "PROPFIND", "LOCK"]) {
      const client = await RawHttp.connect(proxy.address);
      client.request(`${method} /echo`, { headers: ["Connection: close"] });
      await client.closed();
    }
    const text = await (await fetch(`http://${proxy.address}/metrics`)).text();
    expect(text).toContain('etcd_proxy_requests_total{method="GET"} 2');
    expect(text).toContain('etcd_proxy_handled_total{method="PUT",code="200"} 1');
    expect(text).toContain('etcd_proxy_requests_total{method="other"} 2');
    expect(text).not.toContain("PROPFIND");
  });

  test("the admin server serves readiness, status and all metrics", async () => {
    const admin = `127.0.0.1:${freePort()}`;
    const { member, proxy } = await scripted([`--metrics-addr=${admin}`]);
    await fetch(`http://${proxy.address}/echo`);
    expect((await fetch(`http://${admin}/readyz`)).status).toBe(200);
    const status = (await (await fetch(`http://${admin}/status`)).json()) as any;
    expect(status.gateway.mode).toBe("on");
    expect(status.gateway.methods[0]).toMatchObject({ method: "GET", handled: { 200: 1 } });
    const text = await (await fetch(`http://${admin}/metrics`)).text();
    expect(text).toContain(`etcd_gateway_endpoint_up{endpoint="${member.address}"`);
    expect(text).toContain("etcd_proxy_handling_duration_seconds_count");
  });

  test("--access-log has a line for each request, without its query", async () => {
    const { member, proxy } = await scripted(["--access-log"]);
    const client = await RawHttp.connect(proxy.address);
    client.request("PUT /echo?value=secret", { body: "hidden" });
    await client.got("PUT /echo");
    client.close();
    const line = await proxy.logged("request");
    expect(line).toMatchObject({
      client: "127.0.0.1",
      ...{ method: "PUT", path: "/echo", status: 200, endpoint: member.address },
      ...{ "bytes-to-server": 6, end: "complete" },
    });
    expect(proxy.stderr).not.toMatch(/secret|hidden/);
  });

  test("cut answers and clients that leave are named in the access log", async () => {
    const { proxy } = await scripted(["--access-log"]);
    const cut = await RawHttp.connect(proxy.address);
    cut.request("GET /cut-length");
    await cut.closed();
    await proxy.logged("request", ({ end }) => end === "member_broke");
    const left = await RawHttp.connect(proxy.address);
    left.request("GET /head-only?wait=true");
    await left.got("X-Early");
    left.reset();
    await proxy.logged("request", ({ end }) => end === "client_left");
  });

  test.each([
    ["localhost", 200],
    ["LOCALHOST:2379", 200],
    ["[::1]:2379", 200],
    ["evil.example", 421],
    ["localhost.evil.example", 421],
    ["evil.example:80:localhost", 421],
  ])("--host-whitelist: a request for %s gets %i", async (host, status) => {
    const { member, proxy } = await scripted(["--host-whitelist=localhost,::1"]);
    const text = `GET /echo HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    const client = await RawHttp.exchange(proxy.address, text);
    expect(client.status).toBe(status);
    expect(member.requests).toHaveLength(status === 200 ? 1 : 0);
  });

  test("https endpoints are refused at start", async () => {
    await expect(startHttpProxy(["--endpoints=https://127.0.0.1:1"])).rejects.toThrow(
      "TLS to etcd",
    );
  });

  test("more clients than --max-connections are reset, and others are served", async () => {
    const { proxy } = await scripted(["--max-connections=2"]);
    const clients = [
      closers.add(await RawHttp.connect(proxy.address)),
      closers.add(await RawHttp.connect(proxy.address)),
    ];
    for (const client of clients) client.request("GET /echo");
    for (const client of clients) await client.got("GET /echo");
    const third = await RawHttp.connect(proxy.address).catch(() => undefined);
    await third?.closed();
    expect(third?.received ?? "").toBe("");
    clients[0]!.reset();
    await eventually(async () => {
      const next = await RawHttp.connect(proxy.address);
      next.request("GET /echo");
      await next.got("GET /echo", 500);
      next.close();
      return true;
    }, "a client was served again");
  });
});
