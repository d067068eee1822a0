// Lines about an endpoint that stays down: how many there are.
import { describe, expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { DialError } from "../../src/net/dial-error.ts";
import { createLog } from "../../src/observe/log.ts";
import { ClusterLog } from "../../src/resolver/cluster-log.ts";
import { Endpoint } from "../../src/resolver/endpoint.ts";

function setUp(stillDownMs: number) {
  const lines: string[] = [];
  const log = createLog({
    ...{ level: "info", format: "json", write: () => true, now: () => 0 },
    onRecord: ({ msg, fields }) => lines.push(`${msg.split(" ")[0]} ${String(fields["error"])}`),
  });
  const clusterLog = new ClusterLog(log, () => 1000, stillDownMs);
  const endpoint = new Endpoint(parseStaticEndpoint("a:1"));
  const fail = (operation: string, code: string) =>
    clusterLog.stillDown(endpoint, new DialError(operation, code));
  clusterLog.deactivated(endpoint, new DialError("dial a", "refused"));
  lines.length = 0;
  return { fail, lines };
}

describe("ClusterLog", () => {
  test("stillDown() logs each failure without a period", () => {
    const { fail, lines } = setUp(0);
    for (let i = 0; i < 3; i++) fail("dial a", "refused");
    expect(lines).toEqual(Array(3).fill("failed dial a: refused"));
  });

  test("stillDown() logs one failure in a period, unless the reason changes", () => {
    const { fail, lines } = setUp(4000);
    for (let i = 0; i < 5; i++) fail("dial a", "refused");
    expect(lines).toEqual(Array(2).fill("failed dial a: refused"));
    lines.length = 0;

    for (let i = 0; i < 5; i++) fail("dial a", "expired");
    expect(lines).toEqual(Array(2).fill("failed dial a: expired"));
  });

  test("stillDown() does not take another address for another reason", () => {
    const { fail, lines } = setUp(60_000);
    for (let i = 0; i < 10; i++) fail(`dial 10.0.0.${i % 2}`, "refused");
    expect(lines).toHaveLength(1);
  });
});
