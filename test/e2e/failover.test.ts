// Members that are killed and restarted, and names whose addresses change: what clients of
// the compiled gateway notice, and what it logs.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { EtcdCluster, type EtcdMember } from "../support/etcd-cluster.ts";
import { decode, encode, postJson } from "../support/etcd-json.ts";
import { requestOnce } from "../support/etcd-request.ts";
import { Closers, eventually } from "../support/gateway-command.ts";
import { Hosts } from "../support/gateway-hosts.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { greetersOn, greeting } from "../support/greeters.ts";
import { type Attempt, Load } from "../support/load.ts";
import { until } from "../support/peer.ts";

setDefaultTimeout(120_000);

const closers = new Closers();
afterAll(() => closers.close());

const STILL_DOWN = "failed to activate endpoint (stay inactive for another interval)";

describe("start with members that are killed", () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = closers.add(await EtcdCluster.start(3));
  });

  test("refuses no new client while each member is killed with SIGKILL and restarted", async () => {
    const flags = [`--endpoints=${cluster.endpoints}`, "--retry-delay=200ms"];
    const gateway = closers.add(await GatewayProcess.start(flags));
    const probes = new Load(gateway.port, 3, () => ({ path: "/version" }));
    const puts = new Load(gateway.port, 3, (n) => ({
      method: "POST",
      path: "/v3/kv/put",
      body: JSON.stringify({ key: encode(`load/${n}`), value: encode(`${n}`) }),
    }));
    const kills: { from: number; to: number }[] = [];
    const linesOf = (message: string, member: EtcdMember) =>
      gateway.lines(message).filter(({ address }) => address === member.address);

    for (const member of cluster.members) {
      await probes.successes(20);
      const from = performance.now();
      await member.kill();
      kills.push({ from, to: performance.now() });
      const isMember = ({ address }: { [field: string]: unknown }) => address === member.address;
      await gateway.logged("deactivated endpoint", isMember);
      await gateway.logged(STILL_DOWN, isMember);
      await probes.successes(20);
      await puts.successes(20);
      expect(linesOf("activated", member)).toEqual([]);
      member.start();
      await gateway.logged("activated", isMember);
      await cluster.healthy([member]);
    }
    await Promise.all([probes.stop(), puts.stop()]);

    console.log(`new connections, GET /version: ${probes.report()}`);
    console.log(`new connections, puts (an election fails some): ${puts.report()}`);
    // Only requests that were in progress while a member was killed may fail.
    const isExcused = ({ startedAt, endedAt }: Attempt) =>
      kills.some(({ from, to }) => startedAt <= to && endedAt >= from);
    expect(probes.failed.filter((attempt) => !isExcused(attempt))).toEqual([]);
    // etcd itself may also reject a put, with an HTTP status.
    const failedPuts = puts.failed.filter(({ code }) => !code!.startsWith("HTTP "));
    expect(failedPuts.filter((attempt) => !isExcused(attempt))).toEqual([]);

    for (const { address } of cluster.members) {
      const of = (message: string) =>
        gateway.lines(message).filter((l) => l["address"] === address);
      const down = { level: "warn", address, interval: "200ms" };
      const refused = `dial tcp ${address}: connect: connection refused`;
      // A connection that the kernel had completed for the member is reset instead.
      const error = expect.stringMatching(/: connect: connection (refused|reset by peer)$/);
      expect(of("deactivated endpoint")).toMatchObject([{ ...down, error }]);
      expect(of(STILL_DOWN)[0]).toMatchObject({ ...down, error: refused });
      expect(of("activated")).toMatchObject([{ level: "info", address }]);
    }
    expect(gateway.lines("ready to proxy client requests")).toMatchObject([
      { level: "info", endpoints: cluster.members.map(({ address }) => address) },
    ]);

    const all = { key: encode("load/"), range_end: encode("load0"), keys_only: true };
    const { body } = await postJson(gateway.port, "/v3/kv/range", { body: all });
    const present = new Set(body.kvs.map(({ key }: { key: string }) => decode(key)));
    const lost = puts.succeeded.filter(({ number }) => !present.has(`load/${number}`));
    expect(lost).toEqual([]);
  });

  test("serves the next client once all members are up again, before --retry-delay is over", async () => {
    const flags = [`--endpoints=${cluster.endpoints}`, "--retry-delay=1h"];
    const gateway = closers.add(await GatewayProcess.start(flags));
    const addresses = cluster.members.map(({ address }) => address).toSorted();
    const linesOf = (message: string) =>
      gateway.lines(message).map(({ address }) => address as string);
    const refused = (address: unknown) => `dial tcp ${address}: connect: connection refused`;
    expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
    await Promise.all(cluster.members.map((member) => member.kill()));
    for (let i = 0; i < 3; i++)
      await expect(requestOnce(gateway.port, { path: "/version" })).rejects.toMatchObject({
        code: "ECONNRESET",
      });
    expect(linesOf("deactivated endpoint").toSorted()).toEqual(addresses);
    for (const { address, ...line } of gateway.lines("deactivated endpoint"))
      expect(line).toMatchObject({ level: "warn", interval: "1h0m0s", error: refused(address) });
    const refusing = "refusing clients: no endpoint accepts connections";
    expect(gateway.lines(refusing)).toMatchObject([
      { level: "warn", endpoints: cluster.members.map(({ address }) => address) },
    ]);

    for (const member of cluster.members) member.start();
    await cluster.healthy();
    expect(linesOf("activated")).toEqual([]);
    expect(await requestOnce(gateway.port, { path: "/version" })).toMatchObject({ status: 200 });
    await until(() => linesOf("activated").length === 3, "all members were activated");
    expect(linesOf("activated").toSorted()).toEqual(addresses);
    const again = "serving clients again (was: no endpoint accepts connections)";
    expect(gateway.lines(again)).toMatchObject([{ level: "info", refused: 3 }]);
    expect(linesOf("deactivated endpoint")).toHaveLength(3);
    const put = await cluster.etcdctl(gateway.address, ["put", "after/all", "up"]);
    expect(put).toMatchObject({ status: 0, stdout: "OK\n" });
  });
});

describe("start with an endpoint that is a name", () => {
  const hostsOf = async (text: string) => closers.add(await Hosts.create(text));
  const gatewayWith = async ({ wrapper }: Hosts, flags: string[]) =>
    closers.add(await GatewayProcess.start(flags, { wrapper }));

  test("dials the new address after the hosts file changes", async () => {
    const port = greetersOn(closers, "127.0.0.1", "127.0.0.2");
    const hosts = await hostsOf("127.0.0.1 etcd.test");
    const gateway = await gatewayWith(hosts, [`--endpoints=etcd.test:${port}`]);
    // The gateway checks the file every 5 s.
    const reaches = (address: string) =>
      eventually(
        async () => (await greeting(gateway.port)) === address || undefined,
        `a client reached ${address}`,
      );
    await reaches("127.0.0.1");
    hosts.write("127.0.0.2 etcd.test");
    await reaches("127.0.0.2");
    hosts.write("127.0.0.1 etcd.test");
    await reaches("127.0.0.1");
    expect(gateway.lines("ready to proxy client requests")).toMatchObject([
      { endpoints: [`etcd.test:${port}`] },
    ]);
  });

  test("dials the last known address if the name no longer resolves", async () => {
    const port = greetersOn(closers, "127.0.0.1");
    const hosts = await hostsOf("127.0.0.1 etcd.test");
    const gateway = await gatewayWith(hosts, [`--endpoints=etcd.test:${port}`]);
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    hosts.write("");
    // The gateway checks the file every 5 s: clients must be served before and after that.
    for (const end = performance.now() + 6000; performance.now() < end; await Bun.sleep(200))
      expect(await greeting(gateway.port)).toBe("127.0.0.1");
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("accepts an unknown name if another endpoint resolves, and uses it once it resolves", async () => {
    const port = greetersOn(closers, "127.0.0.1", "127.0.0.2");
    const hosts = await hostsOf("127.0.0.1 known.test");
    const endpoints = `--endpoints=late.test:${port},known.test:${port}`;
    const gateway = await gatewayWith(hosts, [endpoints, "--retry-delay=50ms"]);
    const address = `late.test:${port}`;
    expect(gateway.lines("endpoint does not resolve (looked up again at each dial)")).toMatchObject(
      [{ level: "warn", address, error: "ENOTFOUND" }],
    );
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    expect(await gateway.logged("deactivated endpoint")).toMatchObject({
      address,
      interval: "50ms",
      error: "dial tcp: lookup late.test: no such host",
    });
    hosts.write("127.0.0.1 known.test\n127.0.0.2 late.test");
    expect(await gateway.logged("activated")).toMatchObject({ address });
    const two = [await greeting(gateway.port), await greeting(gateway.port)];
    expect(two.toSorted()).toEqual(["127.0.0.1", "127.0.0.2"]);
  });

  test("exits with 1 if no endpoint resolves", async () => {
    const hosts = await hostsOf("");
    const flags = ["--endpoints=a.test:2379,b.test:2379"];
    const { wrapper } = hosts;
    const gateway = closers.add(await GatewayProcess.launch("ours", flags, { wrapper }));
    expect([gateway.status, gateway.stdout]).toEqual([1, ""]);
    expect(gateway.log).toMatchObject([
      {
        level: "error",
        msg: 'Cannot resolve any of --endpoints: "a.test:2379" (ENOTFOUND), "b.test:2379" (ENOTFOUND)',
      },
    ]);
  });

  test("does not dial a name whose address has become the gateway's own", async () => {
    const port = greetersOn(closers, "127.0.0.2");
    const hosts = await hostsOf("127.0.0.2 etcd.test");
    const listen = `--listen-addr=127.0.0.1:${port}`;
    const gateway = await gatewayWith(hosts, [`--endpoints=etcd.test:${port}`, listen]);
    expect(await greeting(gateway.port)).toBe("127.0.0.2");
    hosts.write("127.0.0.1 etcd.test");
    const errorOfClient = () =>
      greeting(gateway.port).then(
        () => undefined,
        ({ code }: { code: string }) => code,
      );
    expect(await eventually(errorOfClient, "a client was refused")).toBe("ECONNRESET");
    expect(await gateway.logged("deactivated endpoint")).toMatchObject({
      error: `dial tcp etcd.test:${port}: resolves to this process's own listen address`,
    });
  });
});
