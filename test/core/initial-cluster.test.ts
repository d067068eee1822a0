import { describe, expect, test } from "bun:test";
import { labelOf } from "../../src/core/endpoint-spec.ts";
import {
  parseHostWhitelist,
  parseInitialCluster,
  parseListenClientUrl,
  parseMilliseconds,
} from "../../src/core/initial-cluster.ts";

describe("parseInitialCluster()", () => {
  test("returns the URLs, several of a name too", () => {
    const text = "m1=http://10.0.1.10:2380,m2=http://[fd00::1]:2380/,m1=http://h:1";
    expect(parseInitialCluster(text).map(labelOf)).toEqual([
      "10.0.1.10:2380",
      "[fd00::1]:2380",
      "h:1",
    ]);
  });

  test.each([
    ["", "no peer URL in it"],
    ["http://h:1", '"http://h:1": not NAME=URL'],
    ["=http://h:1", '"=http://h:1": not NAME=URL'],
    ["a=h:1", '"h:1": not a URL such as http://10.0.1.10:2380'],
    ["a=http://h:1/path", '"http://h:1/path": not a URL such as http://10.0.1.10:2380'],
    ["a=https://h:1", '"https://h:1": TLS is not supported by the HTTP proxy'],
    ["a=http://h", "missing port"],
  ])("refuses %j", (text, fact) => {
    expect(() => parseInitialCluster(text)).toThrow(new RangeError(fact));
  });
});

describe("parseListenClientUrl()", () => {
  test("returns the address", () => {
    expect(parseListenClientUrl("http://0.0.0.0:22379")).toEqual({ host: "0.0.0.0", port: 22379 });
  });

  test.each([
    ["http://a:1,http://b:1", "more than one URL"],
    ["https://a:1", "TLS is not supported by the HTTP proxy"],
    ["a:1", "not a URL such as http://127.0.0.1:2379"],
    ["unix:///a", "not a URL such as http://127.0.0.1:2379"],
  ])("refuses %j", (text, fact) => {
    expect(() => parseListenClientUrl(text)).toThrow(new RangeError(fact));
  });
});

test("parseMilliseconds() takes no unit", () => {
  expect(parseMilliseconds("30000")).toBe(30_000);
  expect(() => parseMilliseconds("5s")).toThrow("without a unit");
  expect(() => parseMilliseconds("-1")).toThrow("without a unit");
});

test("parseHostWhitelist() takes names and addresses without ports; * is all", () => {
  expect(parseHostWhitelist("localhost, A.example,::1")).toEqual(["localhost", "a.example", "::1"]);
  expect(parseHostWhitelist("a,*")).toEqual([]);
  expect(() => parseHostWhitelist("a:1")).toThrow('"a:1" is not a host name without a port');
  expect(() => parseHostWhitelist("")).toThrow("is not a host name");
});
