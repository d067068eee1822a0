import { describe, expect, test } from "bun:test";
import {
  formatHostPort,
  isDnsName,
  parseEndpoint,
  parseListenAddress,
} from "../../src/core/address.ts";

describe("parseEndpoint()", () => {
  const accepted: [text: string, label: string][] = [
    ["127.0.0.1:2379", "127.0.0.1:2379"],
    ["etcd-0:2379", "etcd-0:2379"],
    ["etcd-0.etcd.default.svc.cluster.local:2379", "etcd-0.etcd.default.svc.cluster.local:2379"],
    ["etcd.example.com.:2379", "etcd.example.com.:2379"],
    ["my_etcd:1", "my_etcd:1"],
    ["h:65535", "h:65535"],
    [" h:2379 ", "h:2379"],
    ["h:02379", "h:2379"],
    ["http://h:2379", "h:2379"],
    ["https://h:2379", "h:2379"],
    ["HTTPS://h:2379", "h:2379"],
    ["http://h:2379/", "h:2379"],
    ["http://h:2379/path?query#fragment", "h:2379"],
    ["http://user:secret@h:2379", "h:2379"],
    ["[::1]:2379", "[::1]:2379"],
    ["http://[::1]:2379/v3", "[::1]:2379"],
    ["[fe80::1%eth0]:2379", "[fe80::1%eth0]:2379"],
    ["[fe80::1%2]:2379", "[fe80::1%2]:2379"],
    ["http://[fe80::1%25eth0]:2379", "[fe80::1%eth0]:2379"],
    ["[::ffff:10.0.0.1]:2379", "[::ffff:10.0.0.1]:2379"],
  ];
  test.each(accepted)("parses %p as %p", (text, label) => {
    expect(formatHostPort(parseEndpoint(text))).toBe(label);
  });

  const rejected: [text: string, fact: string][] = [
    ["", "missing port"],
    ["h", "missing port"],
    ["127.0.0.1", "missing port"],
    ["http://h", "missing port"],
    ["h:", "missing port"],
    ["[::1]", "missing port"],
    ["[::1]:", "missing port"],
    [":2379", "missing host"],
    ["http://:2379", "missing host"],
    ["::1", "an IPv6 address needs brackets and a port"],
    ["fe80::1:2379", "an IPv6 address needs brackets and a port"],
    ["a:b:c", "too many colons; an IPv6 address needs brackets"],
    ["h:0", "port 0 is not a port to dial"],
    ["h:65536", 'port "65536" is not a number from 0 to 65535'],
    ["h:-1", 'port "-1" is not a number from 0 to 65535'],
    ["h:http", 'port "http" is not a number from 0 to 65535'],
    ["h:2379x", 'port "2379x" is not a number from 0 to 65535'],
    ["h: 2379", 'port " 2379" is not a number from 0 to 65535'],
    ["h:1e3", 'port "1e3" is not a number from 0 to 65535'],
    ["[127.0.0.1]:2379", '"127.0.0.1" is not an IPv6 address'],
    ["[etcd]:2379", '"etcd" is not an IPv6 address'],
    ["[]:2379", '"" is not an IPv6 address'],
    ["[::1:2379", "brackets do not enclose an IPv6 address"],
    ["::1]:2379", "brackets do not enclose an IPv6 address"],
    ["256.1.1.1:2379", '"256.1.1.1" is not an IPv4 address'],
    ["1.2.3:2379", '"1.2.3" is not an IPv4 address'],
    ["a b:2379", '"a b" is not a host name'],
    ["-a:2379", '"-a" is not a host name'],
    ["a..b:2379", '"a..b" is not a host name'],
    ["\u00fc.example:2379", '"\u00fc.example" is not a host name'],
    ["unix:///run/etcd.sock", "a Unix socket is not a TCP address"],
    ["unixs://h:1", "a Unix socket is not a TCP address"],
  ];
  test.each(rejected)("rejects %p: %s", (text, fact) => {
    expect(() => parseEndpoint(text)).toThrow(new RangeError(fact));
  });
});

describe("parseListenAddress()", () => {
  const accepted: [text: string, label: string][] = [
    ["127.0.0.1:23790", "127.0.0.1:23790"],
    ["localhost:23790", "localhost:23790"],
    ["0.0.0.0:23790", "0.0.0.0:23790"],
    [":23790", ":23790"],
    ["[::]:23790", "[::]:23790"],
    ["127.0.0.1:0", "127.0.0.1:0"],
  ];
  test.each(accepted)("parses %p as %p", (text, label) => {
    expect(formatHostPort(parseListenAddress(text))).toBe(label);
  });

  test("rejects a missing port", () => {
    expect(() => parseListenAddress("127.0.0.1")).toThrow(new RangeError("missing port"));
  });

  test("rejects a scheme, which has no meaning for a listener", () => {
    expect(() => parseListenAddress("http://127.0.0.1:23790")).toThrow(RangeError);
  });
});

describe("isDnsName()", () => {
  const label = "a".repeat(63);
  const rows: [name: string, isName: boolean][] = [
    ["example.com", true],
    ["example.com.", true],
    ["_etcd-client._tcp.example.com", true],
    ["a", true],
    [label, true],
    [`${label}a`, false],
    [`${label}.${label}.${label}.${"a".repeat(61)}`, true],
    [`${label}.${label}.${label}.${"a".repeat(62)}`, false],
    ["", false],
    [".", false],
    ["a-", false],
    ["a b", false],
    ["exa$mple", false],
  ];
  test.each(rows)("returns for %p: %p", (name, isName) => {
    expect(isDnsName(name)).toBe(isName);
  });
});
