// Proxies that register themselves: ours and etcd's own list each other, byte for byte.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hostname } from "node:os";
import { EtcdClient } from "../../support/etcd-client.ts";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { Cluster, KV, Lease } from "../../support/etcd-rpcs.ts";
import { Closers, eventually } from "../../support/gateway-command.ts";
import type { GatewayProcess } from "../../support/gateway-process.ts";
import { type GrpcProxyKind, startGrpcProxy } from "../../support/grpc-proxy-process.ts";
import { subjects } from "../../support/grpc-proxy-scene.ts";

const [[, subject]] = subjects as [(typeof subjects)[0]];
const TTL_SECONDS = 2;

/** Resolves once `condition` holds. */
async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  await eventually(async () => ((await condition()) ? true : undefined), what);
}

describe.if(subject.kind === "ours")("--resolver-prefix", () => {
  const closers = new Closers();
  let cluster: EtcdCluster;
  let direct: EtcdClient;

  beforeAll(async () => {
    cluster = closers.add(await EtcdCluster.start(1, undefined, { program: subject.release.etcd }));
    direct = closers.add(await EtcdClient.connect(cluster.members[0]!.address));
  });
  afterAll(() => closers.close());

  async function start(
    kind: GrpcProxyKind,
    address: string,
    flags: readonly string[] = [],
  ): Promise<GatewayProcess> {
    const { release } = subject;
    return closers.add(
      await startGrpcProxy({ kind, release }, [
        ...[`--endpoints=${cluster.endpoints}`, "--resolver-prefix=fleet"],
        ...[`--resolver-ttl=${TTL_SECONDS}`, `--advertise-client-url=${address}`, ...flags],
      ]),
    );
  }

  /** Returns the registrations below a prefix: key and value. */
  async function registrations(prefix = "fleet/"): Promise<[string, string][]> {
    const end = `${prefix.slice(0, -1)}0`; // the character after the slash
    const { kvs } = await direct.call(KV.Range, { key: prefix, rangeEnd: end });
    return kvs.map(({ key, value }) => [
      Buffer.from(key).toString(),
      Buffer.from(value).toString(),
    ]);
  }

  async function listedBy(proxy: GatewayProcess): Promise<string[]> {
    const client = await EtcdClient.connect(proxy.address);
    const { members } = await client.call(Cluster.MemberList);
    client.close();
    return members.flatMap(({ clientUrls }) => clientUrls).sort();
  }

  test("the value is that of etcd's proxy, byte for byte", async () => {
    const ours = await start("ours", "10.0.0.1:23790");
    const etcds = await start("etcd", "10.0.0.2:23790");
    await until(async () => (await registrations()).length === 2, "both are registered");
    const [[ourKey, ourValue], [etcdKey, etcdValue]] = (await registrations()) as [
      [string, string],
      [string, string],
    ];
    expect([ourKey, etcdKey]).toEqual(["fleet/10.0.0.1:23790", "fleet/10.0.0.2:23790"]);
    expect(ourValue).toBe(etcdValue.replace("10.0.0.2", "10.0.0.1"));
    expect(ourValue).toContain(JSON.stringify(JSON.stringify({ name: hostname() })));

    const both = ["10.0.0.1:23790", "10.0.0.2:23790"];
    await until(async () => (await listedBy(ours)).length === 2, "ours lists both");
    expect(await listedBy(ours)).toEqual(both);
    await until(async () => (await listedBy(etcds)).length === 2, "etcd's lists both");
    expect(await listedBy(etcds)).toEqual(both);

    // Deregistered at once, not after the TTL.
    ours.signal("SIGTERM");
    await ours.exited();
    expect((await registrations()).map(([key]) => key)).toEqual(["fleet/10.0.0.2:23790"]);
    await etcds.close();
  });

  test("the members have stable ids other than 0, and etcd's header", async () => {
    const proxy = await start("ours", "10.0.0.3:23790");
    const client = closers.add(await EtcdClient.connect(proxy.address));
    const list = async () => await client.call(Cluster.MemberList);
    await until(async () => (await listedBy(proxy)).includes("10.0.0.3:23790"), "it is listed");
    const [first, second] = [await list(), await list()];
    const { header } = await direct.call(Cluster.MemberList);
    expect(first.header!.clusterId).toBe(header!.clusterId);
    // The registrations of other tests may expire in between.
    const idIn = ({ members }: typeof first) =>
      members.find(({ clientUrls }) => clientUrls[0] === "10.0.0.3:23790")!.id;
    expect(idIn(first)).not.toBe(0n);
    expect(idIn(second)).toBe(idIn(first));
  });

  test("the key stands inside the namespace", async () => {
    await start("ours", "10.0.0.4:23790", ["--namespace=tenant/"]);
    await until(
      async () => (await registrations("tenant/fleet/")).length === 1,
      "it is registered",
    );
    expect((await registrations("tenant/fleet/"))[0]![0]).toBe("tenant/fleet/10.0.0.4:23790");
  });

  test("a registration whose lease was revoked comes back, and a foreign key is left out", async () => {
    const proxy = await start("ours", "10.0.0.5:23790");
    const key = "fleet/10.0.0.5:23790";
    const isRegistered = async () => (await registrations()).some(([own]) => own === key);
    await until(isRegistered, "it is registered");
    await direct.call(KV.Put, { key: "fleet/foreign", value: "not JSON" });

    const { kvs } = await direct.call(KV.Range, { key });
    await direct.call(Lease.Revoke, { id: kvs[0]!.lease });
    expect(await isRegistered()).toBe(false);
    await until(isRegistered, "it is registered again");
    await until(async () => (await listedBy(proxy)).includes("10.0.0.5:23790"), "it is listed");
    expect(await listedBy(proxy)).not.toContain("foreign");
    expect(await proxy.logged("creating a new session to rejoin")).toBeDefined();
  });
});
