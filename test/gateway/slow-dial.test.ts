// Endpoints that swallow a dial: the client must not notice, and nothing of
// the dial may stay.
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import * as system from "../../src/os/tcp.ts";
import { Blackhole } from "../support/blackhole.ts";
import { Peer, until } from "../support/peer.ts";
import { createScene, deadPort, local } from "../support/scene.ts";

const scene = createScene();
const { keep, gatewayTo, greeter, served } = scene;
afterEach(() => scene.close());

const descriptors = () => readdirSync("/proc/self/fd").length;
const NEVER = 3_600_000;

/** Clients whose gateway never gives up a dial by itself. */
const patient = { dialTimeoutMs: NEVER, attemptDelayMs: 20 };

describe("a silent endpoint", () => {
  test("does not hold a client: the next is dialled beside it, and its dial is aborted", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const gateway = await gatewayTo([local(hole.port), local(server.port)], patient);
    const before = descriptors();
    const client = await served(gateway);
    client.reset();
    await until(() => descriptors() === before, "nothing stayed");
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("is one of many: each delay one more is dialled, until one answers", async () => {
    const holes = [keep(new Blackhole()), keep(new Blackhole()), keep(new Blackhole())];
    const server = greeter();
    const ports = [...holes.map(({ port }) => port), server.port];
    const gateway = await gatewayTo(ports.map(local), patient);
    const before = descriptors();
    (await served(gateway)).reset();
    await until(() => descriptors() === before, "nothing stayed");
  });

  test("is down once it has lost three times in a row", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const gateway = await gatewayTo([local(hole.port), local(server.port)], patient);
    const lines = () => gateway.lines("deactivated endpoint");
    // In turn: every second client begins with the silent one.
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

  test("that answers in between is not down", async () => {
    let isSilent = true;
    const server = greeter();
    const slow = greeter();
    const hole = keep(new Blackhole());
    const startConnect = (address: string, port: number) =>
      system.startConnect(address, isSilent && port === slow.port ? hole.port : port);
    const gateway = await gatewayTo([local(slow.port), local(server.port)], {
      ...patient,
      system: { ...system, startConnect },
    });
    for (let i = 0; i < 12; i++) {
      isSilent = i % 4 < 2; // slow, fast, slow, fast for the first of the two
      await served(gateway);
    }
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("holds its client for the dial timeout where the delay is 0", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const options = { dialTimeoutMs: 200, attemptDelayMs: 0 };
    const gateway = await gatewayTo([local(hole.port), local(server.port)], options);
    await served(gateway);
    expect(gateway.lines("deactivated endpoint")).toMatchObject([
      { error: `dial tcp ${local(hole.port)}: i/o timeout` },
    ]);
  });

  test("may still win if nobody else answers", async () => {
    const slow = greeter();
    const hole = keep(new Blackhole());
    const gateway = await gatewayTo([local(hole.port), local(deadPort())], {
      dialTimeoutMs: NEVER,
      attemptDelayMs: 20,
      system: {
        ...system,
        // The first dial is late, and comes through in the end.
        startConnect: (address, port) =>
          system.startConnect(address, port === hole.port ? slow.port : port),
      },
    });
    await served(gateway);
  });

  test("beside one that refuses: the refusal does not wait for the delay", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const ports = [deadPort(), server.port, hole.port];
    const gateway = await gatewayTo(ports.map(local), { ...patient, attemptDelayMs: NEVER });
    await served(gateway);
  });
});

describe("a client that leaves", () => {
  test("takes all its dials with it", async () => {
    const holes = [keep(new Blackhole()), keep(new Blackhole()), keep(new Blackhole())];
    const gateway = await gatewayTo(
      holes.map(({ port }) => local(port)),
      patient,
    );
    const before = descriptors();
    const client = await Peer.connect(gateway.port);
    // The client's two ends and three dials.
    await until(() => descriptors() === before + 5, "all three were dialled");
    client.reset();
    await until(() => descriptors() === before, "nothing stayed");
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });
});

test("dials beside the first of their client are 32 at most; then the oldest gives way", async () => {
  const holes = Array.from({ length: 4 }, () => keep(new Blackhole()));
  const gateway = await gatewayTo(
    holes.map(({ port }) => local(port)),
    patient,
  );
  const before = descriptors();
  const clients = await Promise.all(Array.from({ length: 100 }, () => Peer.connect(gateway.port)));
  await Bun.sleep(300); // fifteen delays
  // Each client has its two ends and one dial; 32 more dials are shared by all.
  expect(descriptors() - before).toBeLessThanOrEqual(100 * 3 + 32);
  for (const client of clients) client.reset();
  await until(() => descriptors() === before, "nothing stayed");
});

describe("beside a dial that is slow", () => {
  /** Names whose lookup a test makes slow. */
  function slowNames() {
    const names = { ms: 0 };
    const lookup = async () => {
      if (names.ms > 0) await Bun.sleep(names.ms);
      return ["127.0.0.1"];
    };
    return { names, lookup };
  }

  test("a probe that succeeds later does not move a client that is served", async () => {
    const { names, lookup } = slowNames();
    const slow = greeter();
    const dead = deadPort();
    const endpoints = [`a.test:${slow.port}`, `b.test:${dead}`];
    const gateway = await gatewayTo(endpoints, { attemptDelayMs: 20, lookup });
    for (let i = 0; i < 2; i++) (await served(gateway)).reset(); // b is found down
    await gateway.logged("deactivated endpoint");
    const back = greeter(dead);
    names.ms = 120; // within the patience for a name that is known
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

  test("a client whose last dial fails still waits for the look that is under way", async () => {
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

  test("a client that waited for a look finds an endpoint that has come back meanwhile", async () => {
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
