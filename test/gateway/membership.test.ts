// Endpoints that are added, removed or verified while the gateway runs: which of
// them new clients get, and which relays stay. DNS is scripted; the sockets are real.
import { afterEach, describe, expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import type { SrvConfig } from "../../src/core/gateway-config.ts";
import { StartError } from "../../src/core/start-error.ts";
import { UsageError } from "../../src/core/usage-error.ts";
import type { SrvRecord } from "../../src/resolver/srv.ts";
import type { LocalOptions } from "../support/local-gateway.ts";
import { Blackhole } from "../support/blackhole.ts";
import { eventually } from "../support/gateway-command.ts";
import { Peer, type PeerServer, until } from "../support/peer.ts";
import { createScene, deadPort, local } from "../support/scene.ts";

const scene = createScene();
const { keep, gatewayTo, greeter, served } = scene;
afterEach(() => scene.close());

const insecure: SrvConfig = { domain: "a.test", name: undefined, isInsecure: true };
const secure: SrvConfig = { ...insecure, isInsecure: false };

/** SRV records that a test can change. Each names a server on this machine. */
class Zone {
  records: SrvRecord[] = [];
  lookups = 0;

  /** Replaces the records with one for each server, all with target `m.test`, priority 0 and weight 0. */
  set(...servers: readonly { port: number }[]): void {
    this.records = servers.map(({ port }) => ({ name: "m.test", port, priority: 0, weight: 0 }));
  }

  get options(): LocalOptions {
    return {
      srv: insecure,
      discoveryRefreshMs: 20,
      lookup: () => Promise.resolve(["127.0.0.1"]),
      resolveSrv: () => {
        this.lookups++;
        return Promise.resolve(this.records);
      },
    };
  }
}

const recordAt = (port: number): SrvRecord => ({ name: "m.a.test", port, priority: 0, weight: 0 });

const acceptedBy = (servers: readonly PeerServer[]) =>
  servers.map(({ accepted }) => accepted.length);

describe("--discovery-srv: an added endpoint", () => {
  test("serves new clients, and open relays stay", async () => {
    const zone = new Zone();
    const servers = [greeter(), greeter()];
    zone.set(servers[0]!);
    const gateway = await gatewayTo([], zone.options);
    const client = await served(gateway);
    zone.set(servers[1]!, servers[0]!);
    const [line] = await gateway.logged("endpoints changed");
    expect(line).toMatchObject({ added: [`m.test:${servers[1]!.port}`], removed: [] });
    for (let i = 0; i < 4; i++) await served(gateway);
    expect(acceptedBy(servers)).toEqual([3, 2]);
    expect(client.outcome).toBeUndefined();
  });

  test("is logged once, not when only the order of the records changes", async () => {
    const zone = new Zone();
    const servers = [greeter(), greeter()];
    zone.set(...servers);
    const gateway = await gatewayTo([], zone.options);
    zone.records = zone.records.toReversed();
    const { lookups } = zone;
    await until(() => zone.lookups > lookups + 4, "DNS was queried again");
    expect(gateway.lines("endpoints changed")).toEqual([]);
    expect(gateway.lines("discovered cluster from SRV")).toHaveLength(1);
  });
});

describe("an endpoint whose name is silent at start", () => {
  test("does not delay the start, and is used once its name resolves", async () => {
    const [server, late] = [greeter(undefined, "127.0.0.1"), greeter(undefined, "127.0.0.2")];
    const silent = Promise.withResolvers<string[]>();
    const records = [server, late].map(({ port }, i) => ({
      ...recordAt(port),
      name: `m${i}.a.test`,
    }));
    const gateway = await gatewayTo([], {
      srv: secure,
      discoveryRefreshMs: 3_600_000,
      lookup: (host) => (host === "m1.a.test" ? silent.promise : Promise.resolve(["127.0.0.1"])),
      resolveSrv: (name) => Promise.resolve(name.includes("-ssl") ? records : []),
      verify: () => Promise.resolve(),
    });
    await served(gateway);
    expect(late.accepted).toHaveLength(0);
    silent.resolve(["127.0.0.2"]);
    const [line] = await gateway.logged("endpoints changed");
    expect(line).toMatchObject({ added: [`m1.a.test:${late.port}`], removed: [] });
    for (let i = 0; i < 2; i++) await served(gateway);
    expect(late.accepted).toHaveLength(1);
  });
});

describe("--discovery-srv: a removed endpoint", () => {
  test("gets no new clients, and its relays are reset after the drain timeout", async () => {
    const zone = new Zone();
    const servers = [greeter(), greeter()];
    zone.set(...servers);
    const gateway = await gatewayTo([], { ...zone.options, drainTimeoutMs: 150 });
    const clients = [await served(gateway), await served(gateway)];
    zone.set(servers[1]!);
    await gateway.logged("endpoints changed");
    for (let i = 0; i < 4; i++) await served(gateway);
    expect(acceptedBy(servers)).toEqual([1, 5]);
    expect(clients[0]!.outcome).toBeUndefined();
    expect(await clients[0]!.gone()).toBe("ECONNRESET");
    expect(clients[1]!.outcome).toBeUndefined();
    expect(gateway.lines("reset relays to a removed endpoint")).toMatchObject([
      { address: `m.test:${servers[0]!.port}`, relays: 1 },
    ]);
  });

  test("keeps its relays if it comes back with another case", async () => {
    const zone = new Zone();
    const servers = [greeter(), greeter()];
    zone.set(...servers);
    const [removed, kept] = zone.records;
    const gateway = await gatewayTo([], { ...zone.options, drainTimeoutMs: 60_000 });
    await served(gateway);
    await served(gateway);
    zone.records = [kept!];
    await gateway.logged("endpoints changed");
    await gateway.reconfigure({
      srv: undefined,
      endpoints: [
        parseStaticEndpoint(`M.TEST:${removed!.port}`),
        parseStaticEndpoint(`m.Test:${kept!.port}`),
      ],
    });
    expect(
      gateway.status().endpoints.map(({ address, connections }) => [address, connections]),
    ).toEqual([kept!, removed!].map(({ port }) => [`m.test:${port}`, 1]));
  });

  test("keeps its relays until they end, within the drain timeout", async () => {
    const zone = new Zone();
    const servers = [greeter(), greeter()];
    zone.set(...servers);
    const gateway = await gatewayTo([], { ...zone.options, drainTimeoutMs: 60_000 });
    const client = await served(gateway);
    zone.set(servers[1]!);
    await gateway.logged("endpoints changed");
    await client.send(1000);
    await until(() => servers[0]!.accepted[0]!.receivedBytes === 1000, "its bytes arrived");
    client.shutdown();
    servers[0]!.accepted[0]!.shutdown();
    expect(await client.gone()).toBe("end");
  });

  test("keeps its relays if it comes back within the drain timeout", async () => {
    const zone = new Zone();
    const servers = [greeter(), greeter()];
    zone.set(...servers);
    const gateway = await gatewayTo([], { ...zone.options, drainTimeoutMs: 120 });
    const client = await served(gateway);
    zone.set(servers[1]!);
    await gateway.logged("endpoints changed");
    zone.set(...servers);
    await gateway.logged("endpoints changed", 2);
    await Bun.sleep(250); // beyond the drain timeout
    expect(client.outcome).toBeUndefined();
    expect(gateway.lines("reset relays to a removed endpoint")).toEqual([]);
    const { accepted } = servers[0]!;
    await served(gateway);
    await served(gateway);
    expect(accepted).toHaveLength(2);
  });

  test("loses a client that is being dialled to another endpoint", async () => {
    const zone = new Zone();
    const hole = keep(new Blackhole());
    const server = greeter();
    zone.set(hole);
    const gateway = await gatewayTo([], {
      ...zone.options,
      drainTimeoutMs: 0,
      dialTimeoutMs: 400,
    });
    const client = await Peer.connect(gateway.port);
    zone.set(server);
    await gateway.logged("endpoints changed");
    await until(() => client.receivedBytes === 1 || client.outcome !== undefined, "answered");
    expect([client.receivedBytes, client.outcome]).toEqual([1, undefined]);
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
    client.reset();
  });

  test("does not get a client whose lookup ends after the removal", async () => {
    const zone = new Zone();
    const [leaving, staying] = [greeter(), greeter()];
    zone.set(leaving);
    let delayMs = 0;
    const gateway = await gatewayTo([], {
      ...{ ...zone.options, drainTimeoutMs: 0, attemptDelayMs: 0 },
      lookup: async () => {
        await Bun.sleep(delayMs);
        return ["127.0.0.1"];
      },
    });
    delayMs = 150; // less than the resolver's STALE_ANSWER_TIMEOUT_MS
    const client = await Peer.connect(gateway.port);
    zone.set(staying);
    await gateway.logged("endpoints changed");
    await until(() => client.receivedBytes === 1 || client.outcome !== undefined, "answered");
    expect([client.receivedBytes, client.outcome]).toEqual([1, undefined]);
    expect(staying.accepted).toHaveLength(1);
    client.reset();
  });

  test("is no longer probed if it was down", async () => {
    const zone = new Zone();
    const dead = deadPort();
    const server = greeter();
    zone.set({ port: dead }, server);
    const gateway = await gatewayTo([], { ...zone.options, retryDelayMs: 50 });
    await served(gateway);
    await gateway.logged("deactivated endpoint");
    zone.set(server);
    await gateway.logged("endpoints changed");
    const message = "failed to activate endpoint (stay inactive for another interval)";
    const before = gateway.lines(message).length;
    await Bun.sleep(150); // three retry delays
    expect(gateway.lines(message)).toHaveLength(before);
  });
});

describe("--discovery-srv while no endpoint is up", () => {
  test("is refreshed at once for a client, which gets the endpoint that is found", async () => {
    const zone = new Zone();
    const server = greeter();
    zone.set({ port: deadPort() });
    const options = { ...zone.options, discoveryRefreshMs: 3_600_000 };
    const gateway = await gatewayTo([], options);
    zone.set(server);
    await served(gateway);
    expect(server.accepted).toHaveLength(1);
  });

  test("is refreshed once for 200 clients, which are then refused", async () => {
    const zone = new Zone();
    zone.set({ port: deadPort() });
    const gateway = await gatewayTo([], { ...zone.options, discoveryRefreshMs: 3_600_000 });
    const clients = await Promise.all(
      Array.from({ length: 200 }, () => Peer.connect(gateway.port)),
    );
    for (const client of clients) expect(await client.gone()).toBe("ECONNRESET");
    expect(zone.lookups).toBe(4); // two names at start, and two for the clients
  });

  test("does not hold a client for long when DNS does not answer", async () => {
    const zone = new Zone();
    zone.set({ port: deadPort() });
    let isSilent = false;
    const gateway = await gatewayTo([], {
      ...zone.options,
      discoveryRefreshMs: 3_600_000,
      resolveSrv: () => (isSilent ? new Promise(() => {}) : Promise.resolve(zone.records)),
    });
    isSilent = true;
    const client = await Peer.connect(gateway.port);
    expect(await client.gone()).toBe("ECONNRESET");
  });
});

describe("--discovery-srv with the name of the gateway itself", () => {
  test("rejects it, and the other endpoint serves all clients", async () => {
    const zone = new Zone();
    const server = greeter();
    const port = deadPort();
    zone.set({ port }, server);
    const gateway = await gatewayTo([], { ...zone.options, listen: { host: "127.0.0.1", port } });
    for (let i = 0; i < 4; i++) await served(gateway);
    expect(server.accepted).toHaveLength(4);
    expect(gateway.lines("ready to proxy client requests")).toMatchObject([
      { endpoints: [`m.test:${server.port}`] },
    ]);
    expect(gateway.lines("rejected endpoint (checked again at each refresh)")).toMatchObject([
      { address: `m.test:${port}`, from: "SRV" },
    ]);
  });
});

describe("--discovery-srv with verification", () => {
  test("dials verified addresses only, and verifies a new address for the next client", async () => {
    const server = greeter(undefined, "127.0.0.1");
    const other = greeter(server.port, "127.0.0.2");
    let addresses = ["127.0.0.1"];
    const trusted = new Set(["127.0.0.1"]);
    const gateway = await gatewayTo([], {
      srv: secure,
      discoveryRefreshMs: 3_600_000,
      lookup: () => Promise.resolve(addresses),
      resolveSrv: (name) => Promise.resolve(name.includes("-ssl") ? [recordAt(server.port)] : []),
      verify: ({ host }) =>
        trusted.has(host)
          ? Promise.resolve()
          : Promise.reject(Object.assign(new Error("no"), { code: "CERT_HAS_EXPIRED" })),
    });
    await served(gateway);
    addresses = ["127.0.0.2"];
    const refused = await Peer.connect(gateway.port);
    expect(await refused.gone()).toBe("ECONNRESET");
    expect(other.accepted).toHaveLength(0);
    expect(gateway.lines("deactivated endpoint")).toMatchObject([
      { error: `dial tcp m.a.test:${server.port}: has no verified address` },
    ]);
    trusted.add("127.0.0.2");
    // Clients cause at most one refresh per second; the next one after that is served.
    await eventually(async () => await served(gateway), "a client is served");
    expect(other.accepted).toHaveLength(2); // the probe and the client
  });

  test("verifies a changed address for the first client that needs it", async () => {
    const server = greeter(undefined, "127.0.0.1");
    const other = greeter(server.port, "127.0.0.2");
    let addresses = ["127.0.0.1"];
    const gateway = await gatewayTo([], {
      srv: secure,
      discoveryRefreshMs: 3_600_000,
      lookup: () => Promise.resolve(addresses),
      resolveSrv: (name) => Promise.resolve(name.includes("-ssl") ? [recordAt(server.port)] : []),
      verify: () => Promise.resolve(),
    });
    addresses = ["127.0.0.2"];
    await served(gateway);
    expect(other.accepted).toHaveLength(1);
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });
});

describe("--endpoints: a name with several addresses", () => {
  test("is dialled at each of them in turn", async () => {
    const servers = [greeter(undefined, "127.0.0.1")];
    const { port } = servers[0]!;
    servers.push(greeter(port, "127.0.0.2"), greeter(port, "127.0.0.3"));
    const lookup = () => Promise.resolve(["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    const gateway = await gatewayTo([`m.test:${port}`], { lookup });
    for (let i = 0; i < 9; i++) await served(gateway);
    expect(acceptedBy(servers)).toEqual([3, 3, 3]);
  });

  test("is dialled at each of them in turn, independently of another name", async () => {
    const servers = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"].map((address) =>
      greeter(undefined, address),
    );
    const [a, b] = [servers[0]!.port, servers[2]!.port];
    servers.push(greeter(a, "127.0.0.2"), greeter(b, "127.0.0.4"));
    const lookup = (host: string) =>
      Promise.resolve(host === "a.test" ? ["127.0.0.1", "127.0.0.2"] : ["127.0.0.3", "127.0.0.4"]);
    const gateway = await gatewayTo([`a.test:${a}`, `b.test:${b}`], { lookup });
    for (let i = 0; i < 8; i++) await served(gateway);
    expect(acceptedBy([servers[0]!, servers[4]!, servers[2]!, servers[5]!])).toEqual([2, 2, 2, 2]);
  });
});

describe("--policy least-connections", () => {
  test("balances long-lived connections after an endpoint has come back", async () => {
    const servers = [greeter(), greeter()];
    const [a, b] = servers.map(({ port }) => port) as [number, number];
    const gateway = await gatewayTo([local(a), local(b)], {
      policy: "least-connections",
      retryDelayMs: 20,
    });
    servers[1]!.close();
    for (let i = 0; i < 6; i++) await served(gateway);
    servers[1] = greeter(b);
    await gateway.logged("activated");
    for (let i = 0; i < 6; i++) await served(gateway);
    expect(acceptedBy(servers)).toEqual([6, 1 + 6]); // one more for the probe
  });

  test("does not count connections that have ended", async () => {
    const servers = [greeter(), greeter()];
    const gateway = await gatewayTo(
      servers.map(({ port }) => local(port)),
      {
        policy: "least-connections",
      },
    );
    const first = await served(gateway);
    await served(gateway);
    first.reset();
    await servers[0]!.accepted[0]!.gone();
    await served(gateway);
    expect(acceptedBy(servers)).toEqual([2, 1]);
  });

  test("does not count clients that left while they were being dialled", async () => {
    const hole = keep(new Blackhole());
    const server = greeter();
    const gateway = await gatewayTo([local(hole.port), local(server.port)], {
      policy: "least-connections",
      dialTimeoutMs: 60_000,
    });
    for (let i = 0; i < 5; i++) {
      const client = await Peer.connect(gateway.port);
      await Bun.sleep(20); // time to begin the dial
      client.reset();
      await Bun.sleep(20);
    }
    await served(gateway);
    // Equals take turns. If aborted dials still counted, all five clients would be here.
    expect(server.accepted).toHaveLength(3);
  });
});

describe("reconfigure()", () => {
  test("applies other endpoints at once, and drains relays to the old ones", async () => {
    const servers = [greeter(), greeter()];
    const [a, b] = servers.map(({ port }) => local(port)) as [string, string];
    const gateway = await gatewayTo([a]);
    const client = await served(gateway);
    await gateway.reconfigure({
      endpoints: [parseStaticEndpoint(b)],
      drainTimeoutMs: 50,
    });
    await served(gateway);
    expect(acceptedBy(servers)).toEqual([1, 1]);
    expect(await client.gone()).toBe("ECONNRESET");
  });

  test("rejects an endpoint that is the gateway itself, and changes nothing", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)]);
    const own = parseStaticEndpoint(local(gateway.port));
    await expect(gateway.reconfigure({ endpoints: [own] })).rejects.toThrow(UsageError);
    await served(gateway);
    expect(gateway.lines("endpoints changed")).toEqual([]);
  });

  test("rejects endpoints of which none resolves, and changes nothing", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)]);
    const gone = parseStaticEndpoint("gone.test:1");
    await expect(gateway.reconfigure({ endpoints: [gone] })).rejects.toThrow(StartError);
    await served(gateway);
  });

  test("rejects a CA file that does not exist, and changes nothing", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)]);
    const tls = { ...gateway.config.tls, trustedCaFile: "/gone/ca.pem" };
    await expect(gateway.reconfigure({ tls })).rejects.toThrow(
      new StartError('Cannot use --trusted-ca-file "/gone/ca.pem": there is no such file'),
    );
    await served(gateway);
  });

  test("applies another connection limit to new clients only", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)]);
    const clients = [await served(gateway), await served(gateway)];
    await gateway.reconfigure({ maxConnections: 1 });
    const refused = await Peer.connect(gateway.port);
    expect(await refused.gone()).toBe("ECONNRESET");
    expect(clients.map(({ outcome }) => outcome)).toEqual([undefined, undefined]);
    await gateway.reconfigure({ maxConnections: 3 });
    await served(gateway);
  });

  test("applies another retry delay to endpoints that are down already", async () => {
    const dead = deadPort();
    const server = greeter();
    const gateway = await gatewayTo([local(dead), local(server.port)], {
      retryDelayMs: 3_600_000,
    });
    await served(gateway);
    greeter(dead);
    await gateway.reconfigure({ retryDelayMs: 20 });
    await gateway.logged("activated");
  });
});
