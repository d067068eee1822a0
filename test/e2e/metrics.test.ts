// The admin server of the compiled gateway: /metrics, checked with Prometheus' own
// parser, and the health endpoints. The commands that query it are in query.test.ts.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { GATEWAY_METRICS } from "../../src/gateway/gateway-metrics.ts";
import { withProcessMetrics } from "../../src/observe/process-metrics.ts";
import { MAX_ADMIN_CONNECTIONS } from "../../src/observe/status.ts";
import { deadPort } from "../support/scene.ts";
import { freePort } from "../support/free-port.ts";
import { Closers, eventually, output, requireTool, run } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";

const METRICS = withProcessMetrics(GATEWAY_METRICS);

setDefaultTimeout(30_000);

const closers = new Closers();
afterEach(() => closers.close());

const serverOf = () => closers.add(new PeerServer());

interface StartedGateway {
  readonly gateway: GatewayProcess;
  /** `http://host:port`. */
  readonly url: string;
  /** The --metrics-addr flag it was started with. */
  readonly flag: string;
}

async function start(
  ports: readonly number[],
  flags: readonly string[] = [],
): Promise<StartedGateway> {
  const address = `127.0.0.1:${freePort()}`;
  const flag = `--metrics-addr=${address}`;
  const endpoints = ports.map((port) => `127.0.0.1:${port}`).join(",");
  const words = [`--endpoints=${endpoints}`, flag, ...flags];
  return {
    gateway: closers.add(await GatewayProcess.start(words)),
    url: `http://${address}`,
    flag,
  };
}

/** Returns the values of /metrics by name and labels, as they appear in the text. */
async function scrape(url: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

/** Adds up all samples whose name starts with `prefix`. */
const sum = (samples: ReadonlyMap<string, number>, prefix: string) =>
  [...samples].reduce((total, [key, value]) => (key.startsWith(prefix) ? total + value : total), 0);

describe("/metrics", () => {
  test("passes promtool under load, and matches what the clients counted", async () => {
    const server = serverOf();
    server.onPeer = (peer) => void peer.send(5000).then(() => peer.shutdown());
    const { gateway, url } = await start([deadPort(), server.port]);

    let sentBytes = 0;
    let receivedBytes = 0;
    let isLoaded = true;

    const connectOnce = async (i: number) => {
      const client = await Peer.connect(gateway.port);
      await client.send(100 + i);
      client.shutdown();
      await until(() => client.isClosed, "the connection closed");
      expect(client.outcome).toBe("end");
      sentBytes += client.sentBytes;
      receivedBytes += client.receivedBytes;
    };

    const check = async () => {
      for (let scrapes = 0; isLoaded || scrapes < 3; scrapes++) {
        const text = await (await fetch(`${url}/metrics`)).text();
        const promtool = [requireTool("promtool"), "check", "metrics"];
        expect(await run(promtool, { input: text })).toMatchObject({ status: 0, stderr: "" });
      }
    };

    const checking = check();
    for (let i = 0; i < 200; i += 10)
      await Promise.all(Array.from({ length: 10 }, (_, k) => connectOnce(i + k)));
    isLoaded = false;
    await checking;
    await eventually(
      async () => sum(await scrape(url), "etcd_gateway_relays_ended_total") === 200 || undefined,
      "every relay had ended",
    );

    const samples = await scrape(url);
    const sampleOf = (name: string) => samples.get(`etcd_gateway_${name}`);
    expect(sampleOf("connections_accepted_total")).toBe(200);
    expect(sampleOf("connections_relayed_total")).toBe(200);
    expect(sum(samples, "etcd_gateway_connections_refused_total")).toBe(0);
    expect(sum(samples, "etcd_gateway_relays_ended_total")).toBe(200);
    expect(sampleOf('relayed_bytes_total{direction="to_server"}')).toBe(sentBytes);
    expect(sampleOf('relayed_bytes_total{direction="to_client"}')).toBe(receivedBytes);
    expect(sampleOf(`endpoint_dial_duration_seconds_count{endpoint="127.0.0.1:${server.port}"}`)).toBe(200); // prettier-ignore
    expect(sum(samples, "etcd_gateway_endpoint_up")).toBe(1);
    // No label contains the gateway's own address.
    expect([...samples.keys()].every((key) => !key.includes(`"${gateway.port}"`))).toBe(true);
  });

  test("contains exactly the metrics of the table, and docs/metrics.md is up to date", async () => {
    const { url } = await start([serverOf().port], ["--discovery-srv="]);
    const text = await (await fetch(`${url}/metrics`)).text();
    const types = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);
    const discoveryMetrics = METRICS.filter(({ name }) => name.includes("discovery"));
    const expected = METRICS.filter((metric) => !discoveryMetrics.includes(metric));
    expect(types).toEqual(expected.map(({ name }) => name));

    const docs = await Bun.file("docs/metrics.md").text();
    expect(docs).toBe(await output([process.execPath, "scripts/metrics-docs.ts"]));
  });
});

describe("health endpoints", () => {
  test("/health responds in etcd's format, /readyz and /livez with the status that Kubernetes expects", async () => {
    const server = serverOf();
    const { gateway, url } = await start([server.port], ["--retry-delay=1h"]);
    const health = await fetch(`${url}/health`);
    expect([health.status, await health.json()]).toEqual([200, { health: "true" }]);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);

    server.close();
    await (await Peer.connect(gateway.port)).gone();
    const failing = await fetch(`${url}/health`);
    const reason = "no endpoint is up";
    expect([failing.status, await failing.json()]).toEqual([503, { health: "false", reason }]);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  test("/readyz fails while the gateway drains; /livez and /metrics keep responding", async () => {
    const server = serverOf();
    const { gateway, url } = await start([server.port], ["--drain-timeout=20s"]);
    const client = await Peer.connect(gateway.port);
    await server.peer();

    gateway.signal("SIGTERM");
    await gateway.logged("draining: no new clients");
    const ready = await fetch(`${url}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([503, "draining\n"]);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    expect((await scrape(url)).get("etcd_gateway_draining")).toBe(1);

    client.reset();
    expect(await gateway.exited()).toBe(0);
  });

  const rejected: [what: string, path: string, init: RequestInit, status: number][] = [
    ["an unknown path", "/etc/passwd", {}, 404],
    ["a path outside the root", "/../../etc/passwd", {}, 404],
    ["a POST", "/status", { method: "POST" }, 405],
    ["a DELETE", "/metrics", { method: "DELETE" }, 405],
    ["a path of 9 KiB", `/${"a".repeat(9000)}`, {}, 431],
    ["headers of 9 KiB", "/health", { headers: { "X-Long": "a".repeat(9000) } }, 431],
    ["a body of 20 KiB", "/health", { method: "POST", body: "a".repeat(20_000) }, 413],
  ];
  test("unknown paths, other methods and oversized requests get a 4xx status", async () => {
    const { gateway, url } = await start([serverOf().port]);
    for (const [what, path, init, status] of rejected)
      expect([what, (await fetch(`${url}${path}`, init)).status]).toEqual([what, status]);
    expect((await fetch(`${url}/health`, { method: "HEAD" })).status).toBe(200);
    expect(gateway.log.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("--metrics-addr stops the start with an error that names an address in use", async () => {
    const server = serverOf();
    const flags = [`--endpoints=127.0.0.1:${server.port}`, `--metrics-addr=127.0.0.1:${server.port}`]; // prettier-ignore
    const gateway = closers.add(await GatewayProcess.launch("ours", flags));
    expect(gateway.status).toBe(1);
    expect(gateway.log.at(-1)!.msg).toBe(
      `Cannot listen on --metrics-addr "127.0.0.1:${server.port}": the address is in use; stop the other program or choose another --metrics-addr`,
    );
  });
});

describe("the admin server", () => {
  /** Sends `bytes` and returns everything received until the connection closes. */
  async function exchange(url: string, bytes: string): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const { hostname, port } = new URL(url);
    let text = "";
    await Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        open: (socket) => void socket.write(bytes),
        data: (_, chunk) => void (text += chunk),
        close: () => resolve(text),
      },
    });
    return await promise;
  }

  const requests: [what: string, bytes: string, status: string][] = [
    ["without a Host", "GET /health HTTP/1.0\r\n\r\n", "200"],
    ["with an invalid Host", "GET /livez HTTP/1.1\r\nHost: [::1\r\n\r\n", "200"],
    ["with an absolute URL", "GET http://other/livez?x HTTP/1.1\r\nHost: a\r\n\r\n", "200"],
    ["that is not HTTP", "HELO there\r\n\r\n", "400"],
    ["that is a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"],
  ];
  test.each(requests)("responds to a request %s", async (_, bytes, status) => {
    const { gateway, url } = await start([serverOf().port]);
    expect(await exchange(url, bytes)).toStartWith(`HTTP/1.1 ${status} `);
    // Standard error has only log lines, whatever the request.
    expect(gateway.stderr.split("\n").filter((line) => !/^({.*})?$/.test(line))).toEqual([]);
  });

  test("answers one request per connection, so that pipelined requests do not delay clients", async () => {
    const { url } = await start([serverOf().port]);
    const request = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    expect((await exchange(url, request.repeat(500))).match(/^HTTP\/1\.1 200 /gm)).toHaveLength(1);
  });

  test("limits its connections, so that clients keep their descriptors", async () => {
    const server = serverOf();
    server.onPeer = (peer) => void peer.send(1);
    const address = `127.0.0.1:${freePort()}`;
    const flags = [`--endpoints=127.0.0.1:${server.port}`, `--metrics-addr=${address}`];
    const wrapper = [requireTool("prlimit"), "--nofile=160:160"];
    const gateway = closers.add(await GatewayProcess.start(flags, { wrapper }));

    const before = gateway.descriptors;
    const port = Number(address.split(":")[1]);
    const crowd = await Promise.all(Array.from({ length: 300 }, () => Peer.connect(port)));
    // Enough of a request to make the gateway accept the connection.
    await Promise.all(crowd.map((peer) => peer.send(1)));

    const client = await Peer.connect(gateway.port);
    const isServed = () => client.receivedBytes === 1 || client.outcome !== undefined;
    await until(isServed, "the client was served");

    expect(client.outcome).toBeUndefined();
    expect(gateway.descriptors - before).toBeLessThanOrEqual(2 + MAX_ADMIN_CONNECTIONS);
    expect(gateway.log.filter(({ level }) => level === "warn")).toEqual([]);
    for (const peer of [...crowd, client]) peer.reset();
  });
});

test("--metrics-addr logs a warning for an address beyond loopback", async () => {
  const flags = [`--endpoints=127.0.0.1:${serverOf().port}`, "--metrics-addr=0.0.0.0:0"];
  const gateway = closers.add(await GatewayProcess.start(flags));
  const line = await gateway.logged(
    "every machine that reaches this address may read metrics and status",
  );
  expect([line.level, line["address"]]).toEqual([
    "warn",
    expect.stringMatching(/^0\.0\.0\.0:\d+$/),
  ]);
});

describe("two gateways with the same --metrics-addr", () => {
  const shared = () => {
    const address = `127.0.0.1:${freePort()}`;
    const flags = [`--endpoints=127.0.0.1:${serverOf().port}`, `--metrics-addr=${address}`];
    return { address, flags };
  };

  test("the second does not start", async () => {
    const { address, flags } = shared();
    closers.add(await GatewayProcess.start(flags));
    const second = closers.add(await GatewayProcess.launch("ours", flags));
    expect(second.status).toBe(1);
    expect(second.log.at(-1)!.msg).toStartWith(`Cannot listen on --metrics-addr "${address}"`);
  });

  test("with --reuse-port, the second waits until the first stops, and then listens", async () => {
    const { address, flags } = shared();
    const both = [...flags, "--reuse-port", `--listen-addr=127.0.0.1:${freePort()}`];
    const first = closers.add(await GatewayProcess.start(both));
    const second = closers.add(await GatewayProcess.start(both));
    await second.logged("another process has --metrics-addr; waiting for it to stop");

    first.signal("SIGTERM");
    expect(await first.exited()).toBe(0);
    await second.logged("serving metrics and status");
    expect((await fetch(`http://${address}/readyz`)).status).toBe(200);
  });
});
