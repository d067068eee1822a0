// Hostile and broken clients of the compiled gRPC proxy: its memory is bounded, other clients are
// served meanwhile, and nothing is left when they have gone.
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Program } from "../../support/abuse-scene.ts";
import { EtcdClient } from "../../support/etcd-client.ts";
import { KV } from "../../support/etcd-rpcs.ts";
import { Closers } from "../../support/gateway-command.ts";
import { GrpcAbuseScene } from "../../support/grpc-abuse-scene.ts";
import { until } from "../../support/peer.ts";

setDefaultTimeout(120_000);

const BUFFER_MIB = 16;
const CROWD = 10_000;

// Resident memory (VmRSS) in addition to that of a proxy in use. Measured on two cores: 5.3 KiB
// for each idle connection, and 1.6 to 2.1 for each watch. Garbage adds up to 100 MiB, which Bun
// collects within 10 s once the proxy is quiet.
const MAX_IDLE_KIB = 10;
const MAX_WATCH_KIB = 12;
const GARBAGE_KIB = 128 * 1024;
// Twice --max-buffer-memory is held at most. Doubled, as chunks may keep as much again.
const MAX_HELD_KIB = 2 * 2 * BUFFER_MIB * 1024;
const GARBAGE_TIMEOUT_MS = 20_000;

const closers = new Closers();
const testClosers = new Closers();
let scene: GrpcAbuseScene;
/** Resident memory of the proxy when it has served all kinds of requests. */
let usualKib = 0;

beforeAll(async () => {
  scene = await GrpcAbuseScene.start(closers, [`--max-buffer-memory=${BUFFER_MIB}MiB`]);
  // The code that serves clients is loaded and compiled.
  await scene.outcome(abuse("slow", 50));
  await scene.visitor.more(20);
  usualKib = scene.proxy.residentKib;
});

/** Starts an abuse that ends with the test. */
function abuse(kind: string, count: number): Program {
  return testClosers.add(scene.abuse(kind, count));
}

/** Expects what must hold after every abuse. */
afterEach(async () => {
  await testClosers.close();
  await scene.visitor.more(5);
  expect(scene.visitor.failures).toEqual([]);
  await scene.quiet();
  expect(scene.proxy.status).toBeUndefined();
  expect(scene.proxy.log.filter(({ level }) => level === "error")).toEqual([]);
});
afterAll(() => closers.close());

/** Returns the additional memory in KiB for each of `count`, once garbage is collected. */
async function kibForEach(count: number, maxKib: number): Promise<number> {
  const each = () => (scene.proxy.residentKib - usualKib) / count;
  await until(() => each() <= maxKib, "garbage was collected", GARBAGE_TIMEOUT_MS).catch(() => {});
  return each();
}

test.each([
  ["reset", /^GOAWAY 11 too many resets of new streams$/],
  ["made-reset", /^GOAWAY 11 too many malformed streams$/],
  ["ping", /^GOAWAY 11 too_many_pings$/],
  ["settings", /^GOAWAY 11 too many SETTINGS frames$/],
  ["empty-data", /^GOAWAY 11 too many empty DATA frames$/],
  ["continuation", /^GOAWAY 11 too many CONTINUATION frames$/],
  ["large-continuation", /^GOAWAY 11 header block is too large$/],
  ["window", /^GOAWAY 3 the window is too large$/],
])("a flood (%s) ends its connection, and no other", async (kind, outcome) => {
  const outcomes = Object.entries(await scene.outcome(abuse(kind, 10)));
  for (const [end] of outcomes) expect(end).toMatch(outcome);
  expect(outcomes.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(10);
  expect(scene.proxy.residentKib).toBeLessThan(usualKib + GARBAGE_KIB);
});

test.each([
  ["whose windows are closed", "deaf-streams"],
  ["whose socket is not read", "deaf-socket"],
])(
  "2,000 answers of 100 KiB to a client %s are bounded, and others are served",
  async (_, kind) => {
    const program = abuse(kind, 2000);
    await scene.visitor.more(10);
    await scene.outcome(program);
    await scene.visitor.more(10);
    console.log(
      `${scene.proxy.residentKib - usualKib} KiB more, ${scene.peakKib - usualKib} at most`,
    );
    expect(scene.peakKib).toBeLessThan(usualKib + MAX_HELD_KIB + GARBAGE_KIB);
    // It was closed, or it holds less than the limit.
    expect(await scene.metric("etcd_gateway_held_bytes")).toBeLessThan(
      2 * BUFFER_MIB * 1024 * 1024,
    );
  },
);

test("a call that arrives byte by byte is served", async () => {
  expect(await scene.outcome(abuse("slow", 100))).toEqual({ answered: 100 });
});

test("messages that are not protobuf, or not gRPC's, end their calls alone", async () => {
  // A stream may wait for the rest of a message that its prefix announces.
  const { ended, outcome } = await scene.outcome(abuse("malformed", 1000));
  expect(outcome).toBe("open");
  expect(ended).toBeGreaterThan(900);
});

test("bytes that are not HTTP/2, and requests of HTTP/1 that hide others, get one answer or none", async () => {
  const [garbage, http1] = [abuse("garbage", 200), abuse("http1", 70)];
  // Of the seven kinds, the one without a version and the one that is too long get none or a 431.
  expect(await scene.outcome(http1)).toEqual({ "1 answers": 60, "0 answers": 10 });
  expect(await scene.outcome(garbage)).toEqual({ ended: 200 });
});

test("10,000 idle connections take at most 10 KiB each, and nothing when they have gone", async () => {
  const program = abuse("idle", CROWD);
  expect(await scene.outcome(program)).toEqual({ idle: CROWD });
  await scene.visitor.more(20);
  const kib = await kibForEach(CROWD, MAX_IDLE_KIB);
  console.log(`${kib.toFixed(1)} KiB for each idle connection`);
  expect(kib).toBeLessThan(MAX_IDLE_KIB);
  program.signal("SIGTERM");
  await program.exited();
  await until(() => scene.proxy.descriptors < 100, "all descriptors were closed");
});

test("10,000 watches on one connection take at most 12 KiB each, and get their event", async () => {
  const program = abuse("watch", CROWD);
  expect(await scene.outcome(program)).toEqual({ created: CROWD, outcome: "open" });
  const kib = await kibForEach(CROWD, MAX_WATCH_KIB);
  console.log(`${kib.toFixed(1)} KiB for each watch`);
  expect(kib).toBeLessThan(MAX_WATCH_KIB);

  const client = testClosers.add(await EtcdClient.connect(scene.proxy.address));
  await client.call(KV.Put, { key: Buffer.from("watched"), value: Buffer.from("event") });
  const { events, outcome } = await scene.outcome(program, 1);
  expect(outcome).toBe("open");
  expect(events).toBeGreaterThanOrEqual(CROWD);
});
