// The gateway in this process, on real sockets: which endpoint serves which client,
// and what is logged.
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { StartError } from "../../src/core/start-error.ts";
import { UsageError } from "../../src/core/usage-error.ts";
import * as system from "../../src/os/tcp.ts";
import { Blackhole } from "../support/blackhole.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";
import { createScene, deadPort, local } from "../support/scene.ts";

const MIB = 1 << 20;

const scene = createScene();
const { keep, gatewayTo, greeter, served } = scene;
afterEach(() => scene.close());

const serverAt = (port?: number) => keep(new PeerServer(port));

describe("Gateway", () => {
  test("spreads clients evenly over its endpoints", async () => {
    const servers = [greeter(), greeter(), greeter()];
    const gateway = await gatewayTo(servers.map(({ port }) => local(port)));
    for (let i = 0; i < 30; i++) await served(gateway);
    expect(servers.map(({ accepted }) => accepted.length)).toEqual([10, 10, 10]);
  });

  test("logs the client and its endpoint at level debug only", async () => {
    const server = greeter();
    const debug = await gatewayTo([local(server.port)], { logLevel: "debug" });
    await served(debug);
    const [line] = debug.lines("relaying");
    expect(line).toMatchObject({ level: "debug", endpoint: local(server.port) });
    expect(line!.client).toMatch(/^127\.0\.0\.1:\d+$/);
    const info = await gatewayTo([local(server.port)], { logLevel: "info" });
    await served(info);
    expect(info.lines("relaying")).toEqual([]);
  });

  test("moves a client of an endpoint that refuses to the next, and marks the first down", async () => {
    const dead = deadPort();
    const server = greeter();
    const gateway = await gatewayTo([local(dead), local(server.port)]);
    for (let i = 0; i < 4; i++) await served(gateway);
    expect(server.accepted).toHaveLength(4);
    const lines = gateway.lines("deactivated endpoint");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      level: "warn",
      address: local(dead),
      interval: "1m0s",
      error: `dial tcp ${local(dead)}: connect: connection refused`,
    });
  });

  test("moves a client of a silent endpoint to the next after the dial timeout", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const gateway = await gatewayTo([local(hole.port), local(server.port)], { dialTimeoutMs: 200 });
    await served(gateway);
    const [line] = gateway.lines("deactivated endpoint");
    expect(line).toMatchObject({ error: `dial tcp ${local(hole.port)}: i/o timeout` });
  });

  test("resets a client only after every endpoint was tried, and logs that once", async () => {
    const dead = [deadPort(), deadPort(), deadPort()];
    const gateway = await gatewayTo(dead.map(local));
    for (let i = 0; i < 5; i++) {
      const client = await Peer.connect(gateway.port);
      expect(await client.gone()).toBe("ECONNRESET");
    }
    const down = gateway.lines("deactivated endpoint").map(({ address }) => address as string);
    expect(down.toSorted()).toEqual(dead.map(local).toSorted());
    expect(gateway.lines("refusing clients: no endpoint accepts connections")).toHaveLength(1);
    expect(gateway.lines("refusing clients: no endpoint accepts connections")[0]).toMatchObject({
      level: "warn",
      endpoints: dead.map(local),
    });
  });

  test("probes endpoints at once for a client while none is up, before the retry delay", async () => {
    const dead = [deadPort(), deadPort()];
    const gateway = await gatewayTo(dead.map(local), { retryDelayMs: 3_600_000 });
    const refused = await Peer.connect(gateway.port);
    expect(await refused.gone()).toBe("ECONNRESET");
    greeter(dead[1]);
    await served(gateway);
    expect(gateway.lines("activated")).toMatchObject([{ level: "info", address: local(dead[1]!) }]);
    const text = "serving clients again (was: no endpoint accepts connections)";
    expect(gateway.lines(text)).toMatchObject([{ refused: 1 }]);
  });

  test("probes an endpoint that is down every retry delay, and logs the results", async () => {
    const dead = deadPort();
    const server = greeter();
    const gateway = await gatewayTo([local(dead), local(server.port)], { retryDelayMs: 30 });
    await served(gateway);
    const message = "failed to activate endpoint (stay inactive for another interval)";
    const lines = await gateway.logged(message, 2);
    expect(lines[0]).toMatchObject({
      level: "warn",
      address: local(dead),
      interval: "30ms",
      error: `dial tcp ${local(dead)}: connect: connection refused`,
    });
    greeter(dead);
    await gateway.logged("activated");
  });

  test("serves clients from the next endpoint when one has an address without a route", async () => {
    const server = greeter();
    const startConnect = (address: string, port: number) => {
      if (address === "127.0.0.1") return system.startConnect(address, port);
      throw Object.assign(new Error("connect"), { code: "EADDRNOTAVAIL" });
    };
    const gateway = await gatewayTo(["[fd00::12]:1", local(server.port)], {
      system: { ...system, startConnect },
    });
    for (let i = 0; i < 4; i++) await served(gateway);
    expect(gateway.lines("deactivated endpoint")).toMatchObject([
      { error: "dial tcp [fd00::12]:1: connect: cannot assign requested address" },
    ]);
  });

  test("logs no wrong address for clients that reset at once, and serves the next", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)], { logLevel: "debug" });
    for (let i = 0; i < 500; i++) (await Peer.connect(gateway.port)).reset();
    await served(gateway);

    const lines = gateway.lines("relaying");
    expect(lines.at(-1)!.client).toMatch(/^127\.0\.0\.1:\d+$/);
    for (const line of lines) {
      expect(line).toMatchObject({ level: "debug", endpoint: local(server.port) });
      // A reset removes the address from the socket.
      expect(line.client ?? "127.0.0.1:1").toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    }
  });

  test("keeps a half-closed client that waits for its server beyond the stall timeout", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const gateway = await gatewayTo([local(hole.port), local(server.port)], {
      dialTimeoutMs: 300,
      stallTimeoutMs: 50,
    });
    const client = await Peer.connect(gateway.port);
    client.shutdown();
    await until(() => client.outcome !== undefined || client.receivedBytes > 0, "it was answered");
    expect(client.receivedBytes).toBe(1);
    client.reset();
  });

  test("resets a client when this process lacks descriptors, and marks no endpoint down", async () => {
    const server = greeter();
    let isExhausted = true;
    const startConnect = (address: string, port: number) => {
      if (isExhausted) throw Object.assign(new Error("socket: EMFILE"), { code: "EMFILE" });
      return system.startConnect(address, port);
    };
    const gateway = await gatewayTo([local(server.port)], { system: { ...system, startConnect } });
    for (let i = 0; i < 3; i++) {
      const client = await Peer.connect(gateway.port);
      expect(await client.gone()).toBe("ECONNRESET");
    }
    const reason = "out of file descriptors or memory";
    expect(gateway.lines(`refusing clients: ${reason}`)).toHaveLength(1);
    isExhausted = false;
    await served(gateway);
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
    expect(gateway.lines(`serving clients again (was: ${reason})`)).toMatchObject([{ refused: 3 }]);
  });
});

describe("Gateway with names as endpoints", () => {
  const resolveTo = (...addresses: string[]) => Promise.resolve(addresses);

  test("follows a changed record at the next dial", async () => {
    const { port } = greeter();
    let address = "127.0.0.1";
    const lookups: string[] = [];
    const lookup = (host: string) => {
      lookups.push(host);
      return resolveTo(address);
    };
    const gateway = await gatewayTo([`etcd.test:${port}`], { lookup });
    await served(gateway);
    address = "127.0.0.9";
    const client = await Peer.connect(gateway.port);
    expect(await client.gone()).toBe("ECONNRESET");
    expect(gateway.lines("deactivated endpoint")[0]!.error).toBe(
      `dial tcp 127.0.0.9:${port}: connect: connection refused`,
    );
    expect(lookups).toEqual(["etcd.test", "etcd.test", "etcd.test"]);
  });

  test("reserves descriptors for name lookups only if an endpoint is a name", async () => {
    const { port } = greeter();
    const lookup = () => Promise.resolve(["127.0.0.1"]);
    const named = await gatewayTo([`etcd.test:${port}`], { lookup, descriptorLimit: 1024 });
    const plain = await gatewayTo([`127.0.0.1:${port}`], { descriptorLimit: 1024 });
    const limits = [named, plain].map((gateway) => gateway.status().maxConnections);
    expect(limits).toEqual([447, 479]);
  });

  test.each<[code: string, words: string, outcome: string]>([
    ["ENOTFOUND", "no such host", "failed"],
    ["ESERVFAIL", "server misbehaving", "failed"],
    ["ETIMEOUT", "i/o timeout", "failed"],
    ["ECONNREFUSED", "temporary failure in name resolution", "failed"],
    ["EHOSTUNREACH", "temporary failure in name resolution", "failed"],
  ])(
    "reports a lookup that fails with %s as %p, not as a refusal of the endpoint",
    async (code, words, outcome) => {
      const { port } = greeter();
      const lookup = () => Promise.reject(Object.assign(new Error(code), { code }));
      const gateway = await gatewayTo([`etcd.test:${port}`, local(port)], { lookup });
      await served(gateway);
      await served(gateway);
      expect((await gateway.logged("deactivated endpoint"))[0]!.error).toBe(
        `dial tcp: lookup etcd.test: ${words}`,
      );
      expect(gateway.status().endpoints[0]!.dials).toMatchObject({ [outcome]: 1, refused: 0 });
    },
  );

  test("tries every address of a name, IPv6 and IPv4", async () => {
    const { port } = greeter();
    const gateway = await gatewayTo([`etcd.test:${port}`], {
      lookup: () => resolveTo("::1", "127.0.0.9", "127.0.0.1"),
    });
    await served(gateway);
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("dials a name at its last addresses when a later lookup fails", async () => {
    const { port } = greeter();
    let isDown = false;
    const lookup = () => (isDown ? Promise.reject(new Error("SERVFAIL")) : resolveTo("127.0.0.1"));
    const gateway = await gatewayTo([`etcd.test:${port}`], { lookup });
    isDown = true;
    await served(gateway);
  });

  test("does not dial a name that later resolves to the gateway itself", async () => {
    let address = "127.0.0.9";
    const port = deadPort();
    const gateway = await gatewayTo([`etcd.test:${port}`], {
      lookup: () => resolveTo(address),
      listen: { host: "127.0.0.1", port },
    });
    address = "127.0.0.1";
    const client = await Peer.connect(gateway.port);
    expect(await client.gone()).toBe("ECONNRESET");
    expect(gateway.lines("deactivated endpoint")[0]!.error).toBe(
      `dial tcp etcd.test:${port}: resolves to this process's own listen address`,
    );
  });

  test("holds what a client sends before its server is connected, up to a limit, and delivers it", async () => {
    const server = serverAt();
    const answer = Promise.withResolvers<string[]>();
    let lookups = 0;
    const lookup = () => (lookups++ === 0 ? resolveTo("127.0.0.1") : answer.promise);
    const gateway = await gatewayTo([`etcd.test:${server.port}`, "127.0.0.1:1"], { lookup });
    const client = await Peer.connect(gateway.port);
    const sent = client.send(32 * MIB);
    let previous = -1;
    while (client.sentBytes !== previous) {
      previous = client.sentBytes;
      await Bun.sleep(50);
    }
    expect(client.sentBytes).toBeLessThan(16 * MIB);
    answer.resolve(["127.0.0.1"]);
    await sent;
    client.shutdown();
    const far = await server.peer();
    expect(await far.gone()).toBe("end");
    expect([far.firstWrongByte, far.receivedBytes]).toEqual([undefined, 32 * MIB]);
    client.reset();
  });

  test("aborts the dial of a client that leaves", async () => {
    const openDescriptors = () => readdirSync("/proc/self/fd").length;
    const hole = keep(new Blackhole());
    const gateway = await gatewayTo([local(hole.port)], { dialTimeoutMs: 3_600_000 });
    const before = openDescriptors();
    const client = await Peer.connect(gateway.port);
    await client.send(10);
    client.reset();
    await until(() => openDescriptors() === before, "the dial's descriptor was closed");
    expect(await gateway.drain()).toBe(0);
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("does not dial for a client that left while all endpoints were probed", async () => {
    const port = deadPort();
    const gateway = await gatewayTo([local(port)]);
    const refused = await Peer.connect(gateway.port);
    expect(await refused.gone()).toBe("ECONNRESET");
    const hole = new Blackhole("127.0.0.1", port);
    const client = await Peer.connect(gateway.port);
    await client.send(10);
    client.reset();
    await until(() => client.isClosed, "the client was gone");
    hole.close();
    const server = greeter(port);
    // The kernel resends the probe's SYN after a second; now it is answered.
    await gateway.logged("activated");
    await served(gateway);
    expect(server.accepted).toHaveLength(2);
  });
});

describe("Gateway.start()", () => {
  const lookup = (host: string) =>
    host === "known.test"
      ? Promise.resolve(["127.0.0.1"])
      : Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }));

  test("logs that it is ready, with the endpoints", async () => {
    const gateway = await gatewayTo(["http://127.0.0.1:2379/x", "known.test:1"], { lookup });
    expect(gateway.lines("ready to proxy client requests")).toMatchObject([
      { level: "info", endpoints: ["127.0.0.1:2379", "known.test:1"] },
    ]);
  });

  test("logs a warning for a name that does not resolve if another endpoint does", async () => {
    const gateway = await gatewayTo(["gone.test:1", "known.test:1"], { lookup });
    const text = "endpoint does not resolve (looked up again at each dial)";
    expect(gateway.lines(text)).toMatchObject([
      { level: "warn", address: "gone.test:1", error: "ENOTFOUND" },
    ]);
  });

  test("rejects if no endpoint resolves", async () => {
    const start = gatewayTo(["gone.test:1", "lost.test:2"], { lookup });
    await expect(start).rejects.toThrow(
      new StartError(
        'Cannot resolve any of --endpoints: "gone.test:1" (ENOTFOUND), "lost.test:2" (ENOTFOUND)',
      ),
    );
  });

  test.each([
    ["127.0.0.1", UsageError],
    // DNS may correct it, so another start may find something else.
    ["known.test", StartError],
  ])("rejects %p as endpoint if that is the gateway itself", async (host, Failure) => {
    const listen = { host: "127.0.0.1", port: 23790 };
    const start = gatewayTo(["127.0.0.1:2379", `${host}:23790`], { lookup, listen });
    const error: unknown = await start.catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(Failure);
    expect((error as Error).message).toBe(
      `Cannot use --endpoints "${host}:23790": it resolves to 127.0.0.1, this process's own --listen-addr "127.0.0.1:23790"; name etcd's address`,
    );
  });

  test("rejects an address that is in use", async () => {
    const { port } = serverAt();
    const start = gatewayTo(["127.0.0.1:1"], { listen: { host: "127.0.0.1", port } });
    await expect(start).rejects.toThrow(StartError);
    await expect(start).rejects.toThrow(
      `Cannot listen on "127.0.0.1:${port}": the address is in use`,
    );
  });

  test("listens on a name's address", async () => {
    const server = greeter();
    const listen = { host: "known.test", port: 0 };
    const gateway = await gatewayTo([local(server.port)], { lookup, listen });
    await served(gateway);
  });
});

describe("Gateway over IPv6", () => {
  test("dials an endpoint that is an IPv6 literal", async () => {
    const server = greeter(undefined, "::1");
    const gateway = await gatewayTo([`[::1]:${server.port}`]);
    await served(gateway);
    expect(server.accepted).toHaveLength(1);
  });

  test("serves IPv4 and IPv6 clients of a listener on ::", async () => {
    const { port } = greeter();
    const gateway = await gatewayTo([local(port)], { listen: { host: "::", port: 0 } });
    for (const address of ["127.0.0.1", "::1"]) {
      const client = await Peer.connect(gateway.port, address);
      await until(() => client.receivedBytes === 1, `${address} was answered`);
      client.reset();
    }
  });

  test("rejects an endpoint that is the gateway itself in the other address family", async () => {
    const port = deadPort();
    const start = gatewayTo([`[::1]:${port}`], { listen: { host: "::", port } });
    await expect(start).rejects.toThrow("this process's own --listen-addr");
  });
});

describe("--max-connections", () => {
  test("resets clients over the limit, logs that once, and serves clients again when some leave", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)], { maxConnections: 2 });
    const [first] = [await served(gateway), await served(gateway)];
    for (let i = 0; i < 3; i++) {
      const refused = await Peer.connect(gateway.port);
      expect(await refused.gone()).toBe("ECONNRESET");
    }
    const text = "refusing clients: connection limit reached";
    expect(gateway.lines(text)).toMatchObject([{ level: "warn", "max-connections": 2 }]);
    first.reset();
    const again = await gateway.logged("serving clients again (was: connection limit reached)");
    expect(again).toMatchObject([{ refused: 3 }]);
    await served(gateway);
    expect(server.accepted).toHaveLength(3);
  });
});

describe("Gateway.drain()", () => {
  test("accepts no clients, waits for relays to end, and resets none", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)]);
    const client = await served(gateway);
    const drained = gateway.drain();
    await expect(Peer.connect(gateway.port)).rejects.toThrow();
    client.shutdown();
    server.accepted[0]!.shutdown();
    expect(await drained).toBe(0);
  });

  test("resets the remaining relays at the timeout, and returns their number", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)], { drainTimeoutMs: 50 });
    const clients = [await served(gateway), await served(gateway)];
    expect(await gateway.drain()).toBe(2);
    for (const client of clients) expect(await client.gone()).toBe("ECONNRESET");
  });

  test("resets the remaining relays at once when its signal aborts", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)], { drainTimeoutMs: 3_600_000 });
    await served(gateway);
    expect(await gateway.drain(AbortSignal.abort())).toBe(1);
  });
});
