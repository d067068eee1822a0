import { describe, expect, test } from "bun:test";
import { sortAddresses } from "../../src/dns/address-order.ts";

type Route = [address: string, source: string | undefined];

// Cases from Go's net/addrselect_test.go (RFC 6724, section 10.2), and our own.
const rows: [what: string, input: Route[], expected: string[]][] = [
  ["prefers a matching scope", [["2001:db8:1::1", "2001:db8:1::2"], ["198.51.100.121", "169.254.13.78"]], ["2001:db8:1::1", "198.51.100.121"]],
  ["prefers a matching scope for IPv4", [["2001:db8:1::1", "fe80::1"], ["198.51.100.121", "198.51.100.117"]], ["198.51.100.121", "2001:db8:1::1"]],
  ["prefers the higher precedence", [["2001:db8:1::1", "2001:db8:1::2"], ["10.1.2.3", "10.1.2.4"]], ["2001:db8:1::1", "10.1.2.3"]],
  ["prefers the smaller scope", [["2001:db8:1::1", "2001:db8:1::2"], ["fe80::1", "fe80::2"]], ["fe80::1", "2001:db8:1::1"]],
  ["puts addresses without a route last", [["2001:db8:1::1", undefined], ["10.1.2.3", "10.1.2.4"], ["10.1.2.5", undefined]], ["10.1.2.3", "2001:db8:1::1", "10.1.2.5"]],
  ["prefers the longest matching prefix for IPv6", [["2001:db8:1::1", "2001:db8:2::1"], ["2001:db8:2::9", "2001:db8:2::1"]], ["2001:db8:2::9", "2001:db8:1::1"]],
  ["keeps the order of IPv4 addresses (golang/go#13283)", [["54.83.193.112", "192.168.1.2"], ["184.72.238.214", "192.168.1.2"], ["23.23.172.185", "192.168.1.2"]], ["54.83.193.112", "184.72.238.214", "23.23.172.185"]],
  ["6to4 with a matching label comes before IPv4", [["2002:c633:6401::1", "2002:c633:6401::2"], ["198.51.100.121", "198.51.100.117"]], ["198.51.100.121", "2002:c633:6401::1"]],
  ["prefers a matching label to a higher precedence", [["2001:db8:1::1", "2002:c633:6401::2"], ["10.1.2.3", "10.1.2.4"]], ["10.1.2.3", "2001:db8:1::1"]],
  ["prefers ::1 for localhost", [["127.0.0.1", "127.0.0.1"], ["::1", "::1"]], ["::1", "127.0.0.1"]],
  ["prefers 127.0.0.1 for localhost without IPv6", [["::1", undefined], ["127.0.0.1", "127.0.0.1"]], ["127.0.0.1", "::1"]],
  ["ignores zones", [["10.1.2.3", undefined], ["fe80::1%lo", "fe80::2"]], ["fe80::1%lo", "10.1.2.3"]],
  ["treats an IPv4-mapped address as IPv4", [["::ffff:10.1.2.3", "10.1.2.4"], ["2001:db8::1", "2001:db8::2"]], ["2001:db8::1", "::ffff:10.1.2.3"]],
]; // prettier-ignore

describe("sortAddresses()", () => {
  test.each(rows)("%s", (_, input, expected) => {
    const sources = new Map(input);
    const addresses = input.map(([address]) => address);
    expect(sortAddresses(addresses, (address) => sources.get(address))).toEqual(expected);
  });

  test("does not look up the route of a single address", () => {
    const never = () => {
      throw new Error("looked up a route");
    };
    expect(sortAddresses(["10.0.0.1"], never)).toEqual(["10.0.0.1"]);
  });
});
