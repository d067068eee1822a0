// The gRPC proxy as its operator sees it: HTTP paths, logs, limits, drain, and a start that
// fails. What docs/grpc-proxy.md claims of these is tested here.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { EtcdClient } from "../../support/etcd-client.ts";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { Auth, Cluster, KV, Lease, Lock, Maintenance, Watch } from "../../support/etcd-rpcs.ts";
import { freePort } from "../../support/free-port.ts";
import { Closers } from "../../support/gateway-command.ts";
import { gatewayBinary, GatewayProcess } from "../../support/gateway-process.ts";
import { startGrpcProxy } from "../../support/grpc-proxy-process.ts";
import { subjects } from "../../support/grpc-proxy-scene.ts";
import { until } from "../../support/peer.ts";

setDefaultTimeout(60_000);

const [[, subject]] = subjects as [(typeof subjects)[0]];
const UNAVAILABLE = 14;
const HEALTHY = '{"health":"true","reason":""}';

describe.if(subject.kind === "ours")("grpc-proxy start", () => {
  const closers = new Closers();
  let cluster: EtcdCluster;

  beforeAll(async () => {
    cluster = closers.add(await EtcdCluster.start(1, undefined, { program: subject.release.etcd }));
  });
  afterAll(() => closers.close());

  /** Starts a proxy in front of these endpoints. */
  const startFor = async (endpoints: string, ...flags: string[]): Promise<GatewayProcess> =>
    closers.add(await startGrpcProxy(subject, [`--endpoints=${endpoints}`, ...flags]));

  const start = (...flags: string[]) => startFor(cluster.endpoints, ...flags);

  const connect = async ({ address }: { address: string }): Promise<EtcdClient> =>
    closers.add(await EtcdClient.connect(address));

  const get = async (address: string, path: string) => {
    const response = await fetch(`http://${address}${path}`);
    return { status: response.status, body: await response.text() };
  };

  test("answers the paths of etcd's proxy on both addresses", async () => {
    const metrics = `127.0.0.1:${freePort()}`;
    const proxy = await start(`--metrics-addr=http://${metrics}`);
    await (await connect(proxy)).call(KV.Put, { key: "k" });
    const put = 'grpc_server_started_total{grpc_type="unary",grpc_service="etcdserverpb.KV"';
    for (const address of [proxy.address, metrics]) {
      for (const path of ["/health", "/proxy/health"])
        expect(await get(address, path)).toEqual({ status: 200, body: HEALTHY });
      expect((await get(address, "/metrics")).body).toContain("etcd_server_has_leader 1");
      expect((await get(address, "/proxy/metrics")).body).toContain(put);
    }
    expect((await get(proxy.address, "/readyz")).status).toBe(404);
    expect((await get(metrics, "/readyz")).body).toBe("ok\n");
  });

  test("reports health 503 while no member answers, and the reason", async () => {
    const port = freePort();
    const proxy = await startFor(`127.0.0.1:${port}`);
    const { status, body } = await get(proxy.address, "/health");
    expect(status).toBe(503);
    expect(JSON.parse(body)).toEqual({
      health: "false",
      reason: expect.stringContaining(`dial tcp 127.0.0.1:${port}: connect: connection refused`),
    });
  });

  test("logs calls and messages without what they hold", async () => {
    const proxy = await start("--access-log", "--experimental-enable-grpc-logging");
    const client = await connect(proxy);
    await client.call(KV.Put, { key: "secret-key", value: "secret-value" });
    expect(await proxy.logged("call")).toMatchObject({
      ...{ client: "127.0.0.1", method: "etcdserverpb.KV/Put", code: "OK" },
      endpoint: cluster.endpoints,
    });
    const lines = proxy.lines("message").map((line) => [line["grpc.method"], line["from"]]);
    expect(lines).toEqual([
      ["Put", "client"],
      ["Put", "member"],
    ]);
    expect(proxy.stderr).not.toContain("secret");
  });

  test("lists the address that it listens on, unless --advertise-client-url is set", async () => {
    const address = `127.0.0.1:${freePort()}`;
    const words = [gatewayBinary(), "grpc-proxy", "start", `--listen-addr=${address}`];
    const proxy = closers.add(new GatewayProcess([...words, `--endpoints=${cluster.endpoints}`]));
    await proxy.logged("started gRPC proxy", (line) => line["address"] === address);
    const { members } = await (await connect({ address })).call(Cluster.MemberList);
    expect(members.map(({ clientUrls }) => clientUrls)).toEqual([[address]]);
    await proxy.logged(
      "the member list names an address that other machines cannot reach; set --advertise-client-url",
    );
  });

  test("--max-send-bytes and --max-concurrent-streams limit what clients send", async () => {
    const proxy = await start("--max-send-bytes=1000", "--max-concurrent-streams=1");
    const client = await connect(proxy);
    const { status, message } = await client.answer(KV.Put, { key: "k", value: "v".repeat(1000) });
    expect([status, message]).toEqual([
      8,
      "trying to send message larger than max (1006 vs. 1000)",
    ]);

    // Another stream waits in the client, as HTTP/2 wants.
    const watch = client.open(Watch.Watch);
    watch.send({ create: { key: "k" } });
    expect((await watch.next()).created).toBe(true);
    const second = client.call(KV.Range, { key: "k" });
    watch.cancel();
    expect((await second).header!.revision).toBeGreaterThan(0);
  });

  test("--namespace-strict refuses what a prefix cannot confine", async () => {
    const proxy = await start("--namespace=tenant/", "--namespace-strict");
    const client = await connect(proxy);
    await client.call(KV.Put, { key: "k", value: "v" });
    const direct = await connect({ address: cluster.endpoints });
    expect((await direct.call(KV.Range, { key: "tenant/k" })).count).toBe(1);
    const { status, message } = await client.answer(Maintenance.Defragment, {});
    expect([status, message]).toEqual([
      7,
      "etcd-gateway: /etcdserverpb.Maintenance/Defragment is not confined to the namespace; refused by --namespace-strict",
    ]);
  });

  test("SIGTERM sends idle clients away, lets calls finish, then ends streams with UNAVAILABLE", async () => {
    const proxy = await start("--drain-timeout=60s");
    const idle = await connect(proxy);
    const busy = await connect(proxy);
    await idle.call(KV.Put, { key: "k" });
    const watch = busy.open(Watch.Watch);
    watch.send({ create: { key: "k" } });
    await watch.next();
    // A lock that another client holds: the call waits.
    const direct = await connect({ address: cluster.endpoints });
    const grant = async () => (await direct.call(Lease.Grant, { ttl: 600 })).id;
    const { key } = await direct.call(Lock.Lock, { name: "l", lease: await grant() });
    const waiting = busy.answer(Lock.Lock, { name: "l", lease: await grant() });
    const waiters = async () => (await direct.call(KV.Range, { key: "l/", rangeEnd: "l0" })).count;
    while ((await waiters()) < 2) await Bun.sleep(10);
    proxy.signal("SIGTERM");
    await until(() => idle.grpc.isClosed, "the idle client was sent away");
    // The stream goes on while a call is not finished.
    await direct.call(KV.Put, { key: "k", value: "during the drain" });
    expect((await watch.next()).events.map(({ kv }) => kv!.value)).toEqual(["during the drain"]);
    await direct.call(Lock.Unlock, { key });
    expect((await waiting).status).toBe(0);
    const { status, message } = await watch.ended();
    expect([status, message]).toEqual([UNAVAILABLE, "etcd-gateway: the proxy is stopping"]);
    expect(await proxy.exited()).toBe(0);
    expect(proxy.lines("stopped")[0]).toMatchObject({ cut: 0 });
  });

  test("SIGTERM ends a call that does not finish by --drain-timeout with UNAVAILABLE", async () => {
    const proxy = await start("--drain-timeout=500ms");
    const client = await connect(proxy);
    const direct = await connect({ address: cluster.endpoints });
    const grant = async () => (await direct.call(Lease.Grant, { ttl: 600 })).id;
    await direct.call(Lock.Lock, { name: "held", lease: await grant() });
    const waiting = client.answer(Lock.Lock, { name: "held", lease: await grant() });
    const waiters = async () =>
      (await direct.call(KV.Range, { key: "held/", rangeEnd: "held0" })).count;
    while ((await waiters()) < 2) await Bun.sleep(10);
    proxy.signal("SIGTERM");
    const { status, message } = await waiting;
    expect([status, message]).toEqual([UNAVAILABLE, "etcd-gateway: the proxy is stopping"]);
    expect(await proxy.exited()).toBe(0);
    expect(proxy.lines("stopped")[0]).toMatchObject({ cut: 1 });
  });

  test("ends with the reason as its last line if its address is in use", async () => {
    const first = await start();
    const flags = [`--listen-addr=${first.address}`, `--endpoints=${cluster.endpoints}`];
    const second = new GatewayProcess([gatewayBinary(), "grpc-proxy", "start", ...flags]);
    expect(await second.exited()).toBe(1);
    expect(second.log.at(-1)!.msg).toBe(
      `Cannot listen on "${first.address}": the address is in use; stop the other program or choose another --listen-addr`,
    );
  });

  test("is healthy, and registers, in a cluster with authentication", async () => {
    const own = closers.add(
      await EtcdCluster.start(1, undefined, { program: subject.release.etcd }),
    );
    const direct = await connect({ address: own.endpoints });
    await direct.call(Auth.UserAdd, { name: "root", password: "hush" });
    await direct.call(Auth.RoleAdd, { name: "root" });
    await direct.call(Auth.UserGrantRole, { user: "root", role: "root" });
    await direct.call(Auth.Enable, {});

    const stranger = await startFor(own.endpoints);
    expect(await get(stranger.address, "/health")).toEqual({ status: 200, body: HEALTHY });
    const fleet = ["--resolver-prefix=fleet", "--resolver-ttl=5", "--advertise-client-url=a:1"];
    const known = await startFor(own.endpoints, ...fleet, "--user=root", "--password=hush");
    await known.logged("registered session with lease");
  });
});
