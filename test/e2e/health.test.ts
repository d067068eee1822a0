// Members that accept connections and cannot serve: a frozen one, and those of a cluster
// without a leader. The compiled gateway checks their health.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { requestOnce } from "../support/etcd-request.ts";
import { Closers } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { Load } from "../support/load.ts";
import { Peer, until } from "../support/peer.ts";
import { Authority } from "../support/tls-certificates.ts";

setDefaultTimeout(120_000);

const closers = new Closers();
afterEach(() => closers.close());

const UNHEALTHY = "endpoint is unhealthy";
const UNRESPONSIVE = "endpoint is unresponsive";
const HEALTHY = "endpoint is healthy again";

const startWithChecks = async (cluster: EtcdCluster, ...flags: string[]) =>
  closers.add(
    await GatewayProcess.start([
      `--endpoints=${cluster.endpoints}`,
      ...["--health-url=http://{host}:{port}/health", "--health-interval=200ms"],
      ...["--health-timeout=500ms", ...flags],
    ]),
  );

describe("--health-url with a frozen member", () => {
  test("resets its clients, sends it no new ones, and uses it again once it responds", async () => {
    const cluster = closers.add(await EtcdCluster.start(3));
    const gateway = await startWithChecks(cluster);
    const idle = await Promise.all([1, 2, 3].map(() => Peer.connect(gateway.port)));
    for (const peer of idle) closers.defer(() => peer.reset());
    await requestOnce(gateway.port, { path: "/version" });
    const { follower: member } = await cluster.roles();
    const of = ({ address }: { [field: string]: unknown }) => address === member.address;
    member.signal("SIGSTOP");
    closers.defer(() => member.signal("SIGCONT"));
    expect(await gateway.logged(UNRESPONSIVE, of)).toMatchObject({
      level: "warn",
      error: "no answer in time",
    });
    // One of the three relays was to this member; its client is reset.
    expect(await gateway.logged("reset relays to an unhealthy endpoint", of)).toMatchObject({
      relays: 1,
    });
    await until(
      () => idle.filter(({ outcome }) => outcome !== undefined).length === 1,
      "one client was reset",
    );
    const reads = new Load(gateway.port, 4, () => ({ path: "/version" }));
    await reads.successes(100);
    await reads.stop();
    expect(reads.failed).toEqual([]);
    const longest = Math.max(
      ...reads.attempts.map(({ startedAt, endedAt }) => endedAt - startedAt),
    );
    console.log(`one of three frozen: ${reads.report()}; slowest ${longest.toFixed(0)} ms`);
    member.signal("SIGCONT");
    await gateway.logged(HEALTHY, of);
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("keeps connections to it with --health-close=false", async () => {
    const cluster = closers.add(await EtcdCluster.start(3));
    const gateway = await startWithChecks(cluster, "--health-close=false");
    const idle = await Promise.all([1, 2, 3].map(() => Peer.connect(gateway.port)));
    for (const peer of idle) closers.defer(() => peer.reset());
    await requestOnce(gateway.port, { path: "/version" });
    const { follower: member } = await cluster.roles();
    member.signal("SIGSTOP");
    closers.defer(() => member.signal("SIGCONT"));
    await gateway.logged(UNRESPONSIVE);
    await Bun.sleep(500); // Nothing may happen.
    expect(idle.map(({ outcome }) => outcome)).toEqual([undefined, undefined, undefined]);
  });
});

test("--health-url moves the clients of a frozen leader once the others have elected another", async () => {
  const cluster = closers.add(await EtcdCluster.start(3));
  // The limits are so short that the other members become unhealthy during the election.
  const gateway = await startWithChecks(
    cluster,
    ...["--health-interval=100ms", "--health-timeout=200ms", "--health-fall=2"],
  );
  const reads = new Load(gateway.port, 6, () => ({ path: "/version" }));
  await reads.successes(20);
  const { leader } = await cluster.roles();
  leader.signal("SIGSTOP");
  closers.defer(() => leader.signal("SIGCONT"));
  await gateway.logged(UNRESPONSIVE, ({ address }) => address === leader.address);

  // No worker may stay connected to the frozen leader.
  const frozenAt = performance.now();
  const activeWorkers = () =>
    new Set(reads.attempts.filter(({ startedAt }) => startedAt > frozenAt).map((a) => a.worker));
  await until(
    () => activeWorkers().size === 6,
    "each of the six workers had finished another request",
    60_000,
  );
  await reads.successes(100);
  await reads.stop();
  console.log(`a frozen leader: ${reads.report()}`);
});

test("--health-url still serves clients if no member has a leader", async () => {
  const cluster = closers.add(await EtcdCluster.start(3));
  const gateway = await startWithChecks(cluster, "--health-timeout=3s");
  const [first, second, third] = cluster.members;
  await Promise.all([second!.kill(), third!.kill()]);
  const line = await gateway.logged(UNHEALTHY, ({ address }) => address === first!.address);
  expect(line["error"]).toContain("HTTP 503");
  for (let i = 0; i < 6; i++)
    expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
});

test("--health-url sends the client certificate, and fails servers of another authority", async () => {
  const authority = closers.add(await Authority.create());
  const other = closers.add(await Authority.create());
  const [server, client] = [await authority.issue("server"), await authority.issue("client")];
  const tls = { ca: authority.cert, ...server, clientCert: client.cert, clientKey: client.key };
  const cluster = closers.add(await EtcdCluster.start(1, tls));
  const files = [`--cert-file=${client.cert}`, `--key-file=${client.key}`];
  const url = "--health-url=https://{host}:{port}/health";
  const good = await startWithChecks(cluster, url, `--trusted-ca-file=${authority.cert}`, ...files);
  const foreign = await startWithChecks(cluster, url, `--trusted-ca-file=${other.cert}`, ...files);
  expect(await foreign.logged(UNHEALTHY)).toMatchObject({
    error: "its certificate is signed by an unknown authority",
  });
  for (const message of [UNHEALTHY, UNRESPONSIVE]) expect(good.lines(message)).toEqual([]);
});
