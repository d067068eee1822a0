import { describe, expect, test } from "bun:test";
import { isSelf } from "../../src/resolver/self-address.ts";

// A link-local address is only local with its zone.
const local = (address: string) => ["10.0.0.5", "fd00::5", "fe80::5%eth0"].includes(address);

describe("isSelf()", () => {
  const rows: [listen: string, target: string, isOwn: boolean][] = [
    ["127.0.0.1", "127.0.0.1", true],
    ["127.0.0.1", "127.0.0.2", false],
    ["127.0.0.1", "::1", false],
    ["127.0.0.1", "::ffff:127.0.0.1", true],
    ["127.0.0.1", "::ffff:7f00:1", true],
    ["127.0.0.1", "0.0.0.0", true],
    ["127.0.0.2", "0.0.0.0", false],
    ["10.0.0.5", "10.0.0.5", true],
    ["10.0.0.5", "127.0.0.1", false],
    ["10.0.0.5", "10.0.0.6", false],
    ["::1", "::1", true],
    ["::1", "0:0:0:0:0:0:0:1", true],
    ["::1", "::", true],
    ["::1", "127.0.0.1", false],
    ["fe80::5", "fe80::5%eth0", true],
    ["0.0.0.0", "127.0.0.1", true],
    ["0.0.0.0", "127.8.8.8", true],
    ["0.0.0.0", "10.0.0.5", true],
    ["0.0.0.0", "10.0.0.6", false],
    ["0.0.0.0", "0.0.0.0", true],
    ["0.0.0.0", "::1", false],
    ["0.0.0.0", "fd00::5", false],
    ["::", "127.0.0.1", true],
    ["::", "10.0.0.5", true],
    ["::", "::ffff:10.0.0.5", true],
    ["::", "fd00:0::5", true],
    ["::", "fd00::6", false],
    ["::", "::", true],
    ["::", "fe80::5%eth0", true],
    ["::", "fe80::6%eth0", false],
    ["::", "0.0.0.0", true],
  ];
  test.each(rows)("of a listener on %p and the address %p is %p", (listen, target, isOwn) => {
    expect(isSelf({ host: listen, port: 7 }, target, 7, local)).toBe(isOwn);
  });

  test("is false for another port, without reading the local addresses", () => {
    const never = () => {
      throw new Error("called");
    };
    expect(isSelf({ host: "0.0.0.0", port: 7 }, "10.0.0.5", 8, never)).toBe(false);
  });
});
