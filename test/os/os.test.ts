// System calls of os/tcp.ts and os/limits.ts on real sockets, and the behaviour of the
// kernel that they rely on.
import { dlopen } from "bun:ffi";
import { describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { parseKeepAlive, parseTimer } from "../../src/cli/flag-values.ts";
import { raiseDescriptorLimit } from "../../src/os/limits.ts";
import {
  hasVanished,
  isLocalAddress,
  isReset,
  mayBeSourcePort,
  peek,
  setKeepAlive,
  setUserTimeout,
  skip,
  startConnect,
} from "../../src/os/tcp.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";

describe("startConnect()", () => {
  test.each([
    ["not-an-ip", "EINVAL"],
    ["fe80::1%nosuchzone", "ENODEV"],
    ["fe80::1", "EINVAL"],
  ])("throws for %p at once: %s", (address, code) => {
    expect(() => startConnect(address, 1)).toThrow(expect.objectContaining({ code }));
  });

  test("connects to the port that it is given, also after another one of the same address", async () => {
    const servers = [new PeerServer(), new PeerServer()];
    const fds = servers.map(({ port }) => startConnect("127.0.0.1", port));
    await Promise.all(servers.map((server) => server.peer()));
    for (const fd of fds) closeSync(fd);
    for (const server of servers) server.close();
  });
});

describe("mayBeSourcePort()", () => {
  test("returns true for the port of a connection from this machine", async () => {
    const server = new PeerServer();
    const client = await Bun.connect({
      hostname: "127.0.0.1",
      port: server.port,
      socket: { data() {} },
    });
    expect(mayBeSourcePort(client.localPort)).toBe(true);
    client.terminate();
    server.close();
  });

  // A Unix socket is dialled with port 0. net.ipv4.ip_local_port_range begins at 1 or later.
  test("returns false for 0", () => {
    expect(mayBeSourcePort(0)).toBe(false);
  });
});

describe("isLocalAddress()", () => {
  test.each(["127.0.0.1", "::1"])("returns true for %p, an address of this machine", (address) => {
    expect(isLocalAddress(address)).toBe(true);
  });

  // RFC 5737 and RFC 3849 reserve these for documentation.
  test.each(["203.0.113.77", "2001:db8::77"])("returns false for %p", (address) => {
    expect(isLocalAddress(address)).toBe(false);
  });

  test("returns true for every address of this machine's interfaces", () => {
    const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    for (const { address, scopeid } of own)
      expect([address, isLocalAddress(scopeid ? `${address}%${scopeid}` : address)]).toEqual([
        address,
        true,
      ]);
  });
});

describe("isReset()", () => {
  test("returns true only after the bytes that preceded the reset have been read", async () => {
    const server = new PeerServer();
    server.onPeer = (peer) => void peer.send(10).then(() => peer.reset());
    const fd = startConnect("127.0.0.1", server.port);

    const buffer = new Uint8Array(10);
    await until(() => peek(fd, buffer) === 10, "the bytes had arrived");
    await Bun.sleep(50); // for the reset, which follows the bytes
    expect(isReset(fd)).toBe(false);
    skip(fd, buffer, 10);
    expect(isReset(fd)).toBe(true);

    closeSync(fd);
    server.close();
  });
});

describe("socket options", () => {
  test("setKeepAlive() and setUserTimeout() set the options, and 0 turns them off", async () => {
    const server = new PeerServer();
    const client = await Peer.connect(server.port);
    const option = (level: number, name: number) => getOption(client.fd, level, name);
    setKeepAlive(client.fd, 15_000);
    setUserTimeout(client.fd, 30_000);
    // SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT
    const all = () => [option(1, 9), ...[4, 5, 6, 18].map((name) => option(6, name))];
    expect(all()).toEqual([1, 15, 5, 3, 30_000]);

    setKeepAlive(client.fd, 0);
    setUserTimeout(client.fd, 0);
    expect([option(1, 9), option(6, 18)]).toEqual([0, 0]);

    setKeepAlive(client.fd, 1);
    expect(all().slice(0, 4)).toEqual([1, 1, 1, 3]);

    client.reset();
    server.close();
  });

  // The bounds of --keepalive-time and --tcp-user-timeout.
  test("setKeepAlive() and setUserTimeout() accept the longest times that the flags accept", async () => {
    const server = new PeerServer();
    const client = await Peer.connect(server.port);
    const keepAliveMs = parseKeepAlive("9h6m7s");
    const userTimeoutMs = parseTimer("596h", 1000);
    expect(setKeepAlive(client.fd, keepAliveMs)).toBeUndefined();
    expect(setUserTimeout(client.fd, userTimeoutMs)).toBeUndefined();
    expect([4, 5, 18].map((name) => getOption(client.fd, 6, name))).toEqual([
      32_767,
      Math.ceil(32_767 / 3),
      userTimeoutMs,
    ]);
    client.reset();
    server.close();
  });

  test("setKeepAlive() and setUserTimeout() return the option that the kernel refused", async () => {
    const server = new PeerServer();
    const client = await Peer.connect(server.port);
    const tooLong = { option: "TCP_KEEPIDLE", code: "EINVAL" };
    expect(setKeepAlive(client.fd, 32_767_001)).toEqual(tooLong);
    const negative = { option: "TCP_USER_TIMEOUT", code: "EINVAL" };
    expect(setUserTimeout(client.fd, 2 ** 31)).toEqual(negative);
    client.reset();
    server.close();
  });

  test("setKeepAlive() reports nothing for a socket that is reset, closed or replaced", async () => {
    const server = new PeerServer();
    server.onPeer = (peer) => peer.reset();
    const fd = startConnect("127.0.0.1", server.port);
    await until(() => isReset(fd), "the peer had reset the connection");
    expect([setKeepAlive(fd, 1000), setUserTimeout(fd, 1000)]).toEqual([undefined, undefined]);
    closeSync(fd);
    expect([setKeepAlive(fd, 1000), setUserTimeout(fd, 1000)]).toEqual([undefined, undefined]);
    expect([setKeepAlive(-1, 1000), setUserTimeout(-1, 1000)]).toEqual([undefined, undefined]);
    const file = openSync("/dev/null", "r");
    expect([setKeepAlive(file, 1000), setUserTimeout(file, 1000)]).toEqual([undefined, undefined]);
    closeSync(file);
    server.close();
  });

  test("hasVanished() returns false for a live peer that does not read", async () => {
    const server = new PeerServer();
    server.onPeer = (peer) => peer.pause();
    const client = await Peer.connect(server.port);
    void client.send(8 << 20);
    await Bun.sleep(700); // for zero-window probes, which the peer's kernel answers
    expect(hasVanished(client.fd, 1)).toBe(false);
    client.reset();
    server.close();
  });

  test("hasVanished() returns false for an invalid descriptor", () => {
    expect(hasVanished(-1, 0)).toBe(false);
  });
});

const { symbols: libc } = dlopen("libc.so.6", {
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
});

function getOption(fd: number, level: number, name: number): number {
  const value = new Int32Array(1);
  libc.getsockopt(fd, level, name, value, Uint32Array.of(4));
  return value[0]!;
}

describe("raiseDescriptorLimit()", () => {
  test("raises the soft limit to the hard limit", async () => {
    const limit = raiseDescriptorLimit();
    const limits = await Bun.file("/proc/self/limits").text();
    const [, soft, hard] = /Max open files\s+(\d+)\s+(\d+)/.exec(limits)!;
    expect([Number(soft), Number(hard)]).toEqual([limit, limit]);
  });
});
