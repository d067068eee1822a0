import { describe, expect, test } from "bun:test";
import { requestHeaders, responseHeaders, valuesOf } from "../../src/http-proxy/headers.ts";

const forwarded = { client: "10.0.0.9", hopId: "id", framing: "none", isLast: false } as const;
const OWN = ["X-Forwarded-For", "10.0.0.9", "X-Etcd-Gateway-Hop", "id", "Connection", "keep-alive"];

describe("requestHeaders()", () => {
  test("keeps names, case, order and duplicates", () => {
    const headers = ["Host", "h", "A", "1", "a", "2", "Authorization", "t"];
    expect(requestHeaders(headers, forwarded)).toEqual([...headers, ...OWN]);
  });

  test.each([
    ["Connection", "x-y"],
    ["Keep-Alive", "1"],
    ["Proxy-Authenticate", "1"],
    ["Proxy-Authorization", "1"],
    ["Proxy-Connection", "1"],
    ["TE", "trailers"],
    ["Trailer", "X"],
    ["Trailers", "X"],
    ["Transfer-Encoding", "chunked"],
    ["Upgrade", "h2c"],
    ["Expect", "100-continue"],
  ])("leaves out %s", (name, value) => {
    expect(requestHeaders([name, value], forwarded)).toEqual(OWN);
  });

  test("leaves out what Connection names, except for Host and the length", () => {
    const headers = ["Connection", "X-A, close", "X-A", "1", "Connection", "x-b,host", "X-B", "2"];
    expect(requestHeaders([...headers, "Host", "h"], forwarded)).toEqual(["Host", "h", ...OWN]);
  });

  test.each([
    [[], "10.0.0.9"],
    [["1.1.1.1"], "1.1.1.1, 10.0.0.9"],
    [["1.1.1.1, 2.2.2.2"], "1.1.1.1, 2.2.2.2, 10.0.0.9"],
    [["1.1.1.1", "2.2.2.2"], "1.1.1.1, 2.2.2.2, 10.0.0.9"],
  ])("appends the client to X-Forwarded-For %j", (before, after) => {
    const headers = before.flatMap((value) => ["x-forwarded-for", value]);
    expect(valuesOf(requestHeaders(headers, forwarded), "x-forwarded-for")).toEqual([after]);
  });

  test("frames the body once", () => {
    const headers = ["Content-Length", "7", "Transfer-Encoding", "chunked"];
    const sent = requestHeaders(headers, { ...forwarded, framing: { length: 5 } });
    expect(valuesOf(sent, "content-length")).toEqual(["5"]);
    expect(valuesOf(sent, "transfer-encoding")).toEqual([]);
    const chunked = requestHeaders(headers, { ...forwarded, framing: "chunked" });
    expect(valuesOf(chunked, "content-length")).toEqual([]);
    expect(valuesOf(chunked, "transfer-encoding")).toEqual(["chunked"]);
  });

  test("keeps the hop of another proxy", () => {
    const headers = ["X-Etcd-Gateway-Hop", "other"];
    expect(valuesOf(requestHeaders(headers, forwarded), "x-etcd-gateway-hop")).toEqual([
      "other",
      "id",
    ]);
  });
});

describe("responseHeaders()", () => {
  test("keeps duplicates and leaves out hop-by-hop headers", () => {
    const headers = ["Set-Cookie", "a", "Set-Cookie", "b", "Connection", "X-C", "X-C", "1"];
    expect(responseHeaders(headers, false)).toEqual(["Set-Cookie", "a", "Set-Cookie", "b"]);
  });

  test("says if the connection closes", () => {
    expect(responseHeaders(["A", "1"], true)).toEqual(["A", "1", "Connection", "close"]);
  });
});
