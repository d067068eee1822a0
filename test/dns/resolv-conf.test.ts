import { describe, expect, test } from "bun:test";
import { DEFAULTS, parseResolvConf, type ResolverConfig } from "../../src/dns/resolv-conf.ts";

const at = (host: string) => ({ host, port: 53 });

describe("parseResolvConf()", () => {
  // Cases from Go's net/dnsconfig_unix_test.go and net/testdata, and our own.
  const rows: [text: string, expected: Partial<ResolverConfig>][] = [
    ["", {}],
    ["nameserver 8.8.8.8\n", { servers: [at("8.8.8.8")] }],
    ["nameserver\t2001:4860:4860::8888\n", { servers: [at("2001:4860:4860::8888")] }],
    ["nameserver fe80::1%lo0\r\n", { servers: [at("fe80::1%lo0")] }],
    ["nameserver dns.example.com\nnameserver 10.0.0.1 10.0.0.2", { servers: [at("10.0.0.1")] }],
    [
      [1, 2, 3, 4].map((n) => `nameserver 10.0.0.${n}`).join("\n"),
      { servers: [at("10.0.0.1"), at("10.0.0.2"), at("10.0.0.3")] },
    ],
    ["domain localdomain", { search: ["localdomain."] }],
    ["search test invalid.", { search: ["test.", "invalid."] }],
    ["search a.test\nsearch b.test", { search: ["b.test."] }],
    ["domain a.test\nsearch b.test c.test", { search: ["b.test.", "c.test."] }],
    ["search .", {}],
    ["search", {}],
    ["options ndots:5 timeout:10 attempts:3 rotate", { ndots: 5, timeoutMs: 10_000, attempts: 3, rotate: true }],
    ["options ndots:16 timeout:0 attempts:0", { ndots: 15, timeoutMs: 1000, attempts: 1 }],
    ["options ndots:-1 timeout:-2 attempts:-3", { ndots: 0, timeoutMs: 1000, attempts: 1 }],
    ["options ndots:x timeout:3s attempts:", { ndots: 0, timeoutMs: 3000, attempts: 1 }],
    ["options timeout:99999999999", { timeoutMs: 2 ** 31 - 1 }],
    ["options single-request", { singleRequest: true }],
    ["options single-request-reopen", { singleRequest: true }],
    ["options use-vc", { useTcp: true }],
    ["options usevc", { useTcp: true }],
    ["options tcp", { useTcp: true }],
    ["options trust-ad edns0 no-reload", { trustAd: true, noReload: true }],
    ["options inet6", { hasUnknownOption: true }],
    ["sortlist 10.0.0.0/8", { hasUnknownOption: true }],
    ["lookup file bind", {}],
    ["; options inet6\n# sortlist 1.2.3.4\n", {}],
    [" nameserver 10.0.0.1", { servers: [at("10.0.0.1")] }],
  ]; // prettier-ignore
  test.each(rows)("of %j sets %j", (text, expected) => {
    expect(parseResolvConf(text, "machine")).toEqual({ ...DEFAULTS, ...expected });
  });

  test("returns the defaults, with the servers of this machine, if the file cannot be read", () => {
    expect(parseResolvConf(undefined, "machine")).toEqual(DEFAULTS);
    expect(DEFAULTS.servers).toEqual([at("127.0.0.1"), at("::1")]);
    expect([DEFAULTS.timeoutMs, DEFAULTS.attempts, DEFAULTS.ndots]).toEqual([5000, 2, 1]);
  });

  test.each<[hostname: string, search: string[]]>([
    ["host", []],
    ["host.", []],
    ["host.local", ["local."]],
    ["host.a.test.", ["a.test."]],
  ])("uses the domain of the host name %p if there is no search list: %j", (hostname, search) => {
    expect(parseResolvConf("nameserver 10.0.0.1", hostname).search).toEqual(search);
  });
});
