// Our reading of Bun's runtime, pinned where we lean on it.
import { describe, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { raiseDescriptorLimit } from "../../src/os/limits.ts";
import { lookupHost } from "../../src/os/dns.ts";
import { isLocalAddress, startConnect } from "../../src/os/tcp.ts";

describe("lookupHost()", () => {
  test("honours the hosts file", async () => {
    expect(await lookupHost("localhost", [])).toContain("127.0.0.1");
  });

  test("rejects with a code for a name that does not exist", async () => {
    // RFC 6761 reserves .invalid.
    await expect(lookupHost("etcd.invalid", [])).rejects.toMatchObject({ code: "ENOTFOUND" });
  });
});

describe("startConnect()", () => {
  test.each([
    ["not-an-ip", "EINVAL"],
    ["fe80::1%nosuchzone", "ENODEV"],
    ["fe80::1", "EINVAL"],
  ])("fails at once for %p with %s, leaving nothing open", (address, code) => {
    expect(() => startConnect(address, 1)).toThrow(expect.objectContaining({ code }));
  });
});

describe("isLocalAddress()", () => {
  test.each(["127.0.0.1", "::1"])("knows %p as this machine's own", (address) => {
    expect(isLocalAddress(address)).toBe(true);
  });

  // Reserved for documents by RFC 5737 and RFC 3849.
  test.each(["203.0.113.77", "2001:db8::77"])("knows %p as another's", (address) => {
    expect(isLocalAddress(address)).toBe(false);
  });

  test("knows every address of this machine's interfaces", () => {
    const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    for (const { address, scopeid } of own)
      expect([address, isLocalAddress(scopeid ? `${address}%${scopeid}` : address)]).toEqual([
        address,
        true,
      ]);
  });
});

describe("raiseDescriptorLimit()", () => {
  test("leaves the soft limit at the hard one", async () => {
    const limit = raiseDescriptorLimit();
    const limits = await Bun.file("/proc/self/limits").text();
    const [, soft, hard] = /Max open files\s+(\d+)\s+(\d+)/.exec(limits)!;
    expect([Number(soft), Number(hard)]).toEqual([limit, limit]);
  });
});
