// Random and crafted messages: each is rewritten or rejected, and whatever a server then reads
// in a request lies inside the namespace.
import { describe, expect, test } from "bun:test";
import { Rejection } from "../../../src/grpc-proxy/message-pipe.ts";
import { Namespace } from "../../../src/grpc-proxy/namespace/namespace.ts";
import {
  damaged,
  PRESENT_AND_EMPTY,
  randomRequest,
  type Range,
  rangesIn,
  REQUEST_NAMES,
  REQUEST_PATHS,
  type RequestName,
} from "../../support/etcd-requests.ts";
import { bytesOf, field, message, varintField } from "../../support/wire-format.ts";
import { fuzzWith, oneOf, type Random, seed } from "../../support/random-input.ts";

const COUNT = 5_000;

/** Prefixes, and the end of the keys with each. */
const PREFIXES: [prefix: string, end: string][] = [
  ["p/", "p0"],
  ["\xff\xff", "\0"],
  ["a\xff", "b"],
  ["k".repeat(200), `${"k".repeat(199)}l`],
];
const namespaces = new Map(
  PREFIXES.map(([prefix, end]) => {
    return [prefix, { prefix, end, namespace: new Namespace(bytesOf(prefix), { strict: true }) }];
  }),
);

interface Input {
  readonly name: RequestName;
  readonly prefix: string;
  readonly hex: string;
}

const inputFrom = (random: Random, isCrafted: boolean): Input => {
  const name = oneOf(random, REQUEST_NAMES);
  const [prefix] = oneOf(random, PREFIXES);
  return { name, prefix, hex: randomRequest(random, name, isCrafted).toString("hex") };
};

/** Returns the rewritten message, or its rejection; throws any other error. */
function attempt(rewrite: (bytes: Uint8Array) => Uint8Array, bytes: Uint8Array) {
  try {
    return rewrite(bytes);
  } catch (error) {
    if (error instanceof Rejection) return error;
    throw error;
  }
}

/** Returns the ranges, or undefined if etcd refuses the message as malformed. */
function readRanges(name: RequestName, bytes: Uint8Array): Range[] | undefined {
  try {
    return rangesIn(name, bytes);
  } catch (error) {
    if (typeof error === "string") return undefined;
    throw error;
  }
}

/** What etcd's proxy makes of a range. */
function intoNamespace([key, end]: Range, prefix: string, namespaceEnd: string): Range {
  if (end === "" || end === PRESENT_AND_EMPTY) return [prefix + key, ""];
  return [prefix + key, end === "\0" ? namespaceEnd : prefix + end];
}

function check({ name, prefix, hex }: Input): "rewritten" | "refused" | "malformed" {
  const { end, namespace } = namespaces.get(prefix)!;
  const bytes = Buffer.from(hex, "hex");
  const before = readRanges(name, bytes);
  const result = attempt(namespace.rewriterOf(REQUEST_PATHS[name])!.request!, bytes);
  expect(bytes.toString("hex")).toBe(hex);

  if (result instanceof Rejection) {
    const isEmptyKey = result.message === "etcdserver: key is not provided";
    if (!isEmptyKey) {
      expect(result.code).toBe(13);
      return "malformed";
    }
    expect([result.code, before?.[0]?.[0]]).toEqual([3, ""]);
    expect(["TxnRequest", "WatchRequest"]).not.toContain(name);
    return "refused";
  }
  // What etcd refuses because of a part that passes unopened, it refuses after the rewrite too.
  const after = readRanges(name, result);
  expect(after === undefined).toBe(before === undefined);
  expect(after).toEqual(before?.map((range) => intoNamespace(range, prefix, end)));
  return "rewritten";
}

describe(`${COUNT} random requests (FUZZ_SEED=${seed})`, () => {
  test.each([
    ["valid", false],
    ["crafted", true],
  ])("%s ones are rewritten to the same ranges inside the namespace", (_, isCrafted) => {
    const outcomes = { rewritten: 0, refused: 0, malformed: 0 };
    fuzzWith(
      COUNT,
      (random) => inputFrom(random, isCrafted),
      (input) => outcomes[check(input)]++,
    );
    expect(outcomes.rewritten).toBeGreaterThan(COUNT / 3);
    expect(outcomes.refused).toBeGreaterThan(COUNT / 100);
    if (isCrafted) expect(outcomes.malformed).toBeGreaterThan(COUNT / 100);
    else expect(outcomes.malformed).toBe(0);
  });

  test("noise is rewritten inside the namespace, or rejected", () => {
    fuzzWith(
      COUNT,
      (random): Input => {
        const noise = Buffer.from(Array.from({ length: random(12) }, () => random(256)));
        // A tag that is likely to be known.
        const bytes = random(2) === 0 ? noise : message(varintField(1, 0).subarray(0, 1), noise);
        return { name: oneOf(random, REQUEST_NAMES), prefix: "p/", hex: bytes.toString("hex") };
      },
      check,
    );
  });
});

describe(`${COUNT} random answers (FUZZ_SEED=${seed})`, () => {
  const pair = (random: Random) =>
    message(field(1, `p/${"k".repeat(random(200))}`), varintField(2, 5), field(5, "v"));
  const answers: Record<string, (random: Random) => Buffer> = {
    "/etcdserverpb.KV/Range": (random) => message(field(2, pair(random)), field(2, pair(random))),
    "/etcdserverpb.KV/RangeStream": (random) => field(1, field(2, pair(random))),
    "/etcdserverpb.KV/Put": (random) =>
      message(field(1, varintField(3, 9)), field(2, pair(random))),
    "/etcdserverpb.KV/DeleteRange": (random) => field(3, pair(random)),
    "/etcdserverpb.KV/Txn": (random) =>
      message(field(3, field(1, field(2, pair(random)))), field(3, field(4, field(3, field(2))))),
    "/etcdserverpb.Watch/Watch": (random) =>
      field(11, field(2, pair(random)), field(3, pair(random))),
    "/etcdserverpb.Lease/LeaseTimeToLive": (random) =>
      message(field(5, "p/a"), field(5, pair(random))),
    "/v3lockpb.Lock/Lock": () => field(2, "p/l/7"),
    "/v3electionpb.Election/Leader": (random) => field(2, pair(random)),
    "/v3electionpb.Election/Campaign": () => field(2, field(1, "p/e"), field(2, "p/e/7")),
  };

  test("damaged ones are rewritten or rejected with code 13, and never grow", () => {
    const { namespace } = namespaces.get("p/")!;
    const outcomes = { rewritten: 0, rejected: 0 };
    const make = (random: Random) => {
      const path = oneOf(random, Object.keys(answers));
      const whole = answers[path]!(random);
      return { path, hex: (random(8) === 0 ? whole : damaged(whole, random)).toString("hex") };
    };
    fuzzWith(COUNT, make, ({ path, hex }) => {
      const bytes = Buffer.from(hex, "hex");
      const result = attempt(namespace.rewriterOf(path)!.response!, bytes);
      if (result instanceof Rejection) {
        expect(result.code).toBe(13);
        outcomes.rejected++;
      } else {
        expect(result.length).toBeLessThanOrEqual(bytes.length);
        outcomes.rewritten++;
      }
    });
    expect(Math.min(outcomes.rewritten, outcomes.rejected)).toBeGreaterThan(COUNT / 10);
  });
});
