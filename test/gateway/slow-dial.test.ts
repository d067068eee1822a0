// Endpoints that do not answer a dial: another serves the client, and the gateway
// keeps no descriptor of the dial.
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import * as system from "../../src/os/tcp.ts";
import { Blackhole } from "../support/blackhole.ts";
import { Peer, until } from "../support/peer.ts";
import { createScene, deadPort, local } from "../support/scene.ts";

const scene = createScene();
const { keep, gatewayTo, greeter, served } = scene;
afterEach(() => scene.close());

const openDescriptors = () => readdirSync("/proc/self/fd").length;
const NEVER = 3_600_000;

/** Options of a gateway that aborts no dial by a timeout. */
const noTimeout = { dialTimeoutMs: NEVER, attemptDelayMs: 20 };

describe("--connection-attempt-delay with a silent endpoint", () => {
  test("dials the next endpoint as well, and aborts the slow dial", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const gateway = await gatewayTo([local(hole.port), local(server.port)], noTimeout);
    const before = openDescriptors();
    const client = await served(gateway);
    client.reset();
    await until(() => openDescriptors() === before, "all descriptors were closed");
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("dials one more endpoint after each delay, until one answers", async () => {
    const holes = [keep(new Blackhole()), keep(new Blackhole()), keep(new Blackhole())];
    const [server, unused] = [greeter(), greeter()];
    const ports = [...holes, server, unused].map(({ port }) => port);
    const dials: { port: number; at: number }[] = [];
    const startConnect = (address: string, port: number) => {
      dials.push({ port, at: performance.now() });
      return system.startConnect(address, port);
    };
    const options = { dialTimeoutMs: NEVER, attemptDelayMs: 100 };
    const gateway = await gatewayTo(ports.map(local), {
      ...options,
      system: { ...system, startConnect },
    });
    const before = openDescriptors();
    (await served(gateway)).reset();
    await until(() => openDescriptors() === before, "all descriptors were closed");

    expect(dials.map(({ port }) => port)).toEqual(ports.slice(0, 4));
    const delays = dials.slice(1).map(({ at }, i) => at - dials[i]!.at);
    // Timers may fire a millisecond early.
    expect(Math.min(...delays)).toBeGreaterThan(options.attemptDelayMs - 2);
  });

  test("marks the endpoint down that was overtaken three times in a row", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const gateway = await gatewayTo([local(hole.port), local(server.port)], noTimeout);
    const lines = () => gateway.lines("deactivated endpoint");
    // The endpoints take turns, so every second client begins with the silent one.
    for (let i = 0; i < 5; i++) {
      expect(lines()).toEqual([]);
      await served(gateway);
    }
    expect(lines()).toMatchObject([
      {
        address: local(hole.port),
        error: `dial tcp ${local(hole.port)}: no answer 3 times in a row while others answered`,
      },
    ]);
  });

  test("does not mark an endpoint down that answers in between", async () => {
    let isSilent = true;
    const server = greeter();
    const slow = greeter();
    const hole = keep(new Blackhole());
    const startConnect = (address: string, port: number) =>
      system.startConnect(address, isSilent && port === slow.port ? hole.port : port);
    const gateway = await gatewayTo([local(slow.port), local(server.port)], {
      ...noTimeout,
      system: { ...system, startConnect },
    });
    for (let i = 0; i < 12; i++) {
      isSilent = i % 4 < 2; // slow, fast, slow, fast for the first of the two
      await served(gateway);
    }
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("of 0 holds the client for the dial timeout", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const options = { dialTimeoutMs: 200, attemptDelayMs: 0 };
    const gateway = await gatewayTo([local(hole.port), local(server.port)], options);
    await served(gateway);
    expect(gateway.lines("deactivated endpoint")).toMatchObject([
      { error: `dial tcp ${local(hole.port)}: i/o timeout` },
    ]);
  });

  test("still uses the slow dial if no other endpoint answers", async () => {
    const slow = greeter();
    const hole = keep(new Blackhole());
    const gateway = await gatewayTo([local(hole.port), local(deadPort())], {
      dialTimeoutMs: NEVER,
      attemptDelayMs: 20,
      system: {
        ...system,
        // The first dial connects, though it is late.
        startConnect: (address, port) =>
          system.startConnect(address, port === hole.port ? slow.port : port),
      },
    });
    await served(gateway);
  });

  test("dials the next endpoint without delay when one refuses", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const ports = [deadPort(), server.port, hole.port];
    const gateway = await gatewayTo(ports.map(local), { ...noTimeout, attemptDelayMs: NEVER });
    await served(gateway);
  });
});

describe("Gateway with a client that leaves", () => {
  test("aborts all dials of the client", async () => {
    const holes = [keep(new Blackhole()), keep(new Blackhole()), keep(new Blackhole())];
    const gateway = await gatewayTo(
      holes.map(({ port }) => local(port)),
      noTimeout,
    );
    const before = openDescriptors();
    const client = await Peer.connect(gateway.port);
    // Both ends of the client's connection, and three dials.
    await until(() => openDescriptors() === before + 5, "all three endpoints were dialled");
    client.reset();
    await until(() => openDescriptors() === before, "all descriptors were closed");
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });
});

test("HedgeBudget allows 32 hedges of all clients together; beyond that the oldest dial is aborted", async () => {
  const holes = Array.from({ length: 4 }, () => keep(new Blackhole()));
  const gateway = await gatewayTo(
    holes.map(({ port }) => local(port)),
    noTimeout,
  );
  const before = openDescriptors();
  const clients = await Promise.all(Array.from({ length: 100 }, () => Peer.connect(gateway.port)));
  await Bun.sleep(300); // fifteen delays
  // For each client, both ends of its connection and one dial; 32 hedges for all together.
  expect(openDescriptors() - before).toBeLessThanOrEqual(100 * 3 + 32);
  for (const client of clients) client.reset();
  await until(() => openDescriptors() === before, "all descriptors were closed");
});

describe("Gateway with a slow dial", () => {
  /** A lookup that takes `names.ms`, which a test may change. */
  function slowNames() {
    const names = { ms: 0 };
    const lookup = async () => {
      if (names.ms > 0) await Bun.sleep(names.ms);
      return ["127.0.0.1"];
    };
    return { names, lookup };
  }

  test("does not move a served client when a probe succeeds later", async () => {
    const { names, lookup } = slowNames();
    const slow = greeter();
    const dead = deadPort();
    const endpoints = [`a.test:${slow.port}`, `b.test:${dead}`];
    const gateway = await gatewayTo(endpoints, { attemptDelayMs: 20, lookup });
    for (let i = 0; i < 2; i++) (await served(gateway)).reset(); // marks b down
    await gateway.logged("deactivated endpoint");
    const back = greeter(dead);
    names.ms = 120; // less than the resolver's STALE_ANSWER_TIMEOUT_MS
    const before = gateway.lines("relaying").length;
    const client = await served(gateway);
    await gateway.logged("activated");
    await Bun.sleep(200);
    expect(gateway.lines("relaying")).toHaveLength(before + 1);
    await client.send(1000);
    const peer = slow.accepted.at(-1)!;
    await until(() => peer.receivedBytes === 1000, "its bytes arrived");
    expect(back.accepted.filter(({ outcome }) => outcome === undefined)).toEqual([]);
    client.reset();
    await until(() => peer.outcome !== undefined, "its server's side ended");
  });

  test("makes a client whose last dial failed wait for the refresh in progress", async () => {
    const live = greeter();
    const dead = [deadPort(), deadPort()];
    let hasMoved = false;
    const gateway = await gatewayTo([], {
      ...{ srv: { domain: "a.test", name: undefined, isInsecure: true }, attemptDelayMs: 20 },
      ...{ discoveryRefreshMs: NEVER, lookup: () => Promise.resolve(["127.0.0.1"]) },
      resolveSrv: async () => {
        if (hasMoved) await Bun.sleep(300);
        const ports = hasMoved ? [live.port] : dead;
        return ports.map((port) => ({ name: "m.a.test", port, priority: 0, weight: 0 }));
      },
    });
    hasMoved = true;
    await served(gateway);
  });

  test("serves a client that waited for a refresh from an endpoint that came back meanwhile", async () => {
    const port = deadPort();
    let isSlow = false;
    const gateway = await gatewayTo([], {
      ...{ srv: { domain: "a.test", name: undefined, isInsecure: true } },
      ...{ discoveryRefreshMs: NEVER, retryDelayMs: NEVER },
      lookup: () => Promise.resolve(["127.0.0.1"]),
      resolveSrv: async () => {
        if (isSlow) await Bun.sleep(400);
        return [{ name: "m.a.test", port, priority: 0, weight: 0 }];
      },
    });
    isSlow = true;
    const waiting = served(gateway);
    await gateway.logged("deactivated endpoint");
    greeter(port);
    await waiting;
  });
});
