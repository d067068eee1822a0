// Members that die and come back behind the compiled gateway, and names that
// change: what clients notice, and what the log says.
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

describe("a cluster whose members die", () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = closers.add(await EtcdCluster.start(3));
  });

  test("no new client is refused while each member is killed with -9 and restarted", async () => {
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
    console.log(`new connections, puts (an election fails them by itself): ${puts.report()}`);
    // Who was connected to a member when it was killed may notice; nobody else.
    const isExcused = ({ startedAt, endedAt }: Attempt) =>
      kills.some(({ from, to }) => startedAt <= to && endedAt >= from);
    expect(probes.failed.filter((attempt) => !isExcused(attempt))).toEqual([]);
    // A put may also be refused by etcd itself, which then says so in HTTP.
    const cut = puts.failed.filter(({ code }) => !code!.startsWith("HTTP "));
    expect(cut.filter((attempt) => !isExcused(attempt))).toEqual([]);

    for (const { address } of cluster.members) {
      const of = (message: string) =>
        gateway.lines(message).filter((l) => l["address"] === address);
      const down = { level: "warn", address, interval: "200ms" };
      const refused = `dial tcp ${address}: connect: connection refused`;
      // A dial that the dying member's kernel had answered is reset instead.
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

  test("when all were down and are back, the very next client is served, whatever --retry-delay says", async () => {
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

describe("an endpoint that is a name", () => {
  const hostsOf = async (text: string) => closers.add(await Hosts.create(text));
  const gatewayWith = async ({ wrapper }: Hosts, flags: string[]) =>
    closers.add(await GatewayProcess.start(flags, { wrapper }));

  test("is looked up at every dial: clients follow a change of the hosts file", async () => {
    const port = greetersOn(closers, "127.0.0.1", "127.0.0.2");
    const hosts = await hostsOf("127.0.0.1 etcd.test");
    const gateway = await gatewayWith(hosts, [`--endpoints=etcd.test:${port}`]);
    // The file is looked at every 5 s.
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

  test("keeps its last address when it no longer resolves", async () => {
    const port = greetersOn(closers, "127.0.0.1");
    const hosts = await hostsOf("127.0.0.1 etcd.test");
    const gateway = await gatewayWith(hosts, [`--endpoints=etcd.test:${port}`]);
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    hosts.write("");
    expect(await greeting(gateway.port)).toBe("127.0.0.1");
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("may be unknown at start if another endpoint is known, and is served once it is known", async () => {
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

  test("that is the only one and unknown ends the start with status 1", async () => {
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

  test("is not dialled when it has come to mean the gateway itself", async () => {
    const port = greetersOn(closers, "127.0.0.2");
    const hosts = await hostsOf("127.0.0.2 etcd.test");
    const listen = `--listen-addr=127.0.0.1:${port}`;
    const gateway = await gatewayWith(hosts, [`--endpoints=etcd.test:${port}`, listen]);
    expect(await greeting(gateway.port)).toBe("127.0.0.2");
    hosts.write("127.0.0.1 etcd.test");
    const refusal = () =>
      greeting(gateway.port).then(
        () => undefined,
        ({ code }: { code: string }) => code,
      );
    expect(await eventually(refusal, "a client was refused")).toBe("ECONNRESET");
    expect(await gateway.logged("deactivated endpoint")).toMatchObject({
      error: `dial tcp etcd.test:${port}: resolves to the gateway's own listen address`,
    });
  });
});
