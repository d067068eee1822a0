// Large and streamed answers through the gRPC proxy: snapshots, ranges of many megabytes,
// range streams; compression and alarms of a real etcd.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import type { EtcdClient } from "../../support/etcd-client.ts";
import { KV, Maintenance } from "../../support/etcd-rpcs.ts";
import { framed } from "../../support/grpc-client.ts";
import { GrpcProxyScene, isBefore, proxyTestOf, subjects } from "../../support/grpc-proxy-scene.ts";
import { streamBytes, until } from "../../support/peer.ts";
import { FrameType, RawHttp2 } from "../../support/raw-http2.ts";

setDefaultTimeout(60_000);

const MIB = 1 << 20;
const ALL = { key: "big/", rangeEnd: "big0" };

describe.each(subjects)("%s", (_, subject) => {
  const proxyTest = proxyTestOf(subject);
  const scene = new GrpcProxyScene(subject);
  let direct: EtcdClient;
  let through: EtcdClient;

  beforeAll(async () => {
    await scene.start();
    const client = await scene.direct();
    for (let i = 0; i < 50; i++)
      await client.call(KV.Put, { key: `big/${i}`, value: streamBytes(i * MIB, MIB) });
  });
  afterEach(() => scene.endTest());
  afterAll(() => scene.close());

  async function connect(): Promise<void> {
    direct = await scene.direct();
    through = await scene.through();
  }

  proxyTest("a snapshot of 50 MiB arrives to the byte", async () => {
    await connect();
    const expected = await snapshot(direct);
    expect(expected).toMatchObject({ isWhole: true, status: 0 });
    expect(expected.length).toBeGreaterThan(50 * MIB);
    expect(await snapshot(through)).toEqual(expected);
  });

  proxyTest("snapshots that are not read take no memory, and calls go on", async () => {
    await connect();
    const before = scene.proxy.residentKib;
    for (let i = 0; i < 8; i++) await stalledSnapshot();
    for (let i = 0; i < 50; i++)
      expect((await through.call(KV.Range, { key: `big/${i}`, keysOnly: true })).count).toBe(1);
    expect(scene.proxy.residentKib - before).toBeLessThan(64 << 10);
  });

  proxyTest("a value of 1.4 MB is stored and read", async () => {
    await connect();
    const value = streamBytes(7, 1.4e6);
    await through.call(KV.Put, { key: "large", value });
    const [kv] = (await through.call(KV.Range, { key: "large" })).kvs;
    expect(Buffer.from(kv!.value, "latin1").equals(value)).toBe(true);
  });

  proxyTest("a range of 50 MiB has the bytes of the member's", async () => {
    await connect();
    const expected = await direct.answer(KV.Range, ALL);
    expect(expected.messages[0]!.bytes.length).toBeGreaterThan(50 * MIB);
    const answer = await through.answer(KV.Range, ALL);
    expect(digest(answer)).toEqual(digest(expected));
  });

  proxyTest(
    "a range stream has the messages of the member's",
    async () => {
      await connect();
      const [expected, answer] = await Promise.all(
        [direct, through].map(async (client) => {
          const stream = client.open(KV.RangeStream);
          stream.send({ ...ALL, limit: 10 });
          stream.halfClose();
          return digest(await stream.call.answer());
        }),
      );
      expect(expected!.status).toBe(isBefore(subject.release.name, "3.7") ? 12 : 0);
      expect(answer).toEqual(expected!);
    },
    { fault: "not implemented", since: "3.7" },
  );

  proxyTest("a gzip-compressed call is answered as by the member", async () => {
    await connect();
    const request = Bun.gzipSync(new Uint8Array(KV.Range.request.encode({ key: "big/1" })));
    const [expected, answer] = await Promise.all(
      [direct, through].map(async (client) => {
        const metadata = { "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip" };
        const call = client.grpc.call(KV.Range.path, { metadata });
        call.send(request, true);
        call.halfClose();
        return digest(await call.answer());
      }),
    );
    // 3.4 has no gzip.
    expect(expected!.status).toBe(isBefore(subject.release.name, "3.5") ? 12 : 0);
    expect(answer).toEqual(expected!);
  });

  proxyTest(
    "a write while the alarm for space is raised is refused as by the member",
    async () => {
      await connect();
      await through.call(Maintenance.Alarm, { action: 1, alarm: 1 });
      const expected = await direct.answer(KV.Put, { key: "alarm" });
      const answer = await through.answer(KV.Put, { key: "alarm" });
      await through.call(Maintenance.Alarm, { action: 2, alarm: 1 });
      expect(answer).toEqual(expected);
      expect(expected.status).toBe(8);
      await through.call(KV.Put, { key: "alarm" });
    },
    { fault: "the code becomes 2" },
  );

  /** Starts a snapshot whose client grants the windows that HTTP/2 begins with, and no more. */
  async function stalledSnapshot(): Promise<void> {
    const client = scene.add(await RawHttp2.connect(Number(scene.proxy.address.split(":")[1])));
    client.startCall(Maintenance.Snapshot.path);
    client.send(FrameType.data, 1, 1, framed(new Uint8Array(), false));
    const bytes = () =>
      client.frames.reduce(
        (sum, { type, payload }) => sum + (type === FrameType.data ? payload.length : 0),
        0,
      );
    await until(() => bytes() === 65_535, "the windows were full");
  }
});

/**
 * Reads a snapshot; returns its length, how it ended, and whether it is what etcd sent: two
 * snapshots differ, but each ends with the SHA-256 of what precedes.
 */
async function snapshot(client: EtcdClient) {
  const stream = client.open(Maintenance.Snapshot);
  stream.send({});
  stream.halfClose();
  const { messages, ...end } = await stream.call.answer(30_000);
  const blobs = messages.map(({ bytes }) => Maintenance.Snapshot.response.decode(bytes).blob);
  const all = Buffer.concat(blobs.map((blob) => Buffer.from(blob, "latin1")));
  const hash = Bun.SHA256.hash(all.subarray(0, -32), "hex");
  const isWhole = hash === all.toString("hex", all.length - 32);
  return { ...end, length: all.length, isWhole };
}

/** Returns an answer with the hashes of its messages, which are too large to print. */
function digest<T extends { messages: readonly { bytes: Buffer }[] }>(answer: T) {
  return { ...answer, messages: answer.messages.map(({ bytes }) => Bun.SHA1.hash(bytes, "hex")) };
}
