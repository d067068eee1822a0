// Our namespace compared with etcd's client/v3/namespace on random messages, and what etcd's
// two protobuf decoders read in crafted ones. Skipped, with a line that says so, if Go is not
// installed or cannot fetch etcd's client; test/grpc-proxy/namespace/vectors.test.ts then
// compares recorded messages alone.
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Rejection } from "../../src/grpc-proxy/message-pipe.ts";
import { Namespace } from "../../src/grpc-proxy/namespace/namespace.ts";
import {
  PRESENT_AND_EMPTY,
  randomRequest,
  type Range,
  REQUEST_NAMES,
  REQUEST_PATHS,
} from "../support/etcd-requests.ts";
import { compareCase, DIFFERENCES, type Outcome, parseCases } from "../support/namespace-cases.ts";
import { bytesOf } from "../support/wire-format.ts";
import { oneOf, randomFrom, seed } from "../support/random-input.ts";

setDefaultTimeout(180_000);

const COUNT = 10_000;

/** Prefixes, and the end of the keys with each. */
const PREFIXES: [prefix: string, end: string][] = [
  ["p/", "p0"],
  ["\xff\xff", "\0"],
  ["a\xff", "b"],
];

/** What one decoder reads in a request. */
interface Reading {
  readonly error: string;
  readonly ranges: [key: string | null, end: string | null][] | null;
}

const folder = await mkdtemp(join(tmpdir(), "etcd-gateway-go-"));
const oracle = await buildOracle();

afterAll(() => rm(folder, { recursive: true, force: true }));

describe.skipIf(oracle === undefined)(`the namespace, FUZZ_SEED=${seed},`, () => {
  test(`gives the bytes of client/v3/namespace for ${COUNT} random messages`, async () => {
    const cases = parseCases(await runOracle(["cases", String(seed), String(COUNT)]));
    expect(cases.length).toBe(COUNT);
    const counts: Partial<Record<Outcome, number>> = {};
    for (const [i, each] of cases.entries()) {
      try {
        const outcome = compareCase(each);
        counts[outcome] = (counts[outcome] ?? 0) + 1;
      } catch (error) {
        throw new Error(`case ${i} of ${seed}: ${JSON.stringify(each)}`, { cause: error });
      }
    }
    expect(counts.identical).toBeGreaterThan(COUNT * 0.8);
    expect(Object.keys(counts).toSorted()).toEqual(
      ["identical", ...Object.keys(DIFFERENCES)].toSorted(),
    );
  });

  test(`keeps what both decoders of etcd read in ${COUNT} crafted requests inside itself`, async () => {
    const requests = craftedRequests();
    const lines = requests.map(({ name, bytes }) => `${name} ${bytes.toString("base64")}\n`);
    const output = (await runOracle(["ranges"], lines.join(""))).trim().split("\n");
    expect(output.length).toBe(requests.length);
    let ranges = 0;
    for (const [i, { prefix, end, bytes }] of requests.entries()) {
      const { gogo, go } = JSON.parse(output[i]!) as { gogo: Reading; go: Reading };
      const read = [rangesOf(gogo), rangesOf(go)];
      const outside = read.flat().filter(([from, to]) => !isInside(from, to, prefix, end));
      const what = `FUZZ_SEED=${seed}, ${bytes.toString("hex")} is read as ${JSON.stringify(read)}`;
      if (outside.length > 0) throw new Error(what);
      // Each refuses some values that pass unopened and that the other accepts.
      const isReadByBoth = gogo.error === "" && go.error === "";
      if (isReadByBoth && !Bun.deepEquals(read[0], read[1])) throw new Error(what);
      ranges += read.flat().length;
    }
    expect(ranges).toBeGreaterThan(COUNT);
  });
});

/** Crafted requests after the rewrite. */
function craftedRequests() {
  const rewritten = [];
  for (let i = 0; rewritten.length < COUNT; i++) {
    const random = randomFrom(seed + i);
    const name = oneOf(random, REQUEST_NAMES);
    const [prefix, end] = oneOf(random, PREFIXES);
    const rewrite = new Namespace(bytesOf(prefix)).rewriterOf(REQUEST_PATHS[name])!.request!;
    try {
      const bytes = Buffer.from(rewrite(randomRequest(random, name, true)));
      rewritten.push({ name, prefix, end, bytes });
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
    }
  }
  return rewritten;
}

function isInside(key: string, rangeEnd: string, prefix: string, namespaceEnd: string): boolean {
  if (!key.startsWith(prefix)) return false;
  return rangeEnd === "" || rangeEnd === namespaceEnd || rangeEnd.startsWith(prefix);
}

const rangesOf = ({ ranges }: Reading): Range[] =>
  (ranges ?? []).map(([key, end]) => [latin1(key), end === "" ? PRESENT_AND_EMPTY : latin1(end)]);

const latin1 = (base64: string | null) => Buffer.from(base64 ?? "", "base64").toString("latin1");

/** Builds the Go program. Returns its path, or undefined after a line that says why not. */
async function buildOracle(): Promise<string | undefined> {
  const go = Bun.which("go");
  if (go === null) return skipped("go is not installed");
  const program = join(folder, "namespace-oracle");
  const build = Bun.spawn([go, "build", "-o", program, "."], {
    cwd: fileURLToPath(new URL("../grpc-proxy/namespace-oracle", import.meta.url)),
    env: { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "-buildvcs=false" },
    stderr: "pipe",
    timeout: 170_000,
  });
  const errors = await new Response(build.stderr).text();
  return (await build.exited) === 0 ? program : skipped(`go build failed: ${errors}`);
}

function skipped(why: string): undefined {
  console.log(`SKIPPED: the comparison with etcd's client/v3/namespace, since ${why}`);
}

async function runOracle(words: readonly string[], input = ""): Promise<string> {
  const process = Bun.spawn([oracle!, ...words], {
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "inherit",
    timeout: 60_000,
  });
  const text = await new Response(process.stdout).text();
  expect(await process.exited).toBe(0);
  return text;
}
