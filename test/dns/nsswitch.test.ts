import { describe, expect, test } from "bun:test";
import { lookupOrder, type OrderFacts, parseNsswitch } from "../../src/dns/nsswitch.ts";

describe("parseNsswitch()", () => {
  test.each<[text: string, expected: string[] | undefined]>([
    ["", []],
    ["passwd: files\n", []],
    ["hosts: files dns", ["files", "dns"]],
    ["  hosts:\tfiles   dns # comment\npasswd: compat", ["files", "dns"]],
    ["hosts: files\nhosts: dns", ["files", "dns"]],
    ["hosts: mdns4_minimal [NOTFOUND=return] dns", ["mdns4_minimal", "dns"]],
    ["hosts: dns [!UNAVAIL=return] files", ["dns!", "files"]],
    ["hosts: dns [SUCCESS=return NOTFOUND=continue UNAVAIL=continue TRYAGAIN=return] files", ["dns", "files"]],
    ["hosts: dns [NOTFOUND=return SUCCESS=return]", ["dns!"]],
    ["hosts: dns [SUCCESS=continue]", ["dns!"]],
    ["hosts: dns [FOO=return]", ["dns!"]],
    ["hosts files", undefined],
    ["hosts: files [NOTFOUND=return", undefined],
    ["hosts: files [x]", undefined],
    ["hosts: files [ab=]", ["files!"]],
    ["hosts: files [NOTFOUND]", undefined],
  ])("of %j is %p", (text, expected) => {
    const sources = parseNsswitch(text);
    // An exclamation mark stands for a source with criteria that change its default.
    expect(sources?.map(({ name, isStandard }) => `${name}${isStandard ? "" : "!"}`)).toEqual(
      expected as string[],
    );
  }); // prettier-ignore
});

describe("lookupOrder()", () => {
  const facts = (text: string | undefined, more: Partial<OrderFacts> = {}): OrderFacts => ({
    sources: text === undefined ? undefined : (parseNsswitch(text) ?? "malformed"),
    hostname: "machine",
    hasMdnsAllow: false,
    ...more,
  });

  // Cases from Go's net/conf_test.go for Linux with cgo, and our own.
  test.each<[text: string | undefined, host: string, expected: string]>([
    [undefined, "google.com", "files dns"],
    ["", "google.com", "files dns"],
    ["passwd: files", "google.com", "files dns"],
    ["hosts: dns files", "x.com", "dns files"],
    ["hosts: files dns", "x.com", "files dns"],
    ["hosts: dns", "x.com", "dns"],
    ["hosts: files", "x.com", "files"],
    ["hosts: files something", "x.com", "system"],
    ["hosts: something", "x.com", "system"],
    ["hosts: files resolve [!UNAVAIL=return] dns", "x.com", "system"],
    ["hosts: files mymachines dns", "x.com", "system"],
    ["hosts: nis files dns", "x.com", "system"],
    ["hosts: files dns files", "x.com", "files dns"],
    ["hosts: dns [!UNAVAIL=return] files", "x.com", "system"],
    ["hosts: files [NOTFOUND=return] dns", "x.com", "files dns"],
    ["hosts: files mdns4_minimal [NOTFOUND=return] dns mdns4", "google.com", "files dns"],
    ["hosts: files mdns4_minimal [NOTFOUND=return] dns mdns4", "foo.local", "system"],
    ["hosts: files mdns4_minimal [NOTFOUND=return] dns mdns4", "foo.LOCAL.", "system"],
    ["hosts: files dns mdns4", "local", "files dns"],
    ["hosts: files mdns4", "x.com", "files"],
    ["hosts: mdns4", "x.com", "system"],
    ["hosts: files dns myhostname", "x.com", "files dns"],
    ["hosts: files dns myhostname", "machine", "system"],
    ["hosts: files dns myhostname", "MACHINE.", "system"],
    ["hosts: files dns myhostname", "localhost", "system"],
    ["hosts: files dns myhostname", "a.localhost.localdomain", "system"],
    ["hosts: files dns myhostname", "notlocalhost", "files dns"],
    ["hosts: files dns myhostname", "_gateway", "system"],
    ["hosts: files dns myhostname", "_outbound", "system"],
    ["hosts: files dns", "a\\b", "system"],
    ["hosts: files dns", "fe80::1%lo", "system"],
    ["hosts files", "x.com", "system"],
  ])("of %p for %p is %p", (text, host, expected) => {
    expect(lookupOrder(host, facts(text))).toBe(expected as "system");
  });

  test("is `system` for every name if mdns.allow exists and mdns is a source", () => {
    const more = { hasMdnsAllow: true };
    expect(lookupOrder("x.com", facts("hosts: files mdns4 dns", more))).toBe("system");
    expect(lookupOrder("x.com", facts("hosts: files dns", more))).toBe("files dns");
  });

  test("is `system` if the name of the machine is unknown and myhostname is a source", () => {
    const unknown = facts("hosts: files myhostname", { hostname: undefined });
    expect(lookupOrder("x.com", unknown)).toBe("system");
  });
});
