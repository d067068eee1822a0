// The compiled gateway with --endpoints-auto-sync-interval: real members join and leave
// under load, with TLS, and with authentication.
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { encode } from "../support/etcd-json.ts";
import { requestOnce } from "../support/etcd-request.ts";
import { Closers } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { Load } from "../support/load.ts";
import { until } from "../support/peer.ts";
import { Authority } from "../support/tls-certificates.ts";

setDefaultTimeout(120_000);

const closers = new Closers();
afterEach(() => closers.close());

const shared = new Closers();
afterAll(() => shared.close());

const SYNC = "--endpoints-auto-sync-interval=200ms";
const FAILED = "member list failed (keeping known endpoints)";

const startFollowing = async (...flags: string[]) =>
  closers.add(await GatewayProcess.start([SYNC, "--drain-timeout=500ms", ...flags]));

/** Returns the endpoints in use, according to the log. */
function endpointsOf(gateway: GatewayProcess): string[] {
  const [ready] = gateway.lines("ready to proxy client requests");
  const labels = new Set(ready!["endpoints"] as string[]);
  for (const line of gateway.lines("endpoints changed")) {
    for (const label of line["added"] as string[]) labels.add(label);
    for (const label of line["removed"] as string[]) labels.delete(label);
  }
  return [...labels].toSorted();
}

/** Resolves once the gateway uses exactly the members of the cluster. */
const followed = (gateway: GatewayProcess, cluster: EtcdCluster) => {
  const expected = cluster.members.map(({ address }) => address).toSorted();
  return until(
    () => endpointsOf(gateway).join() === expected.join(),
    `the gateway used ${expected}`,
  );
};

describe("--endpoints-auto-sync-interval", () => {
  test("follows members that join and leave under load, and fails no request for it", async () => {
    const cluster = closers.add(await EtcdCluster.start(3));
    const [first] = cluster.members;
    // One seed is enough, because its member list has the others.
    const gateway = await startFollowing(`--endpoints=${first!.address}`);
    await followed(gateway, cluster);
    const reads = new Load(gateway.port, 3, () => ({ path: "/version" }));
    const puts = new Load(gateway.port, 3, (n) => ({
      method: "POST",
      path: "/v3/kv/put",
      body: JSON.stringify({ key: encode(`members/${n}`), value: encode(`${n}`) }),
    }));
    await reads.successes(20);
    const added = await cluster.add();
    await followed(gateway, cluster);
    await reads.successes(20);

    // A removed member exits at once, which breaks its clients' requests: these may fail.
    const leaving: { from: number; to: number }[] = [];
    for (const member of [first!, added]) {
      const from = performance.now();
      await cluster.remove(member);
      await followed(gateway, cluster);
      leaving.push({ from, to: performance.now() });
      await reads.successes(20);
      await puts.successes(20);
    }
    await Promise.all([reads.stop(), puts.stop()]);
    console.log(`1 joined, 2 left; reads: ${reads.report()}; puts: ${puts.report()}`);
    const isExcused = ({ startedAt, endedAt }: { startedAt: number; endedAt: number }) =>
      leaving.some(({ from, to }) => startedAt <= to && endedAt >= from);
    expect(reads.failed.filter((attempt) => !isExcused(attempt))).toEqual([]);
    const failedPuts = puts.failed.filter(({ code }) => !code!.startsWith("HTTP "));
    expect(failedPuts.filter((attempt) => !isExcused(attempt))).toEqual([]);
    // The seed itself was removed as well.
    expect(endpointsOf(gateway)).not.toContain(first!.address);
  });

  test("does not use learners until they are promoted", async () => {
    const cluster = closers.add(await EtcdCluster.start(2));
    const gateway = await startFollowing(`--endpoints=${cluster.endpoints}`);
    const before = endpointsOf(gateway);
    const learner = await cluster.add({ isLearner: true });
    await Bun.sleep(600); // Nothing may happen, for three intervals.
    expect(endpointsOf(gateway)).toEqual(before);
    await cluster.promote(learner);
    await followed(gateway, cluster);
  });

  test("dials members at the client URLs that they advertise", async () => {
    const advertise = ({ port }: URL) => [`http://127.0.0.9:${port}`, "http://gone.invalid:1"];
    const options = { host: "0.0.0.0", advertise };
    const cluster = closers.add(await EtcdCluster.start(1, undefined, options));
    const gateway = await startFollowing(`--endpoints=${cluster.endpoints}`);
    const { port } = cluster.members[0]!;
    await until(
      () => endpointsOf(gateway).join() === [`127.0.0.9:${port}`, "gone.invalid:1"].join(),
      "the gateway used the advertised addresses",
    );
    expect(gateway.lines("endpoint does not resolve (looked up again at each dial)")).toMatchObject(
      [{ address: "gone.invalid:1" }],
    );
  });

  test("keeps a working endpoint if no advertised address is reachable, and logs that once", async () => {
    const advertise = () => ["http://etcd0.invalid:2379"];
    const cluster = closers.add(await EtcdCluster.start(1, undefined, { advertise }));
    const gateway = await startFollowing(`--endpoints=${cluster.endpoints}`);
    const line = await gateway.logged(FAILED);
    expect(line["error"]).toContain("etcd0.invalid:2379");
    expect(line["error"]).toContain("--advertise-client-urls");
    for (let i = 0; i < 10; i++) {
      expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
      await Bun.sleep(50); // Nothing may happen, for several intervals.
    }
    expect(endpointsOf(gateway)).toEqual([cluster.members[0]!.address]);
    expect(gateway.lines(FAILED)).toHaveLength(1);
  });

  test("reads the member list and checks health at any address of localhost", async () => {
    // etcd listens only on 127.0.0.1, and on most machines localhost is also ::1.
    const cluster = closers.add(await EtcdCluster.start(1));
    const { port } = cluster.members[0]!;
    const gateway = await startFollowing(
      `--endpoints=localhost:${port}`,
      ...["--health-url=http://{host}:{port}/health", "--health-interval=100ms"],
      "--health-fall=1",
    );
    await followed(gateway, cluster);
    for (const message of [FAILED, "endpoint is unresponsive", "endpoint is unhealthy"])
      expect(gateway.lines(message)).toEqual([]);
  });

  test("keeps the last list while no member responds, and logs that once", async () => {
    const cluster = closers.add(await EtcdCluster.start(3));
    const gateway = await startFollowing(`--endpoints=${cluster.endpoints}`, "--retry-delay=100ms");
    await requestOnce(gateway.port, { path: "/version" });
    await Promise.all(cluster.members.map((member) => member.kill()));
    const line = await gateway.logged(FAILED);
    // A member may be killed in the middle of a request.
    const reason = "(connection refused|connection reset|it closed the connection)";
    for (const { address } of cluster.members)
      expect(line["error"]).toMatch(new RegExp(`${RegExp.escape(address)}: ${reason}`));
    await Bun.sleep(600); // Nothing may happen, for three intervals.
    expect(gateway.lines(FAILED)).toHaveLength(1);
    for (const member of cluster.members) member.start();
    await cluster.healthy();
    await gateway.logged("member list recovered");
    expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
    expect(gateway.lines("endpoints changed")).toEqual([]);
  });
});

describe("--endpoints-auto-sync-interval with TLS", () => {
  const certificates = async () => {
    const authority = shared.add(await Authority.create());
    const [server, client] = [await authority.issue("server"), await authority.issue("client")];
    const tls = {
      ...{ ca: authority.cert, cert: server.cert, key: server.key },
      ...{ clientCert: client.cert, clientKey: client.key },
    };
    return { authority, tls };
  };

  test("sends the client certificate, ignores proxy variables, and follows a member that joins", async () => {
    const { tls } = await certificates();
    const cluster = closers.add(await EtcdCluster.start(1, tls));
    const flags = [
      ...[SYNC, `--endpoints=https://${cluster.members[0]!.address}`],
      ...[`--trusted-ca-file=${tls.ca}`],
      ...[`--cert-file=${tls.clientCert}`, `--key-file=${tls.clientKey}`],
    ];
    const env = { HTTPS_PROXY: "http://127.0.0.1:1", HTTP_PROXY: "http://127.0.0.1:1" };
    const gateway = closers.add(await GatewayProcess.start(flags, { env }));
    await cluster.add();
    await followed(gateway, cluster);
    const { status, stdout } = await cluster.etcdctl(gateway.address, ["put", "tls", "works"]);
    expect([status, stdout]).toEqual([0, "OK\n"]);
  });

  test("fails for a server of another authority, without a client certificate, and without TLS", async () => {
    const { tls } = await certificates();
    const { authority: other } = await certificates();
    const cluster = closers.add(await EtcdCluster.start(1, tls));
    const endpoints = `--endpoints=https://${cluster.members[0]!.address}`;
    const foreign = await startFollowing(endpoints, `--trusted-ca-file=${other.cert}`);
    expect((await foreign.logged(FAILED))["error"]).toContain(
      "its certificate is signed by an unknown authority",
    );
    const anonymous = await startFollowing(endpoints, `--trusted-ca-file=${tls.ca}`);
    expect((await anonymous.logged(FAILED))["error"]).toContain("client certificate");
    const plain = await startFollowing(`--endpoints=http://${cluster.members[0]!.address}`);
    await plain.logged(FAILED);
  });
});

describe("--endpoints-auto-sync-interval with authentication", () => {
  test("sends user and password, and logs a failed authentication without the password", async () => {
    const cluster = closers.add(await EtcdCluster.start(1));
    await cluster.enableAuth({ user: "root", password: "s3cret-word" });
    const endpoints = `--endpoints=${cluster.endpoints}`;
    const env = { ETCD_GATEWAY_USER: "root", ETCD_GATEWAY_PASSWORD: "s3cret-word" };
    const gateway = closers.add(await GatewayProcess.start([SYNC, endpoints], { env }));
    await cluster.add();
    await followed(gateway, cluster);
    expect(gateway.lines(FAILED)).toEqual([]);

    const wrong = await startFollowing(endpoints, "--user=root", "--password=wr0ng-word");
    expect((await wrong.logged(FAILED))["error"]).toContain("authentication failed");
    expect(gateway.stderr + wrong.stderr).not.toMatch(/s3cret-word|wr0ng-word/);
  });

  test("works with --user and --password if the cluster has authentication disabled", async () => {
    const cluster = closers.add(await EtcdCluster.start(1));
    const gateway = await startFollowing(
      `--endpoints=localhost:${cluster.members[0]!.port}`,
      ...["--user=root", "--password=x"],
    );
    await followed(gateway, cluster);
  });
});
