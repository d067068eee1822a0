// The gateway that follows the cluster's own member list: real members that
// join and leave while load runs, with TLS, with authentication.
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

const follow = async (...flags: string[]) =>
  closers.add(await GatewayProcess.start([SYNC, "--drain-timeout=500ms", ...flags]));

/** The endpoints that the log says are in use. */
function inUse(gateway: GatewayProcess): string[] {
  const [ready] = gateway.lines("ready to proxy client requests");
  const labels = new Set(ready!["endpoints"] as string[]);
  for (const line of gateway.lines("endpoints changed")) {
    for (const label of line["added"] as string[]) labels.add(label);
    for (const label of line["removed"] as string[]) labels.delete(label);
  }
  return [...labels].toSorted();
}

const uses = (gateway: GatewayProcess, cluster: EtcdCluster) => {
  const wanted = cluster.members.map(({ address }) => address).toSorted();
  return until(() => inUse(gateway).join() === wanted.join(), `it used ${wanted}`);
};

describe("members", () => {
  test("that join and leave under load are followed, and nothing fails for it", async () => {
    const cluster = closers.add(await EtcdCluster.start(3));
    const [first] = cluster.members;
    // One seed is enough: the cluster tells of the others.
    const gateway = await follow(`--endpoints=${first!.address}`);
    await uses(gateway, cluster);
    const reads = new Load(gateway.port, 3, () => ({ path: "/version" }));
    const puts = new Load(gateway.port, 3, (n) => ({
      method: "POST",
      path: "/v3/kv/put",
      body: JSON.stringify({ key: encode(`members/${n}`), value: encode(`${n}`) }),
    }));
    await reads.successes(20);
    const added = await cluster.add();
    await uses(gateway, cluster);
    await reads.successes(20);

    // A member that leaves ends by itself, under its clients: see who was cut by that.
    const leaving: { from: number; to: number }[] = [];
    for (const member of [first!, added]) {
      const from = performance.now();
      await cluster.remove(member);
      await uses(gateway, cluster);
      leaving.push({ from, to: performance.now() });
      await reads.successes(20);
      await puts.successes(20);
    }
    await Promise.all([reads.stop(), puts.stop()]);
    console.log(`1 joined, 2 left; reads: ${reads.report()}; puts: ${puts.report()}`);
    const isExcused = ({ startedAt, endedAt }: { startedAt: number; endedAt: number }) =>
      leaving.some(({ from, to }) => startedAt <= to && endedAt >= from);
    expect(reads.failed.filter((attempt) => !isExcused(attempt))).toEqual([]);
    const cut = puts.failed.filter(({ code }) => !code!.startsWith("HTTP "));
    expect(cut.filter((attempt) => !isExcused(attempt))).toEqual([]);
    // The seed itself is gone, and the gateway still follows.
    expect(inUse(gateway)).not.toContain(first!.address);
  });

  test("that are learners, or have not started, are left out until they serve", async () => {
    const cluster = closers.add(await EtcdCluster.start(2));
    const gateway = await follow(`--endpoints=${cluster.endpoints}`);
    const before = inUse(gateway);
    const learner = await cluster.add({ isLearner: true });
    await Bun.sleep(600); // three intervals: nothing happens, which is the point
    expect(inUse(gateway)).toEqual(before);
    await cluster.promote(learner);
    await uses(gateway, cluster);
  });

  test("are reached at the client URLs that they advertise, not where they were asked", async () => {
    const advertise = ({ port }: URL) => [`http://127.0.0.9:${port}`, "http://gone.invalid:1"];
    const options = { host: "0.0.0.0", advertise };
    const cluster = closers.add(await EtcdCluster.start(1, undefined, options));
    const gateway = await follow(`--endpoints=${cluster.endpoints}`);
    const { port } = cluster.members[0]!;
    await until(
      () => inUse(gateway).join() === [`127.0.0.9:${port}`, "gone.invalid:1"].join(),
      "it used what the member advertises",
    );
    expect(gateway.lines("endpoint does not resolve (looked up again at each dial)")).toMatchObject(
      [{ address: "gone.invalid:1" }],
    );
  });

  test("that advertise what cannot be reached here do not replace an endpoint that works", async () => {
    const advertise = () => ["http://etcd0.invalid:2379"];
    const cluster = closers.add(await EtcdCluster.start(1, undefined, { advertise }));
    const gateway = await follow(`--endpoints=${cluster.endpoints}`);
    const line = await gateway.logged(FAILED);
    expect(line["error"]).toContain("etcd0.invalid:2379");
    expect(line["error"]).toContain("--advertise-client-urls");
    for (let i = 0; i < 10; i++) {
      expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
      await Bun.sleep(50); // over several intervals
    }
    expect(inUse(gateway)).toEqual([cluster.members[0]!.address]);
    expect(gateway.lines(FAILED)).toHaveLength(1);
  });

  test("are found, and their health is, at any address of localhost", async () => {
    // etcd listens on 127.0.0.1 alone, and localhost is ::1 as well on most machines.
    const cluster = closers.add(await EtcdCluster.start(1));
    const { port } = cluster.members[0]!;
    const gateway = await follow(
      `--endpoints=localhost:${port}`,
      ...["--health-url=http://{host}:{port}/health", "--health-interval=100ms"],
      "--health-fall=1",
    );
    await uses(gateway, cluster);
    expect(gateway.lines(FAILED)).toEqual([]);
    expect(gateway.lines("endpoint is unresponsive")).toEqual([]);
  });

  test("that cannot be asked leave the last good set, said once, until they can", async () => {
    const cluster = closers.add(await EtcdCluster.start(3));
    const gateway = await follow(`--endpoints=${cluster.endpoints}`, "--retry-delay=100ms");
    await requestOnce(gateway.port, { path: "/version" });
    await Promise.all(cluster.members.map((member) => member.kill()));
    const line = await gateway.logged(FAILED);
    // One may die in the middle of being asked.
    const why = "(connection refused|connection reset|it closed the connection)";
    for (const { address } of cluster.members)
      expect(line["error"]).toMatch(new RegExp(`${RegExp.escape(address)}: ${why}`));
    await Bun.sleep(600);
    expect(gateway.lines(FAILED)).toHaveLength(1);
    for (const member of cluster.members) member.start();
    await cluster.healthy();
    await gateway.logged("member list recovered");
    expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
    expect(gateway.lines("endpoints changed")).toEqual([]);
  });
});

describe("with TLS", () => {
  const certificates = async () => {
    const authority = shared.add(await Authority.create());
    const [server, client] = [await authority.issue("server"), await authority.issue("client")];
    const tls = {
      ...{ ca: authority.cert, cert: server.cert, key: server.key },
      ...{ clientCert: client.cert, clientKey: client.key },
    };
    return { authority, tls };
  };

  test("the list is asked for with the client certificate, and members come and go", async () => {
    const { tls } = await certificates();
    const cluster = closers.add(await EtcdCluster.start(1, tls));
    const flags = [
      ...[SYNC, `--endpoints=https://${cluster.members[0]!.address}`],
      ...[`--trusted-ca-file=${tls.ca}`],
      ...[`--cert-file=${tls.clientCert}`, `--key-file=${tls.clientKey}`],
    ];
    // A proxy is for the way out, never for the cluster.
    const env = { HTTPS_PROXY: "http://127.0.0.1:1", HTTP_PROXY: "http://127.0.0.1:1" };
    const gateway = closers.add(await GatewayProcess.start(flags, { env }));
    await cluster.add();
    await uses(gateway, cluster);
    const { status, stdout } = await cluster.etcdctl(gateway.address, ["put", "tls", "works"]);
    expect([status, stdout]).toEqual([0, "OK\n"]);
  });

  test("a server of another authority, and one that wants a certificate, are not believed", async () => {
    const { tls } = await certificates();
    const { authority: other } = await certificates();
    const cluster = closers.add(await EtcdCluster.start(1, tls));
    const endpoints = `--endpoints=https://${cluster.members[0]!.address}`;
    const foreign = await follow(endpoints, `--trusted-ca-file=${other.cert}`);
    expect((await foreign.logged(FAILED))["error"]).toContain(
      "its certificate is signed by an unknown authority",
    );
    const naked = await follow(endpoints, `--trusted-ca-file=${tls.ca}`);
    expect((await naked.logged(FAILED))["error"]).toContain("client certificate");
    const plain = await follow(`--endpoints=http://${cluster.members[0]!.address}`);
    await plain.logged(FAILED);
  });
});

describe("with authentication", () => {
  test("the list is asked for with the password, and a wrong one is said without it", async () => {
    const cluster = closers.add(await EtcdCluster.start(1));
    await cluster.enableAuth({ user: "root", password: "s3cret-word" });
    const endpoints = `--endpoints=${cluster.endpoints}`;
    const env = { ETCD_GATEWAY_USER: "root", ETCD_GATEWAY_PASSWORD: "s3cret-word" };
    const gateway = closers.add(await GatewayProcess.start([SYNC, endpoints], { env }));
    await cluster.add();
    await uses(gateway, cluster);
    expect(gateway.lines(FAILED)).toEqual([]);

    const wrong = await follow(endpoints, "--user=root", "--password=wr0ng-word");
    expect((await wrong.logged(FAILED))["error"]).toContain("authentication failed");
    expect(gateway.stderr + wrong.stderr).not.toMatch(/s3cret-word|wr0ng-word/);
  });

  test("user and password do no harm where the cluster wants none", async () => {
    const cluster = closers.add(await EtcdCluster.start(1));
    const gateway = await follow(
      `--endpoints=localhost:${cluster.members[0]!.port}`,
      ...["--user=root", "--password=x"],
    );
    await uses(gateway, cluster);
  });
});
