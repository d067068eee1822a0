// Crafted requests, rewritten for a namespace and sent to a real etcd without a proxy: no
// answer holds a foreign key, and no foreign key changes. The control sends them unchanged.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Rejection } from "../../src/grpc-proxy/message-pipe.ts";
import { Namespace } from "../../src/grpc-proxy/namespace/namespace.ts";
import { EtcdClient } from "../support/etcd-client.ts";
import { EtcdCluster } from "../support/etcd-cluster.ts";
import { etcdReleases } from "../support/etcd-releases.ts";
import { randomRequest, REQUEST_PATHS } from "../support/etcd-requests.ts";
import { KV } from "../support/etcd-rpcs.ts";
import { Closers } from "../support/gateway-command.ts";
import { oneOf, randomFrom, seed } from "../support/random-input.ts";
import { field, message } from "../support/wire-format.ts";

setDefaultTimeout(120_000);

const COUNT = 1500;
/** Requests in flight at the same time. */
const WINDOW = 50;

const PREFIX = "p/";
const FOREIGN_KEYS = ["\0", "a", "b", "ab", "o", "p", "p.", "p0", "q", "\xff", "a\xff"];
const FOREIGN_VALUE = "foreign";
const UNARY = ["RangeRequest", "PutRequest", "DeleteRangeRequest", "TxnRequest"] as const;

const namespace = new Namespace(Buffer.from(PREFIX));

interface Call {
  readonly path: string;
  readonly request: Uint8Array;
}

const releases = await etcdReleases();

describe.each(releases.map((release) => [release.name, release] as const))(
  `etcd %s, FUZZ_SEED=${seed},`,
  (_, release) => {
    const closers = new Closers();
    let etcd: EtcdClient;

    beforeAll(async () => {
      const cluster = closers.add(await EtcdCluster.start(1, undefined, { program: release.etcd }));
      etcd = closers.add(await EtcdClient.connect(cluster.members[0]!.address));
    });

    afterAll(() => closers.close());

    test(`keeps ${COUNT} crafted requests inside the namespace`, async () => {
      await restore(etcd);
      const answers = await send(etcd, crafted(COUNT, rewritten));
      const revealing = answers.filter(({ answer }) => answer.includes(FOREIGN_VALUE));
      expect(revealing.map(({ request }) => Buffer.from(request).toString("hex"))).toEqual([]);
      expect(await foreignKeys(etcd)).toEqual(FOREIGN_KEYS.toSorted());
      expect(answers.filter(({ status }) => status === 0).length).toBeGreaterThan(COUNT / 2);
    });

    test("reveals or changes foreign keys if the requests are not rewritten", async () => {
      await restore(etcd);
      const answers = await send(
        etcd,
        crafted(COUNT, (call) => call),
      );
      const isRevealed = answers.some(({ answer }) => answer.includes(FOREIGN_VALUE));
      const left = await foreignKeys(etcd);
      expect(isRevealed || left.length < FOREIGN_KEYS.length).toBe(true);
    });

    test("reads one key, and not all after it, if the range end is present and empty", async () => {
      await restore(etcd);
      await etcd.call(KV.Put, { key: "p/a", value: "own" });
      const request = message(field(1, "a"), field(2, ""));
      const call = rewritten({ path: KV.Range.path, request })!;
      const [answer] = await send(etcd, [call]);
      const { kvs, count } = KV.Range.response.decode(answer!.bytes);
      expect([kvs.map(({ key }) => key), count]).toEqual([["p/a"], 1]);
    });
  },
);

/** Returns crafted calls that `change` lets through. */
function crafted(count: number, change: (call: Call) => Call | undefined): Call[] {
  const calls: Call[] = [];
  for (let i = 0; calls.length < count; i++) {
    const random = randomFrom(seed + i);
    const name = oneOf(random, UNARY);
    const request = randomRequest(random, name, true);
    if (isFatal(request)) continue;
    const call = change({ path: REQUEST_PATHS[name], request });
    if (call !== undefined) calls.push(call);
  }
  return calls;
}

/** A sort target that does not exist ends etcd 3.4: the field is 6 (0x30), the largest target 4. */
function isFatal(request: Buffer): boolean {
  return /30(?!0[0-4])/.test(request.toString("hex"));
}

function rewritten({ path, request }: Call): Call | undefined {
  try {
    return { path, request: namespace.rewriterOf(path)!.request!(request) };
  } catch (error) {
    if (error instanceof Rejection) return undefined;
    throw error;
  }
}

async function send(etcd: EtcdClient, calls: readonly Call[]) {
  const results = [];
  for (let from = 0; from < calls.length; from += WINDOW) {
    const window = calls.slice(from, from + WINDOW).map(async ({ path, request }) => {
      const { status, messages } = await etcd.grpc.unary(path, request);
      const bytes = Buffer.concat(messages.map((each) => each.bytes));
      return { request, status, bytes, answer: bytes.toString("latin1") };
    });
    results.push(...(await Promise.all(window)));
  }
  return results;
}

/** Leaves the foreign keys alone in the store. */
async function restore(etcd: EtcdClient): Promise<void> {
  await etcd.call(KV.DeleteRange, { key: "\0", rangeEnd: "\0" });
  for (const key of FOREIGN_KEYS) await etcd.call(KV.Put, { key, value: FOREIGN_VALUE });
}

/** The keys outside the namespace that have their value still, and any that do not belong there. */
async function foreignKeys(etcd: EtcdClient): Promise<string[]> {
  const { kvs } = await etcd.call(KV.Range, { key: "\0", rangeEnd: "\0" });
  return kvs
    .filter(({ key }) => !key.startsWith(PREFIX))
    .map(({ key, value, version }) =>
      value === FOREIGN_VALUE && version === 1 ? key : `${key} changed`,
    )
    .toSorted();
}
