// What the HTTP proxy does when a member or a client breaks off: nothing is sent twice that
// may not be, and no answer looks complete that is not.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { freePort } from "../../support/free-port.ts";
import { Closers } from "../../support/gateway-command.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import { startHttpProxy } from "../../support/http-proxy-process.ts";
import { until } from "../../support/peer.ts";
import { RawHttp } from "../../support/raw-http.ts";
import { ScriptedMember, type ScriptedRequest } from "../../support/scripted-member.ts";

setDefaultTimeout(30_000);

const closers = new Closers();
const admin = `127.0.0.1:${freePort()}`;
let members: readonly [ScriptedMember, ScriptedMember];
let proxy: GatewayProcess;

beforeAll(async () => {
  members = [closers.add(await ScriptedMember.start()), closers.add(await ScriptedMember.start())];
  const endpoints = members.map(({ address }) => address).join(",");
  proxy = closers.add(
    await startHttpProxy([`--endpoints=${endpoints}`, `--metrics-addr=${admin}`]),
  );
});
afterAll(() => closers.close());

const requestsOf = (line: string) => members.flatMap((member) => member.requestsOf(line));

/** Sends a request on a new connection, and resolves with its client when a head has come, or it has closed. */
async function send(head: string, options?: Parameters<RawHttp["request"]>[1]): Promise<RawHttp> {
  const client = closers.add(await RawHttp.connect(proxy.address));
  client.request(head, options);
  await until(
    () => client.received.includes("\r\n\r\n") || client.outcome !== undefined,
    `${head} was answered`,
  );
  return client;
}

describe("a member that breaks off", () => {
  test.each(["POST", "PUT", "DELETE"])("%s is sent once, and answered with 502", async (method) => {
    const client = await send(`${method} /close?${method}`, { body: "x" });
    expect(client.status).toBe(502);
    expect(client.received).toContain("application/json");
    await client.got("may have been applied");
    expect(requestsOf(`${method} /close?${method}`)).toHaveLength(1);
  });

  test("GET is sent again, to the other member first", async () => {
    const client = await send("GET /close?get");
    expect(client.status).toBe(502);
    expect(requestsOf("GET /close?get")).toHaveLength(4);
    for (const member of members)
      expect(member.requestsOf("GET /close?get").length).toBeGreaterThanOrEqual(1);
  });

  test("a JSON read is sent again with its body, a JSON write is not", async () => {
    const body = '{"key":"YQ=="}';
    const read = await send("POST /v3/kv/range?as=/close", { body });
    expect(read.status).toBe(502);
    const reads = requestsOf("POST /v3/kv/range");
    expect(reads).toHaveLength(4);
    for (const { head } of reads) expect(head).toContain(`Content-Length: ${body.length}`);
    const write = await send("POST /v3/kv/put?as=/close", { body });
    expect(write.status).toBe(502);
    expect(requestsOf("POST /v3/kv/put")).toHaveLength(1);
  });

  test.each(["/cut-length", "/cut-chunk"])("%s never looks complete", async (path) => {
    const client = await send(`GET ${path}`);
    await client.closed();
    expect(client.body).toContain("short");
    expect(client.received).not.toContain("\r\n0\r\n\r\n");
  });

  test("an answer without a length ends with the connection", async () => {
    const client = await send("GET /until-close", { headers: ["Connection: close"] });
    await client.closed();
    expect(client.body).toContain("until the end");
  });

  test.each(["/garbage", "/switch"])("%s is a 502, and marks no member", async (path) => {
    const client = await send(`POST ${path}`, { body: "x" });
    expect(client.status).toBe(502);
    expect(proxy.lines("deactivated endpoint")).toEqual([]);
  });

  test("1xx answers are left out", async () => {
    const client = await send("GET /continue");
    await client.got("late");
    expect(client.status).toBe(200);
  });

  test("the head of an answer passes before its body", async () => {
    const client = await send("GET /head-only?x");
    expect(client.received).toContain("X-Early: yes");
    client.close();
  });
});

describe("a client that leaves", () => {
  const isEnded = (requests: ScriptedRequest[]) =>
    requests.length > 0 && requests.every(({ isClosed }) => isClosed);

  test.each([
    ["FIN before the head", "GET /hang?wait=true&fin", "halfClose"],
    ["RST before the head", "GET /hang?wait=true&rst", "reset"],
    ["FIN in the middle", "GET /head-only?wait=true&fin", "halfClose"],
    ["RST in the middle", "GET /head-only?wait=true&rst", "reset"],
  ] as const)("by %s ends its request at the member", async (_, head, leave) => {
    const client = await RawHttp.connect(proxy.address);
    client.request(head);
    await until(() => requestsOf(head).length === 1, "the member got the request");
    client[leave]();
    await until(() => isEnded(requestsOf(head)), "the member's connection closed", 2000);
    if (leave === "halfClose") {
      await client.closed();
      expect(client.received.includes("HTTP/1.1 200") && head.includes("hang")).toBe(false);
    }
    client.close();
  });

  test("by RST in the middle of an upload ends it at the member", async () => {
    const client = await RawHttp.connect(proxy.address);
    client.request("PUT /hang?upload", { headers: ["Content-Length: 1000"] });
    client.send("part");
    await until(() => requestsOf("PUT /hang?upload")[0]?.bodyBytes === 4, "a part arrived");
    client.reset();
    await until(() => isEnded(requestsOf("PUT /hang?upload")), "the member's connection closed");
  });

  test("in front of pipelined requests ends them all", async () => {
    const client = await RawHttp.connect(proxy.address);
    const queued = (n: number) => `GET /echo?queued${n} HTTP/1.1\r\nHost: h\r\n\r\n`;
    client.send(`GET /hang?wait=true&first HTTP/1.1\r\nHost: h\r\n\r\n${queued(1)}${queued(2)}`);
    await until(() => requestsOf("GET /hang?wait=true&first").length === 1, "it was forwarded");
    client.reset();
    await until(() => isEnded(requestsOf("GET /hang?wait=true&first")), "it ended");
    expect(requestsOf("GET /echo?queued")).toEqual([]);
    const status = (await (await fetch(`http://${admin}/status`)).json()) as any;
    expect(status.gateway.requests).toBe(0);
  });

  test("1000 abandoned watches leave no descriptor", async () => {
    const before = proxy.descriptors;
    for (let batch = 0; batch < 10; batch++) {
      const clients = await Promise.all(
        Array.from({ length: 100 }, () => RawHttp.connect(proxy.address)),
      );
      for (const client of clients) client.request("GET /hang?wait=true&abandoned");
      const expected = (batch + 1) * 100;
      await until(
        () => requestsOf("GET /hang?wait=true&abandoned").length === expected,
        "the members got all requests",
      );
      for (const client of clients) client.reset();
    }
    await until(() => proxy.descriptors <= before + 2, "the descriptors were closed");
  });
});

describe("headers", () => {
  test("hop-by-hop headers and those that Connection names stay out, Host passes", async () => {
    const client = await send("GET /echo", {
      headers: [
        ...["Connection: keep-alive, X-Mine", "X-Mine: 1", "Keep-Alive: 5", "Proxy-Connection: x"],
        ...["TE: trailers", "Upgrade: h2c", "X-Forwarded-For: 1.2.3.4", "X-Kept: yes"],
        ...["Authorization: token", "Accept-Encoding: br"],
      ],
    });
    await client.got("X-Kept: yes");
    const head = client.body;
    expect(head).toContain("Host: h\r\n");
    expect(head).toContain("X-Forwarded-For: 1.2.3.4, 127.0.0.1");
    expect(head).toContain("Authorization: token");
    expect(head).toContain("Accept-Encoding: br");
    expect(head).not.toMatch(/^(x-mine|keep-alive|proxy-connection|te|upgrade):/im);
  });

  test("equal headers of an answer stay apart, hop-by-hop ones stay out", async () => {
    const client = await send("GET /two-cookies");
    expect(client.received).toContain("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n");
    expect(client.received).not.toContain("Keep-Alive: x");
    expect(client.received).not.toMatch(/^date:/im);
  });
});
