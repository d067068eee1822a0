import { describe, expect, test } from "bun:test";
import { isDomainName, searchNames } from "../../src/dns/domain-name.ts";

const long = (length: number) => "a.".repeat(200).slice(0, length);

describe("isDomainName()", () => {
  // Cases from Go's net/dnsname_test.go, and our own.
  test.each<[name: string, expected: boolean]>([
    ["foo.com", true],
    ["foo.com.", true],
    ["1foo.com", true],
    ["26.0.0.73.com", true],
    ["10-0-0-1", true],
    ["fo-o.com", true],
    ["fo1o.com", true],
    ["a.b.c.com", true],
    ["a.b-.com", false],
    ["a.b.com", true],
    ["a.b..", false],
    ["a.b.com..", false],
    [".", true],
    ["", false],
    [".foo.com", false],
    ["_etcd-client._tcp.a.test", true],
    ["-foo.com", false],
    ["foo-.com", false],
    ["10.0.0.1", false],
    ["1", false],
    ["a b.com", false],
    ["ü.com", false],
    [`${"a".repeat(63)}.com`, true],
    [`${"a".repeat(64)}.com`, false],
    [long(253), true],
    [`${long(253)}.`, true],
    [`${long(253)}b`, false],
    [`${long(253)}b.`, false],
  ])("of %p is %p", (name, expected) => {
    expect(isDomainName(name)).toBe(expected);
  });
});

describe("searchNames()", () => {
  const rows: [name: string, ndots: number, search: string[], expected: string[]][] = [
    ["a", 1, [], ["a."]],
    ["a", 1, ["x.test."], ["a.x.test.", "a."]],
    ["a.b", 1, ["x.test."], ["a.b.", "a.b.x.test."]],
    ["a.b", 2, ["x.test.", "y.test."], ["a.b.x.test.", "a.b.y.test.", "a.b."]],
    ["a.b.c", 2, ["x.test."], ["a.b.c.", "a.b.c.x.test."]],
    ["a", 0, ["x.test."], ["a.", "a.x.test."]],
    ["a.", 5, ["x.test."], ["a."]],
    ["a.b.", 1, ["x.test."], ["a.b."]],
    ["a.onion", 1, ["x.test."], ["a.onion.x.test."]],
    ["a", 1, ["onion."], ["a."]],
    ["a.onion.", 1, ["x.test."], []],
    [long(253), 1, ["x.test."], [`${long(253)}.`]],
    [long(245), 1, ["x.test.", "y."], [`${long(245)}.`, `${long(245)}.x.test.`, `${long(245)}.y.`]],
    [long(247), 1, ["x.test.", "y."], [`${long(247)}.`, `${long(247)}.y.`]],
    [`${long(253)}b`, 1, [], []],
    // Suffixes that no message can hold.
    ["a", 1, ["b..c.", ".b.", `${"x".repeat(64)}.`, `${"ü".repeat(32)}.`, "y.test."], ["a.y.test.", "a."]],
    ["a", 1, [`${"ü".repeat(31)}.`], [`a.${"ü".repeat(31)}.`, "a."]],
    ["aa", 1, [`${"ü".repeat(31)}.`.repeat(4)], ["aa."]],
  ]; // prettier-ignore
  test.each(rows)(
    "of %p with ndots %d and the search list %j is %j",
    (name, ndots, search, expected) => {
      expect(searchNames(name, { ndots, search })).toEqual(expected);
    },
  );
});
