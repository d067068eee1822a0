// Our namespace compared with etcd's on recorded messages. test/e2e/namespace-oracle.test.ts
// compares both on random ones, where Go is installed.
import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { compareCase, type Outcome, parseCases } from "../../support/namespace-cases.ts";

// Printed by test/grpc-proxy/namespace-oracle: go run . cases 1 300
const VECTORS = fileURLToPath(new URL("../namespace-oracle/vectors.jsonl", import.meta.url));

test("the namespace gives the bytes of 300 recorded messages of etcd's client/v3/namespace", async () => {
  const cases = parseCases(await Bun.file(VECTORS).text());
  const counts: Partial<Record<Outcome, number>> = {};
  for (const [i, each] of cases.entries()) {
    try {
      const outcome = compareCase(each);
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    } catch (error) {
      throw new Error(`line ${i + 1} of vectors.jsonl, ${each.path} ${each.direction}`, {
        cause: error,
      });
    }
  }
  expect(counts).toEqual({ identical: 290, "exact end": 8, "empty key": 2 });
});
