import { describe, expect, test } from "bun:test";
import { ruleOf } from "../../src/http-proxy/rules.ts";

describe("ruleOf()", () => {
  test.each([
    // method, target, access, isSafe, isWait
    ["GET", "/v2/keys", "read", true, false],
    ["GET", "/v2/keys/a/b?recursive=true", "read", true, false],
    ["HEAD", "/v2/keys/a", "read", true, false],
    ["OPTIONS", "/v2/keys/a", "read", true, false],
    ["GET", "/v2/keys/a?wait=true", "read", false, true],
    ["GET", "/v2/keys/a?w%61it=1", "read", false, true],
    ["GET", "/v2/keys/a?wait=false", "read", true, false],
    ["GET", "/v2/keys/a?stream=true", "read", false, true],
    ["PUT", "/v2/keys/a", "other", false, false],
    ["POST", "/v2/keys/a", "other", false, false],
    ["DELETE", "/v2/keys/a", "other", false, false],
    ["GET", "/v2/auth/users", "other", true, false],
    ["GET", "/v2/%61uth/users", "other", true, false],
    ["GET", "/v2/keys/../auth/users", "other", true, false],
    ["GET", "/v2/keys/%2e%2e/auth/users", "other", true, false],
    ["GET", "/v2/keysx", "other", true, false],
    ["GET", "/debug/pprof/profile", "other", true, false],
    ["GET", "/version", "read", true, false],
    ["POST", "/v3/kv/range", "read", true, false],
    ["POST", "/v3alpha/kv/range", "read", true, false],
    ["POST", "/v3beta/kv/range", "read", true, false],
    ["POST", "/v3gamma/kv/range", "other", false, false],
    ["POST", "/v3/kv/%72ange", "read", true, false],
    ["GET", "/v3/kv/range", "other", false, false],
    ["POST", "/v3/kv/put", "other", false, false],
    ["POST", "/v3/kv/%70ut", "other", false, false],
    ["POST", "/v3/kv/range/", "other", false, false],
    ["POST", "/v3/kv/Range", "other", false, false],
    ["POST", "/v3/kv/range\n", "other", false, false],
    ["POST", "/v3/kv/txn", "txn", false, false],
    ["POST", "/v3/watch", "read", false, true],
    ["POST", "/v3/election/observe", "read", false, true],
    ["POST", "/v3/lease/timetolive", "read", true, false],
    ["POST", "/v3/kv/lease/timetolive", "read", true, false],
    ["POST", "/v3/kv/lease/revoke", "other", false, false],
    ["POST", "/v3/lease/keepalive", "other", false, true],
    ["POST", "/v3/maintenance/snapshot", "other", false, true],
    ["POST", "/v3/auth/authenticate", "read", true, false],
    ["POST", "/v3/auth/user/list", "other", false, false],
    ["OPTIONS", "/v3/kv/put", "read", true, false],
    ["POST", "/", "other", false, false],
  ] as const)("%s %s", (method, target, access, isSafe, isWait) => {
    expect(ruleOf(method, target)).toMatchObject({ access, isSafe, isWait });
  });

  test.each(["/v2//keys", "/v2/./keys", "/a/..", "/%zz", "/a%00", "/%c0%af", "*"])(
    "has no path for %s",
    (target) => expect(ruleOf("GET", target).path).toBeUndefined(),
  );

  test("decodes a path once", () => {
    expect(ruleOf("GET", "/v2/keys/%2561").path).toBe("/v2/keys/%61");
  });
});
