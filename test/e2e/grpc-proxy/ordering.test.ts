// --experimental-serializable-ordering. Two clusters of their own stand for a member that is
// up to date and one that lags: their revisions differ as much as the test wants.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EtcdClient } from "../../support/etcd-client.ts";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { KV } from "../../support/etcd-rpcs.ts";
import { Closers, eventually } from "../../support/gateway-command.ts";
import { startGrpcProxy } from "../../support/grpc-proxy-process.ts";
import { subjects } from "../../support/grpc-proxy-scene.ts";

const WRITES = 20;
const [[, subject]] = subjects as [(typeof subjects)[0]];

describe.if(subject.kind === "ours")("--experimental-serializable-ordering", () => {
  const closers = new Closers();
  let endpoints: string;

  beforeAll(async () => {
    const options = { program: subject.release.etcd };
    const [ahead, lagging] = await Promise.all([
      EtcdCluster.start(1, undefined, options),
      EtcdCluster.start(1, undefined, options),
    ]);
    closers.add(ahead);
    closers.add(lagging);
    endpoints = `${ahead.endpoints},${lagging.endpoints}`;
    const client = await EtcdClient.connect(ahead.members[0]!.address);
    for (let i = 0; i < WRITES; i++) await client.call(KV.Put, { key: "k", value: String(i) });
    client.close();
  });
  afterAll(() => closers.close());

  /** Returns a function that reads serializably, on one connection, and returns the revision. */
  async function reader(flags: readonly string[]): Promise<() => Promise<number>> {
    const proxy = closers.add(
      await startGrpcProxy(subject, [`--endpoints=${endpoints}`, ...flags]),
    );
    const client = closers.add(await EtcdClient.connect(proxy.address));
    return async () => {
      const { header } = await client.call(KV.Range, { key: "k", serializable: true });
      return Number(header!.revision);
    };
  }

  /** Reads until the revision is `wanted`; the proxy may not be connected to both at first. */
  async function readUntil(read: () => Promise<number>, wanted: number): Promise<void> {
    await eventually(
      async () => ((await read()) === wanted ? true : undefined),
      `a read has revision ${wanted}`,
    );
  }

  test("without it, revisions go back when another member answers", async () => {
    const read = await reader([]);
    await readUntil(read, WRITES + 1);
    await readUntil(read, 1);
  });

  test("with it, no revision is lower than one before it", async () => {
    const read = await reader(["--experimental-serializable-ordering"]);
    await readUntil(read, WRITES + 1);
    for (let i = 0; i < 20; i++) expect(await read()).toBe(WRITES + 1);
  });
});
