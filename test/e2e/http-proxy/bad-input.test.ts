// Input that is not a request, or is one that two servers could read differently: a clean
// 4xx or a closed connection, nothing at a member, and other clients notice nothing.
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Closers } from "../../support/gateway-command.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import { startHttpProxy } from "../../support/http-proxy-process.ts";
import { until } from "../../support/peer.ts";
import { RawHttp } from "../../support/raw-http.ts";
import { ScriptedMember } from "../../support/scripted-member.ts";

setDefaultTimeout(60_000);

const closers = new Closers();
let member: ScriptedMember;
let proxy: GatewayProcess;

beforeAll(async () => {
  member = closers.add(await ScriptedMember.start());
  proxy = closers.add(await startHttpProxy([`--endpoints=${member.address}`]));
});
afterAll(() => closers.close());

afterEach(async () => {
  const client = await RawHttp.connect(proxy.address);
  client.request("GET /echo");
  await client.got("GET /echo HTTP/1.1");
  client.close();
});

const POST = "POST /bad HTTP/1.1\r\nHost: h\r\n";
const GET = "GET /bad HTTP/1.1\r\n";

test.each([
  [
    "Content-Length and Transfer-Encoding",
    `${POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ["two Content-Lengths", `${POST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`, 400],
  ["a signed Content-Length", `${POST}Content-Length: +3\r\n\r\nabc`, 400],
  ["an unknown Transfer-Encoding", `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 400],
  ["chunked that is not last", `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, 400],
  ["a folded header", `${GET}Host: h\r\nX: a\r\n b\r\n\r\n`, 400],
  ["a blank before the colon", `${GET}Host : h\r\n\r\n`, 400],
  ["bare line feeds", "GET /bad HTTP/1.1\nHost: h\n\n", 400],
  ["a NUL in a header", `${GET}Host: h\r\nX: a\0b\r\n\r\n`, 400],
  ["HTTP/0.9", "GET /bad\r\n\r\n", 400],
  ["HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
  ["an unknown method", "FOO /bad HTTP/1.1\r\nHost: h\r\n\r\n", 400],
  ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00", 400],
  ["a head of 1 MiB", `${GET}Host: h\r\nX: ${"x".repeat(1 << 20)}\r\n\r\n`, 431],
])("%s is refused with a 4xx, and the connection closes", async (_, text, status) => {
  const client = await RawHttp.exchange(proxy.address, text);
  expect(client.status).toBe(status);
  expect(member.requests.filter(({ head }) => head.includes("/bad"))).toEqual([]);
});

test.each([
  ["without a Host", GET],
  ["with two Hosts", `${GET}Host: a\r\nHost: b\r\n`],
  ["for a URL of another scheme", "GET ftp://h/bad HTTP/1.1\r\nHost: h\r\n"],
  ["with a fragment", "GET /bad#x HTTP/1.1\r\nHost: h\r\n"],
])("a request %s gets 400", async (_, head) => {
  const client = await RawHttp.exchange(proxy.address, `${head}Connection: close\r\n\r\n`);
  expect(client.status).toBe(400);
  expect(member.requests.filter(({ head: got }) => got.includes("/bad"))).toEqual([]);
});

test("a target in absolute form goes on as a path", async () => {
  const text = "GET http://other:1/echo?a=b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  const client = await RawHttp.exchange(proxy.address, text);
  expect(client.body).toStartWith("GET /echo?a=b HTTP/1.1\r\nHost: h");
});

test("a path passes as it was written", async () => {
  const client = await RawHttp.connect(proxy.address);
  client.request("GET /echo/a%2fb/../c//d?x=%20y");
  await client.got("GET /echo/a%2fb/../c//d?x=%20y HTTP/1.1");
  client.close();
});

test("HTTP/1.0 is answered, and the connection closes", async () => {
  const client = await RawHttp.exchange(proxy.address, "GET /echo HTTP/1.0\r\n\r\n");
  expect(client.status).toBe(200);
});

test("pipelined requests reach the member one after the other, in order", async () => {
  const client = await RawHttp.connect(proxy.address);
  const one = (n: number) => `GET /echo?pipe${n} HTTP/1.1\r\nHost: h\r\n\r\n`;
  client.send([1, 2, 3, 4, 5].map(one).join(""));
  await client.got("pipe5");
  const order = [...client.received.matchAll(/pipe(\d)/g)].map(([, n]) => Number(n));
  expect(order).toEqual([1, 2, 3, 4, 5]);
  expect(client.received.match(/HTTP\/1\.1 200/g)).toHaveLength(5);
  client.close();
});

test("an upgrade is not passed on, and its request is answered", async () => {
  const client = await RawHttp.connect(proxy.address);
  client.request("GET /echo?up", { headers: ["Connection: Upgrade", "Upgrade: websocket"] });
  await client.got("GET /echo?up");
  expect(client.status).toBe(200);
  expect(client.body).not.toContain("websocket");
  client.close();
});

test("CONNECT is not served", async () => {
  const text = "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n";
  const client = await RawHttp.exchange(proxy.address, text);
  expect(client.received).toBe("");
});

test("Expect is answered by the proxy, and the body goes on", async () => {
  const client = await RawHttp.connect(proxy.address);
  client.request("PUT /echo?expect", { headers: ["Expect: 100-continue", "Content-Length: 4"] });
  await client.got("100 Continue");
  client.send("body");
  await client.got("PUT /echo?expect");
  expect(client.received).not.toContain("Expect:");
  client.close();
});

test("a broken chunk ends the request at the member, without a second answer", async () => {
  const client = await RawHttp.connect(proxy.address);
  client.request("PUT /hang?chunk", { headers: ["Transfer-Encoding: chunked"] });
  client.send("4\r\nbody\r\n");
  await until(() => member.requestsOf("PUT /hang?chunk").length === 1, "the member got it");
  client.send("zz\r\n");
  await client.closed();
  const [request] = member.requestsOf("PUT /hang?chunk");
  await until(() => request!.isClosed, "the member's connection closed");
});

test("a body over the limit gets 413 before the member gets it", async () => {
  const client = await RawHttp.connect(proxy.address);
  client.request("PUT /echo?long", { headers: ["Content-Length: 3000000"] });
  await client.got("413");
  expect(member.requestsOf("PUT /echo?long")).toEqual([]);
  await client.closed();
});

test("a chunked body over the limit gets 413, and its request ends", async () => {
  const client = await RawHttp.connect(proxy.address);
  client.request("PUT /hang?chunked", { headers: ["Transfer-Encoding: chunked"] });
  const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
  for (let i = 0; i < 40; i++) client.send(chunk);
  await client.got("413");
  const [request] = member.requestsOf("PUT /hang?chunked");
  await until(() => request!.isClosed, "the member's connection closed");
});

test("a head that does not end is reset after ten seconds", async () => {
  const client = await RawHttp.connect(proxy.address);
  client.send("GET /echo HTTP/1.1\r\nHost: h\r\nX: ");
  const drip = setInterval(() => client.send("x"), 500);
  try {
    await client.closed(15_000);
  } finally {
    clearInterval(drip);
  }
  expect(client.received).toBe("");
});

test("2000 abusive connections leave no descriptor, and others are served", async () => {
  const before = proxy.descriptors;
  const abuses = [
    "GET /bad\r\n\r\n",
    "\0\0\0\0",
    `${POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n`,
    "GET /echo HTTP/1.1\r\nHost: h\r\nX-Part",
    `${"x".repeat(100_000)}`,
  ];
  for (let batch = 0; batch < 20; batch++) {
    const clients = await Promise.all(
      Array.from({ length: 100 }, () => RawHttp.connect(proxy.address)),
    );
    clients.forEach((client, i) => client.send(abuses[i % abuses.length]!));
    const good = await RawHttp.connect(proxy.address);
    good.request("GET /echo?good");
    await good.got("GET /echo?good");
    for (const client of [...clients, good]) client.reset();
  }
  await until(() => proxy.descriptors <= before + 2, "the descriptors were closed");
});
