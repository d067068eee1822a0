// --experimental-serializable-ordering. Two clusters of their own stand for a member that is
// up to date and one that lags: their revisions differ as much as the test wants.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { EtcdClient } from "../../support/etcd-client.ts";
import { EtcdCluster } from "../../support/etcd-cluster.ts";
import { KV } from "../../support/etcd-rpcs.ts";
import { Closers } from "../../support/gateway-command.ts";
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

  /** Returns the revisions of serializable reads, one after the other on one connection. */
  async function revisions(flags: readonly string[], reads: number): Promise<number[]> {
    const proxy = closers.add(
      await startGrpcProxy(subject, [`--endpoints=${endpoints}`, ...flags]),
    );
    const client = closers.add(await EtcdClient.connect(proxy.address));
    const seen: number[] = [];
    for (let i = 0; i < reads; i++) {
      const { header } = await client.call(KV.Range, { key: "k", serializable: true });
      seen.push(Number(header!.revision));
    }
    return seen;
  }

  test("without it, revisions go back when another member answers", async () => {
    expect(new Set(await revisions([], 10))).toEqual(new Set([1, WRITES + 1]));
  });

  test("with it, no revision is lower than one before it", async () => {
    const seen = await revisions(["--experimental-serializable-ordering"], 20);
    expect(seen.slice(1)).toEqual(seen.slice(1).map(() => WRITES + 1));
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  });
});
