// Clients of the gRPC proxy's TLS listener that are not gRPC clients, or not TLS clients: HTTP
// over both versions, plaintext, and handshakes that never end.
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";
import { eventually } from "../../support/gateway-command.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import { GrpcProxyTlsScene, put, releases } from "../../support/grpc-proxy-tls-scene.ts";
import { until } from "../../support/peer.ts";
import type { SingleEtcd } from "../../support/single-etcd.ts";
import type { KeyPair } from "../../support/tls-certificates.ts";

setDefaultTimeout(60_000);

/** The first bytes of a ClientHello, and no more. */
const HALF_HELLO = Buffer.from("16030102000100", "hex");

type Answer = readonly [status: number, body: string];

/** A TCP client that notices its end. */
class RawClient {
  isConnected = false;
  isClosed = false;
  received = "";
  readonly #socket: net.Socket;

  constructor(port: number, first: Uint8Array | string = "") {
    this.#socket = net.connect(port, "127.0.0.1", () => {
      this.isConnected = true;
      if (first.length > 0) this.#socket.write(first);
    });
    this.#socket.on("error", () => {});
    this.#socket.on("data", (chunk) => {
      this.received += chunk.toString("latin1");
    });
    this.#socket.on("end", () => this.#socket.destroy());
    this.#socket.on("close", () => {
      this.isClosed = true;
    });
  }

  async connected(): Promise<this> {
    await until(() => this.isConnected || this.isClosed, "the client connected");
    return this;
  }

  async closed(timeoutMs?: number): Promise<this> {
    await until(() => this.isClosed, "the client was closed", timeoutMs);
    return this;
  }

  close(): void {
    this.#socket.destroy();
  }
}

describe.each(releases)("the TLS listener of a gRPC proxy, etcd %s,", (_, release) => {
  const scene = new GrpcProxyTlsScene(release);
  let etcd: SingleEtcd;
  let server: KeyPair;
  beforeAll(async () => {
    await scene.start();
    server = await scene.serverPair();
    etcd = await scene.sharedEtcd({ scheme: "http" });
  });
  afterEach(() => scene.endTest());
  afterAll(() => scene.close());

  const ca = () => readFileSync(scene.authority.cert);
  const endpoint = () => `--endpoints=${etcd.address}`;
  const flags = () => [endpoint(), `--cert-file=${server.cert}`, `--key-file=${server.key}`];
  const call = async ({ address }: GatewayProcess) =>
    (await put(await scene.connect(address, scene.clientTls()))).status;

  async function getHttp1({ address }: GatewayProcess, path: string): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const request = https.get(
      `https://${address}${path}`,
      { ca: ca(), agent: false },
      (response) => {
        let body = "";
        response.on("data", (chunk) => (body += chunk));
        response.on("end", () => resolve([response.statusCode!, body]));
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    return await promise;
  }

  async function getHttp2({ address }: GatewayProcess, path: string): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const session = http2.connect(`https://${address}`, { ca: ca() });
    session.on("error", reject);
    const stream = session.request({ ":path": path });
    let status = 0;
    let body = "";
    stream.on("response", (headers) => (status = headers[":status"]!));
    stream.on("data", (chunk) => (body += chunk));
    stream.on("end", () => resolve([status, body]));
    stream.on("error", reject);
    return await promise.finally(() => session.destroy());
  }

  test("answers HTTP/1.1 and HTTP/2, where etcd's proxy refuses HTTP/2", async () => {
    const proxy = await scene.proxy(flags());
    const healthy: Answer = [200, '{"health":"true","reason":""}'];
    for (const get of [getHttp1, getHttp2]) {
      expect(await get(proxy, "/health")).toEqual(healthy);
      expect(await get(proxy, "/proxy/health")).toEqual(healthy);
      const [status, body] = await get(proxy, "/metrics");
      expect([status, body]).toEqual([
        200,
        expect.stringContaining("\netcd_server_has_leader 1\n"),
      ]);
      expect(await get(proxy, "/none")).toEqual([404, "404 page not found\n"]);
    }
    expect(await call(proxy)).toBe(0);

    const control = await scene.etcdsProxy(flags());
    expect((await getHttp1(control, "/health"))[0]).toBe(200);
    // 3.4 resets the stream.
    const status = await getHttp2(control, "/health").then(
      ([code]) => code,
      () => 415,
    );
    expect(status).toBe(415);
  });

  test("closes plaintext clients, and a plaintext listener closes TLS clients; others go on", async () => {
    const secure = await scene.proxy(flags());
    const open = await scene.connect(secure.address, scene.clientTls());
    for (const first of [
      "GET /health HTTP/1.1\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "x\n\n\n\n\n\n",
    ]) {
      const client = scene.add(new RawClient(secure.port, first));
      expect((await client.closed()).received).not.toContain("200");
    }
    await secure.logged("rejected connection");
    expect((await put(open)).status).toBe(0);

    const plain = await scene.proxy([endpoint()]);
    const through = await scene.connect(plain.address);
    const socket = tls.connect({ port: plain.port, host: "127.0.0.1", ca: ca() });
    let isClosed = false;
    socket.on("error", () => {});
    socket.on("close", () => (isClosed = true));
    await until(() => isClosed, "the TLS client was closed");
    expect((await put(through)).status).toBe(0);
    expect([secure.status, plain.status]).toEqual([undefined, undefined]);
  });

  test("counts unfinished handshakes against --max-connections, and ends them after 10 s", async () => {
    const proxy = await scene.proxy([...flags(), "--max-connections=2"]);
    const idle = await scene.add(new RawClient(proxy.port)).connected();
    const half = await scene.add(new RawClient(proxy.port, HALF_HELLO)).connected();
    const isRefused = await call(proxy).then(
      (status) => status !== 0,
      () => true,
    );
    expect(isRefused).toBe(true);
    await proxy.logged("refusing clients: connection limit reached");

    half.close();
    await eventually(
      () => call(proxy).then((status) => status === 0 || undefined),
      "a call passed",
    );
    await idle.closed(15_000);
    await proxy.logged("rejected connection", ({ error }) => String(error).includes("timed out"));
    expect(await call(proxy)).toBe(0);
  });

  test("SIGTERM ends it cleanly while handshakes are in progress", async () => {
    const proxy = await scene.proxy(flags());
    const clients = [];
    for (const first of ["", HALF_HELLO, "", HALF_HELLO])
      clients.push(await scene.add(new RawClient(proxy.port, first)).connected());
    expect(await call(proxy)).toBe(0);
    proxy.signal("SIGTERM");
    expect(await proxy.exited(8000)).toBe(0);
    for (const client of clients) await client.closed();
    expect(proxy.log.filter(({ level }) => level === "error")).toEqual([]);
  });
});
