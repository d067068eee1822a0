import { describe, expect, test } from "bun:test";
import { HeaderRules } from "../../src/http2/header-rules.ts";
import type { HeaderList } from "../../src/http2/header-list.ts";
import { fuzzWith, oneOf, seed } from "../support/random-input.ts";
import { REQUEST, RESPONSE, TRAILERS } from "./raw-peer.ts";

const requestFault = (list: HeaderList) => new HeaderRules().requestFault(list);
const responseFault = (list: HeaderList) => new HeaderRules().responseFault(list);
const trailersFault = (list: HeaderList) => new HeaderRules().trailersFault(list);

describe("requestFault()", () => {
  test.each<[string, HeaderList, string | undefined]>([
    ["a gRPC request", REQUEST, undefined],
    ["a request without :authority", REQUEST.filter((_, i) => i !== 6 && i !== 7), undefined],
    ["te: trailers", [...REQUEST, "te", "trailers"], undefined],
    ["visible ASCII in a name", [...REQUEST, "!#$%&'*+-.^_`|~09az", "1"], undefined],
    ["bytes above ASCII in a value", [...REQUEST, "x", "\u00ff\u0080"], undefined],
    ["a tab within a value", [...REQUEST, "x", "a\tb"], undefined],
    ["an empty value", [...REQUEST, "x", ""], undefined],
    ["an empty path", [":method", "GET", ":scheme", "http", ":path", ""], ":path is empty"],
    ["no fields", [], ":method is missing"],
    ["no path", [":method", "CONNECT", ":authority", "a:1"], ":scheme is missing"],
    [
      "an unknown pseudo-header",
      [":protocol", "websocket", ...REQUEST],
      ":protocol is not allowed here",
    ],
    ["a colon alone", [":", "1", ...REQUEST], ": is not allowed here"],
    ["a colon within a name", [...REQUEST, "a:b", "1"], "a field name is invalid"],
    ["an empty name", [...REQUEST, "", "1"], "a field name is invalid"],
    ["a space in a name", [...REQUEST, "a b", "1"], "a field name is invalid"],
    ["a byte above ASCII in a name", [...REQUEST, "a\u0080", "1"], "a field name is invalid"],
    ["a zero byte in a value", [...REQUEST, "x", "\0"], "the value of x is invalid"],
    [
      "a line feed in :path",
      [":method", "GET", ":scheme", "http", ":path", "/\n"],
      "the value of :path is invalid",
    ],
    ["a space before a value", [...REQUEST, "x", " 1"], "the value of x is invalid"],
    ["a tab after a value", [...REQUEST, "x", "1\t"], "the value of x is invalid"],
    [
      "transfer-encoding",
      [...REQUEST, "transfer-encoding", "chunked"],
      "transfer-encoding is not allowed",
    ],
    ["keep-alive", [...REQUEST, "keep-alive", "1"], "keep-alive is not allowed"],
    [
      "proxy-connection",
      [...REQUEST, "proxy-connection", "close"],
      "proxy-connection is not allowed",
    ],
    ["upgrade", [...REQUEST, "upgrade", "h2c"], "upgrade is not allowed"],
    ["te: trailers, gzip", [...REQUEST, "te", "trailers, gzip"], "te is not trailers"],
  ])("returns for %s what is wrong", (_, list, fault) => {
    expect(requestFault(list)).toBe(fault as string);
  });
});

describe("responseFault() and trailersFault()", () => {
  test.each<[string, string | undefined, string | undefined]>([
    ["a response", responseFault(RESPONSE), undefined],
    ["a response without :status", responseFault(["x", "1"]), ":status is missing"],
    [
      "a second :status",
      responseFault([...RESPONSE.slice(0, 2), ...RESPONSE]),
      ":status is not allowed here",
    ],
    [
      "a response with :path",
      responseFault([":path", "/", ...RESPONSE]),
      ":path is not allowed here",
    ],
    ["trailers", trailersFault(TRAILERS), undefined],
    ["no trailers", trailersFault([]), undefined],
    ["trailers with :status", trailersFault([":status", "200"]), ":status is not allowed here"],
  ])("return for %s what is wrong", (_, fault, expected) => {
    expect(fault).toBe(expected as string);
  });
});

describe("any header list", () => {
  test(`that is accepted has neither line breaks nor connection fields (FUZZ_SEED=${seed})`, () => {
    const names = [
      ":method",
      ":path",
      ":scheme",
      ":status",
      "x",
      "te",
      "connection",
      "\r",
      "",
      "X",
    ];
    const values = ["", "1", "trailers", "\n", "a\rb", "\0", "\u00ff", " ", "chunked"];
    let accepted = 0;
    fuzzWith(
      20_000,
      (random) => [
        ...(random(2) === 0 ? REQUEST : []),
        ...Array.from({ length: random(4) }, () => [
          oneOf(random, names),
          oneOf(random, values),
        ]).flat(),
      ],
      (list) => {
        if (requestFault(list) !== undefined) return;
        accepted++;
        expect(list.join("|")).not.toMatch(/[\0\r\n]|connection|:status/);
        for (const name of [":method", ":scheme", ":path"])
          expect(list.filter((text, i) => i % 2 === 0 && text === name)).toHaveLength(1);
      },
    );
    expect(accepted).toBeGreaterThan(1000);
  });
});
