import { describe, expect, test } from "bun:test";
import { findHost, parseHosts } from "../../src/dns/hosts-file.ts";

// Lines from Go's net/testdata (hosts, ipv4-hosts, ipv6-hosts, aliases), and our own.
const TEXT = `255.255.255.255	broadcasthost
127.0.0.2	odin
127.0.0.3	odin  # inline comment
::2             odin
127.1.1.1	thor
127.1.1.2	thor # aliases
fe80::1%lo0	localhost
# 127.0.0.9 commented
127.0.0.1	LocalHost localhost.LocalDomain
 10.0.0.1	indented.test
10.0.0.2
1.2.3	bad
127.0.0.9#glued
10.0.0.3	rooted.test. alias`;

describe("findHost() after parseHosts()", () => {
  const hosts = parseHosts(TEXT);

  test.each<[host: string, addresses: string[] | undefined]>([
    ["odin", ["127.0.0.2", "127.0.0.3", "::2"]],
    ["thor", ["127.1.1.1", "127.1.1.2"]],
    ["localhost", ["fe80::1%lo0", "127.0.0.1"]],
    ["LOCALHOST", ["fe80::1%lo0", "127.0.0.1"]],
    ["localhost.localdomain", ["127.0.0.1"]],
    ["localhost.localdomain.", ["127.0.0.1"]],
    ["rooted.test", ["10.0.0.3"]],
    ["rooted.test.", ["10.0.0.3"]],
    ["alias", ["10.0.0.3"]],
    ["alias.", undefined],
    ["indented.test", ["10.0.0.1"]],
    ["commented", undefined],
    ["bad", undefined],
    ["", undefined],
    ["constructor", undefined],
  ])("of %p is %p", (host, addresses) => {
    expect(findHost(hosts, host)).toEqual(addresses);
  });
});
