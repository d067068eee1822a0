import { dlopen } from "bun:ffi";
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { systemClock } from "../../src/os/clock.ts";
import { AF_INET, hostPortOf, socketAddress } from "../../src/os/socket-address.ts";
import * as system from "../../src/os/tcp.ts";
import { DialError } from "../../src/net/dial-error.ts";
import { Dial, type DialOptions } from "../../src/net/dial.ts";
import { HedgeBudget, MAX_HEDGES } from "../../src/net/race.ts";
import { Blackhole } from "../support/blackhole.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { PeerServer, until } from "../support/peer.ts";
import { createScene, deadPort } from "../support/scene.ts";

const scene = createScene();
const { keep } = scene;
afterEach(() => scene.close());

const openDescriptors = () => readdirSync("/proc/self/fd").length;

/** Starts a dial. `outcomes` gets the address that answered, or the error's message. */
function dial(
  options: Partial<DialOptions>,
  deps: Partial<typeof system> & { clock?: ManualClock } = {},
) {
  const outcomes: string[] = [];
  const subject = new Dial(
    { ...system, ...deps },
    deps.clock ?? systemClock,
    {
      addresses: ["127.0.0.1"],
      port: 1,
      timeoutMs: 3000,
      attemptDelayMs: 250,
      keepAliveMs: 15_000,
      userTimeoutMs: 30_000,
      hedgeBudget: new HedgeBudget(),
      ...options,
    },
    {
      connected: (socket) => {
        outcomes.push(socket.remoteAddress);
        socket.terminate();
      },
      failed: (error) => {
        expect(error).toBeInstanceOf(DialError);
        outcomes.push(error.message);
      },
    },
  );

  subject.start();
  return { subject, outcomes };
}

describe("Dial", () => {
  test("start() connects to a listening endpoint", async () => {
    const { port } = keep(new PeerServer());
    const { outcomes } = dial({ port });
    await until(() => outcomes.length > 0, "the dial ended");
    expect(outcomes).toEqual(["127.0.0.1"]);
  });

  test("reports a refused connection in Go's words", async () => {
    const port = deadPort();
    const { outcomes } = dial({ port });
    await until(() => outcomes.length > 0, "the dial ended");
    expect(outcomes).toEqual([`dial tcp 127.0.0.1:${port}: connect: connection refused`]);
  });

  test("times out if no address answers, and leaves no descriptor open", async () => {
    const hole = keep(new Blackhole());
    const before = openDescriptors();
    const clock = new ManualClock();
    const { outcomes } = dial({ port: hole.port, timeoutMs: 1500 }, { clock });
    expect(openDescriptors()).toBe(before + 1);
    await Bun.sleep(20);
    clock.advance(1499);
    expect(outcomes).toEqual([]);
    clock.advance(1);
    expect(outcomes).toEqual([`dial tcp 127.0.0.1:${hole.port}: i/o timeout`]);
    expect([openDescriptors(), clock.pending]).toEqual([before, 0]);
  });

  test("abort() leaves no descriptor open and reports nothing, also when called twice", async () => {
    const hole = keep(new Blackhole());
    const before = openDescriptors();
    const clock = new ManualClock();
    const { subject, outcomes } = dial({ port: hole.port }, { clock });
    subject.abort();
    subject.abort();
    clock.advance(10_000);
    expect([outcomes, openDescriptors(), clock.pending]).toEqual([[], before, 0]);
  });

  test("dials the next address at once if the first refuses", async () => {
    const { port } = keep(new PeerServer());
    const { outcomes } = dial({ port, addresses: ["127.0.0.9", "127.0.0.1"] });
    await until(() => outcomes.length > 0, "the dial ended");
    expect(outcomes).toEqual(["127.0.0.1"]);
  });

  test("dials the next address after 250 ms if the first is silent", async () => {
    const { port } = keep(new PeerServer());
    const hole = keep(new Blackhole("127.0.0.9", port));
    const before = openDescriptors();
    const clock = new ManualClock();
    const { outcomes } = dial(
      { port: hole.port, addresses: ["127.0.0.9", "127.0.0.1"] },
      { clock },
    );
    clock.advance(249);
    await Bun.sleep(20);
    expect(outcomes).toEqual([]);
    clock.advance(1);
    await until(() => outcomes.length > 0, "the dial ended");
    expect(outcomes).toEqual(["127.0.0.1"]);
    await until(() => openDescriptors() === before, "the losing attempt's descriptor was closed");
    expect(clock.pending).toBe(0);
  });

  test("reports the last address if all fail", async () => {
    const port = deadPort();
    const { outcomes } = dial({ port, addresses: ["127.0.0.9", "::1"] });
    await until(() => outcomes.length > 0, "the dial ended");
    expect(outcomes).toEqual([`dial tcp [::1]:${port}: connect: connection refused`]);
  });

  // Every IPv6 address fails with EADDRNOTAVAIL if IPv6 is off.
  test.each([
    ["EMFILE", true],
    ["ENFILE", true],
    ["ENOMEM", true],
    ["ECONNREFUSED", false],
    ["ETIMEDOUT", false],
    ["EADDRNOTAVAIL", false],
  ])("DialError.isLocal for %s is %p", (code, isLocal) => {
    expect(new DialError("dial tcp 127.0.0.1:1: connect", code).isLocal).toBe(isLocal);
  });

  test("never has more than two attempts open, however many addresses are silent", async () => {
    const holes = [2, 3, 4, 5].map((n) => `127.0.0.${n}`);
    const { port } = keep(new PeerServer());
    for (const address of holes) keep(new Blackhole(address, port));
    const before = openDescriptors();
    const clock = new ManualClock();
    const hedgeBudget = new HedgeBudget();
    const options = { port, addresses: [...holes, "127.0.0.1"], hedgeBudget };
    const { outcomes } = dial(options, { clock });
    const open = [openDescriptors() - before];
    for (let i = 0; i < 3; i++) {
      clock.advance(250);
      open.push(openDescriptors() - before);
    }
    expect([open, hedgeBudget.inUse]).toEqual([[1, 2, 2, 2], 1]);
    clock.advance(250);
    await until(() => outcomes.length > 0, "the dial ended");
    expect([outcomes, hedgeBudget.inUse]).toEqual([["127.0.0.1"], 0]);
  });

  test("keeps one attempt open while the hedge budget is spent", () => {
    const { port } = keep(new PeerServer());
    const addresses = ["127.0.0.2", "127.0.0.3"];
    for (const address of addresses) keep(new Blackhole(address, port));
    const before = openDescriptors();
    const clock = new ManualClock();
    const full = new HedgeBudget();
    for (let i = 0; i < MAX_HEDGES; i++) expect(full.tryAcquire()).toBe(true);
    const { subject } = dial({ port, addresses, hedgeBudget: full }, { clock });
    clock.advance(250);
    expect(openDescriptors() - before).toBe(1);
    subject.abort();
  });

  test("reports a lack of descriptors over the errors of other addresses", async () => {
    const startConnect = (address: string, port: number) => {
      if (address === "127.0.0.1") return system.startConnect(address, port);
      throw Object.assign(new Error("socket: EMFILE"), { code: "EMFILE" });
    };
    const port = deadPort();
    const { outcomes } = dial({ port, addresses: ["127.0.0.2", "127.0.0.1"] }, { startConnect });
    await until(() => outcomes.length > 0, "the dial ended");
    expect(outcomes).toEqual([`dial tcp 127.0.0.2:${port}: connect: too many open files`]);
  });

  test("reports a connect that fails immediately", () => {
    const startConnect = () => {
      throw Object.assign(new Error("socket: EMFILE"), { code: "EMFILE" });
    };
    const { outcomes } = dial({ port: 7 }, { startConnect });
    expect(outcomes).toEqual(["dial tcp 127.0.0.1:7: connect: too many open files"]);
  });

  test("takes a connection to itself for a refused one, and leaves no descriptor open", async () => {
    const before = openDescriptors();
    // A dial to an unused port of this machine succeeds if the kernel takes that port as its source.
    const { fd, port, connect } = socketToItself();
    const startConnect = () => {
      connect();
      return fd;
    };
    const { outcomes } = dial({ port }, { startConnect, mayBeSourcePort: () => true });
    await until(() => outcomes.length > 0, "the dial ended");
    expect(outcomes).toEqual([`dial tcp 127.0.0.1:${port}: connect: connection refused`]);
    await until(() => openDescriptors() === before, "the descriptor was closed");
  });
});

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
});

/** Opens a socket on a free port, and returns the function that connects it to that port. */
function socketToItself() {
  const SOCK_STREAM_NONBLOCK_CLOEXEC = 0o2004001;
  const fd = libc.socket(AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
  const name = socketAddress("127.0.0.1", 0);
  libc.bind(fd, name, name.length);
  libc.getsockname(fd, name, Uint32Array.of(name.length));
  const connect = () => void libc.connect(fd, name, name.length);
  return { fd, port: hostPortOf(name)!.port, connect };
}
