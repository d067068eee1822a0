import { describe, expect, test } from "bun:test";
import { isReadOnlyTxn } from "../../src/http-proxy/read-only-txn.ts";

const RANGE = '{"requestRange":{"key":"YQ=="}}';
const PUT = '{"requestPut":{"key":"YQ==","value":"Yg=="}}';

const isReadOnly = (text: string) => isReadOnlyTxn(Buffer.from(text));

describe("isReadOnlyTxn()", () => {
  test.each([
    "{}",
    `{"success":[${RANGE}]}`,
    `{"compare":[{"key":"YQ==","result":"EQUAL"}],"success":[${RANGE}],"failure":[${RANGE}]}`,
    '{"success":[{"request_range":{"key":"YQ=="}}]}',
  ])("is true for %s", (text) => expect(isReadOnly(text)).toBe(true));

  test.each([
    "",
    "null",
    "[]",
    "1",
    `{"success":[${PUT}]}`,
    `{"failure":[${PUT}]}`,
    `{"success":[${RANGE},${PUT}]}`,
    '{"success":[{"request_put":{}}]}',
    '{"success":[{"requestDeleteRange":{}}]}',
    `{"success":[{"requestTxn":{"success":[${RANGE}]}}]}`,
    `{"success":[{"requestRange":{},"requestPut":{}}]}`,
    '{"success":[{"requestRange":null}]}',
    '{"success":[{}]}',
    '{"success":[null]}',
    `{"success":${RANGE}}`,
    `{"Success":[${PUT}]}`,
    `{"success":[${PUT}],"success":[${RANGE}]}`,
    `{"success":[${RANGE}],"success":[${PUT}]}`,
    `{"\\u0073uccess":[${PUT}],"success":[${RANGE}]}`,
    `{"success":[${RANGE}]}{"success":[${PUT}]}`,
    `\ufeff{"success":[${RANGE}]}`,
  ])("is false for %s", (text) => expect(isReadOnly(text)).toBe(false));

  test("is false for bytes that are not UTF-8", () => {
    expect(isReadOnlyTxn(Uint8Array.of(0x7b, 0xff, 0x7d))).toBe(false);
  });
});
