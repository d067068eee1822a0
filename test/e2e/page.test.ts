// The page at `/` of the compiled gateway, in a real browser.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"; // prettier-ignore
import { PAGE, PAGE_HEADERS } from "../../src/observe/page.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { etcdReleases } from "../support/etcd-releases.ts";
import { KV, Watch } from "../support/etcd-rpcs.ts";
import { freePort } from "../support/free-port.ts";
import { Closers, eventually } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { startGrpcProxy } from "../support/grpc-proxy-process.ts";
import { callFigure, pollNow, figure, MARKUP, PageScene, row } from "../support/page-scene.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";
import { local } from "../support/scene.ts";
import type { Status } from "../support/status-stub.ts";

setDefaultTimeout(30_000);

const closers = new Closers();
const scene = new PageScene();
beforeAll(() => scene.open());
afterAll(() => scene.close());
afterEach(async () => {
  await closers.close();
  await scene.check();
});

/** Starts a server that keeps its clients connected. */
const serverOf = (port?: number) => closers.add(new PeerServer(port));

async function start(endpoints: readonly string[], flags: readonly string[] = [], port?: number) {
  const address = `127.0.0.1:${port ?? freePort()}`;
  const words = [`--endpoints=${endpoints.join(",")}`, `--metrics-addr=${address}`, ...flags];
  const gateway = closers.add(await GatewayProcess.start(words));
  return { gateway, url: `http://${address}`, metricsPort: Number(address.split(":")[1]) };
}

/** Connects a client and returns it with the server's end of its connection. */
async function clientOf(gateway: GatewayProcess, server: PeerServer): Promise<[Peer, Peer]> {
  const count = server.accepted.length;
  const client = await Peer.connect(gateway.port);
  closers.defer(() => client.reset());
  return [client, await server.peer(count)];
}

describe("the gateway's status page", () => {
  test("is the source tree's page, and its CSP blocks everything else", async () => {
    const { url } = await start([local(serverOf().port)]);
    const response = await fetch(url);
    expect(await response.text()).toBe(PAGE);

    const policy = response.headers.get("Content-Security-Policy")!;
    expect(policy).toBe(PAGE_HEADERS["Content-Security-Policy"]!);
    expect(policy).toMatch(
      /^default-src 'none'; script-src 'sha256-[^ ]+'; style-src 'sha256-[^ ]+'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );

    const page = await scene.show(url);
    await page.shows("#state", /^serving$/);
    await page.evaluate(`new Promise((done) => {
      addEventListener("securitypolicyviolation", done);
      const script = document.createElement("script");
      script.textContent = "window.hasRun = 1";
      document.body.append(script);
    })`);
    await expect(page.evaluate(`fetch("http://127.0.0.1:1/")`)).rejects.toThrow("Failed to fetch");
    await expect(page.evaluate(`Function("1")()`)).rejects.toThrow("EvalError");
    expect(await page.evaluate("window.hasRun")).toBeUndefined();

    const violations = page.errors.splice(0).filter((text) => text.includes("Content Security Policy")); // prettier-ignore
    expect(violations.length).toBeGreaterThanOrEqual(2);
    page.requests.splice(0);
  });

  test("shows when an endpoint goes down, why and for how long, and when it comes back", async () => {
    const server = serverOf();
    const { port } = server;
    const endpoints = [local(serverOf().port), local(port)];
    const { gateway, url } = await start(endpoints, ["--retry-delay=500ms"]);
    const page = await scene.show(url);
    await page.shows("#endpoints-sum", /^2 of 2 up$/);
    expect(await page.text(row(1))).toBe(`${local(port)}\nfrom --endpoints`);
    expect(await page.text(row(1, ".state"))).toMatch(/^up\nfor \d+s$/);

    server.close();
    for (let i = 0; i < 2; i++) closers.add(await Peer.connect(gateway.port));
    await gateway.logged("deactivated endpoint");
    const refused = `dial tcp ${local(port)}: connect: connection refused`;
    await page.shows(row(1, ".state"), new RegExp(`^down\nfor \\d+s: ${refused}$`));
    await page.shows("#endpoints-sum", /^1 of 2 up$/);

    serverOf(port);
    await gateway.logged("activated");
    await pollNow(page);
    await page.shows(row(1, ".state"), /^up\nfor \d+s$/);

    const shown = `[...document.querySelectorAll("#events li")].map((li) => li.children[2].innerText)`;
    const { events } = (await (await fetch(`${url}/status`)).json()) as Status;
    expect(events.at(-1)!.msg).toBe("activated");
    expect(await page.evaluate<string[]>(shown)).toEqual(events.map(({ msg }) => msg).toReversed());
    expect(page.requests.filter((request) => request === `${url}/`)).toHaveLength(1);
  });

  test("shows the client and byte counts of /status", async () => {
    const server = serverOf();
    const { gateway, url } = await start([local(server.port)]);
    const page = await scene.show(url);

    const clients: Peer[] = [];
    for (const length of [1024, 2048, 4096]) {
      const [client, far] = await clientOf(gateway, server);
      clients.push(client);
      await client.send(length);
      await far.send(2 * length);
      await until(() => client.receivedBytes === 2 * length, "the response had arrived");
    }

    clients[0]!.shutdown();
    server.accepted[0]!.shutdown();
    await until(() => clients[0]!.isClosed, "the first relay ended");

    await pollNow(page);
    await page.shows("#ended", "client closed\t1\t100.0 %");

    const { gateway: status } = (await (await fetch(`${url}/status`)).json()) as Status;
    expect(status).toMatchObject({ active: 2, accepted: 3, bytesToServers: 7168, bytesToClients: 14336 }); // prettier-ignore
    await page.shows(figure("Clients"), new RegExp(`^2\nof at most ${status.maxConnections.toLocaleString("en")}$`)); // prettier-ignore
    await page.shows(figure("Accepted"), /^3\n.*; 3 relayed$/);
    await page.shows(figure("Refused"), /^0$/);
    await page.shows(figure("To servers"), /\n7.0 KiB total$/);
    await page.shows(figure("To clients"), /\n14.0 KiB total$/);
    await page.shows(row(0, "td:nth-child(5)"), /^2$/);
    await page.shows(row(0, "td:nth-child(7)"), /^[\d.]+ ms\nof 3 (in 10 min|since startup)$/);

    const path = `document.querySelector("#plots .line").getAttribute("d")`;
    const drawn = async () =>
      /^M[\d.]+ [\d.]+L600.0 2.0$/.test(await page.evaluate(path)) || undefined;
    await eventually(drawn, "the plot of clients extended from the first sample to now");
  });

  test("shows that it is disconnected, and reconnects to a restarted gateway", async () => {
    const endpoint = local(serverOf().port);
    const { gateway, url, metricsPort } = await start([endpoint]);
    await (await Peer.connect(gateway.port)).reset();
    const page = await scene.show(url);
    await page.shows(figure("Accepted"), /^1\n/);

    const before = Date.now();
    gateway.signal("SIGKILL");
    await gateway.exited();
    await pollNow(page);
    await page.shows("#state", /^disconnected$/);

    const lost = (await page.text("#lost"))!;
    const [, time] = /^No response since (\S+) UTC, \d+s ago: cannot connect to the gateway\. The data below is from that time\. Still retrying\.$/.exec(lost)!; // prettier-ignore
    const since = Date.parse(`${new Date(before).toISOString().slice(0, 11)}${time}Z`);
    expect(Math.abs(since - before)).toBeLessThan(5000);
    expect(await page.evaluate<string>("document.title")).toBe("disconnected · etcd-gateway");

    const next = await start([endpoint], [], metricsPort);
    await page.shows("#state", /^serving$/);
    await page.shows("#lost", /^$/);
    expect(await page.text(figure("Accepted"))).toMatch(/^0\n/);
    expect(await page.text("#sub")).toStartWith(`${next.gateway.address} · version `);
    expect(await page.evaluate<boolean>(`document.body.matches(".stale")`)).toBe(false);
  });

  test("shows that the gateway is draining, and contains no secret", async () => {
    const server = serverOf();
    const secrets = ["--user=root", "--password=hush", "--endpoints-auto-sync-interval=1h"];
    const { gateway, url } = await start([local(server.port)], ["--drain-timeout=20s", ...secrets]);
    const [client] = await clientOf(gateway, server);
    const page = await scene.show(url);
    await page.evaluate(`document.querySelector("details").open = true`);
    await page.shows("#config", "\n--user\troot\n--password\t(not shown)\n");
    expect(await page.evaluate<string>("document.documentElement.outerHTML")).not.toContain("hush");

    gateway.signal("SIGTERM");
    await gateway.logged("draining: no new clients");
    await pollNow(page);
    await page.shows("#state", /^draining$/);
    client.reset();
    expect(await gateway.exited()).toBe(0);
  });

  test("shows the calls of the gRPC proxy, and links to its metrics", async () => {
    const cluster = closers.add(await EtcdCluster.start(1));
    const [release] = await etcdReleases();
    const admin = `127.0.0.1:${freePort()}`;
    const flags = [`--endpoints=${cluster.endpoints}`, `--metrics-addr=http://${admin}`];
    const proxy = closers.add(await startGrpcProxy({ kind: "ours", release: release! }, flags));
    const client = closers.add(await EtcdClient.connect(proxy.address));
    await client.call(KV.Put, { key: "k" });
    const watch = client.open(Watch.Watch);
    watch.send({ create: { key: "k" } });
    await watch.next();

    const page = await scene.show(`http://${admin}`);
    await page.shows("#methods", "etcdserverpb.KV/Put\t1 OK");
    await page.shows("#methods", "etcdserverpb.Watch/Watch\t1 in progress");
    await page.shows(callFigure("Calls"), /^1\nin progress$/);
    await page.shows(callFigure("Sessions"), /^1\n/);
    const metrics = await page.evaluate<string>(`document.getElementById("metrics").href`);
    expect(await (await fetch(metrics)).text()).toContain("grpc_server_started_total");
  });

  test("shows a server's response as text, not as markup", async () => {
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response(MARKUP, { status: 503 }),
    });
    closers.defer(() => server.stop(true));
    const flags = ["--health-url=http://{host}:{port}/health", "--health-interval=100ms"];
    const { gateway, url } = await start([local(server.port!)], flags);
    await gateway.logged("endpoint is unhealthy");

    const page = await scene.show(url);
    await page.shows(row(0, ".state"), `HTTP 503: ${MARKUP}`);
    await page.shows("#events", MARKUP);
    expect(await page.evaluate<number>(`document.querySelectorAll("img, body script").length`)).toBe(1); // prettier-ignore
  });
});
