// Gateway.status() and the access log: their counters add up to what happened.
import { afterEach, describe, expect, test } from "bun:test";
import type { GatewayStatus } from "../../src/gateway/gateway-status.ts";
import type { LocalGateway } from "../support/local-gateway.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";
import { createScene, deadPort, local } from "../support/scene.ts";

const scene = createScene();
const { gatewayTo, greeter, served } = scene;
afterEach(() => scene.close());

const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((total, count) => total + count, 0);

/** Returns the counts that are not 0. */
const nonZero = (counts: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

function expectToAddUp({ accepted, relayed, refused, ended, active }: GatewayStatus) {
  expect(accepted).toBe(relayed + sum(refused));
  expect(relayed).toBe(sum(ended) + active);
}

/** Waits until no relay is open, and returns the status. */
async function statusWhenIdle(gateway: LocalGateway): Promise<GatewayStatus> {
  await until(() => gateway.status().active === 0, "every relay had ended");
  const status = gateway.status();
  expectToAddUp(status);
  return status;
}

describe("Gateway.status()", () => {
  test("counts bytes of both directions while a relay is open and after it has closed", async () => {
    const server = scene.keep(new PeerServer());
    const gateway = await gatewayTo([local(server.port)]);
    const client = await Peer.connect(gateway.port);
    const far = await server.peer();
    await client.send(100_000);
    await far.send(200_000);
    const hasArrived = () => far.receivedBytes === 100_000 && client.receivedBytes === 200_000;
    await until(hasArrived, "all bytes had arrived");
    const bytes = { bytesToServer: 100_000, bytesToClients: 200_000 };
    const during = gateway.status();
    expect(during).toMatchObject({ active: 1, bytesToServers: 100_000, bytesToClients: 200_000 });
    expect(during.endpoints).toMatchObject([{ connections: 1, ...bytes }]);
    client.shutdown();
    far.shutdown();
    const after = await statusWhenIdle(gateway);
    expect(after).toMatchObject({ bytesToServers: 100_000, bytesToClients: 200_000 });
    expect(after.endpoints).toMatchObject([{ connections: 0, ...bytes }]);
  });

  test("counts relays by how they ended", async () => {
    const server = scene.keep(new PeerServer());
    const gateway = await gatewayTo([local(server.port)]);
    const pair = async (): Promise<[Peer, Peer]> => {
      const count = server.accepted.length;
      const client = await Peer.connect(gateway.port);
      return [client, await server.peer(count)];
    };
    const ends = {
      client_closed: async () => {
        const [client, far] = await pair();
        client.shutdown();
        await far.gone();
        far.shutdown();
      },
      server_closed: async () => {
        const [client, far] = await pair();
        far.shutdown();
        await client.gone();
        client.shutdown();
      },
      client_reset: async () => (await pair())[0].reset(),
      server_reset: async () => (await pair())[1].reset(),
    };
    for (const end of Object.values(ends)) {
      await end();
      await statusWhenIdle(gateway);
    }
    const each = { client_closed: 1, server_closed: 1, client_reset: 1, server_reset: 1 };
    expect(nonZero(gateway.status().ended)).toEqual(each);
    await pair();
    gateway.close();
    expect(nonZero(gateway.status().ended)).toEqual({ ...each, shutdown: 1 });
  });

  test("counts refused clients by reason", async () => {
    const gateway = await gatewayTo([local(deadPort())]);
    await (await Peer.connect(gateway.port)).gone();
    expect(nonZero((await statusWhenIdle(gateway)).refused)).toEqual({ no_endpoint: 1 });
    await gateway.reconfigure({ allowedNetworks: ["10.0.0.0/8"] });
    await (await Peer.connect(gateway.port)).gone();
    expect(nonZero((await statusWhenIdle(gateway)).refused)).toEqual({
      no_endpoint: 1,
      not_allowed: 1,
    });
  });

  test("counts clients that were refused at the limits", async () => {
    const options = { maxConnections: 2, maxConnectionsPerClient: 1 };
    const gateway = await gatewayTo([local(greeter().port)], options);
    await served(gateway);
    await (await Peer.connect(gateway.port)).gone();
    await gateway.reconfigure({ maxConnections: 1 });
    await (await Peer.connect(gateway.port)).gone();
    expect(nonZero(gateway.status().refused)).toEqual({ client_limit: 1, connection_limit: 1 });
    expectToAddUp(gateway.status());
  });

  test("returns why and since when an endpoint is down, and the outcomes of its dials", async () => {
    const [dead, live] = [deadPort(), greeter().port];
    const gateway = await gatewayTo([local(dead), local(live)]);
    for (let i = 0; i < 4; i++) await served(gateway);
    const [first, second] = gateway.status().endpoints;
    expect(first).toMatchObject({
      address: local(dead),
      up: false,
      why: `dial tcp ${local(dead)}: connect: connection refused`,
    });
    expect(first!.sinceMs).toBeLessThan(gateway.status().uptimeMs);
    expect(nonZero(first!.dials)).toEqual({ refused: 1 });
    expect(second).toMatchObject({ up: true, healthy: true, why: null, connections: 4 });
    expect(nonZero(second!.dials)).toEqual({ connected: 4 });
    expect(second!.dialTimes.counts.reduce((a, b) => a + b)).toBe(4);
    expect(second!.dialTimes.sumSeconds).toBeGreaterThan(0);
  });
});

describe("--access-log", () => {
  test("logs a line for each client, with its endpoint, times, bytes and end", async () => {
    const dead = deadPort();
    const server = scene.keep(new PeerServer());
    const options = { hasAccessLog: true, retryDelayMs: 3_600_000 };
    const gateway = await gatewayTo([local(dead), local(server.port)], options);
    const client = await Peer.connect(gateway.port);
    const far = await server.peer();
    await client.send(1000);
    await far.send(2000);
    const hasArrived = () => far.receivedBytes === 1000 && client.receivedBytes === 2000;
    await until(hasArrived, "all bytes had arrived");
    client.reset();
    const [line] = await gateway.logged("client served");
    expect(line).toMatchObject({
      level: "info",
      endpoint: local(server.port),
      "bytes-to-server": 1000,
      "bytes-to-client": 2000,
      end: "client_reset",
    });
    expect(line!["client"]).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(line!["total-ms"]).toBeGreaterThanOrEqual(line!["connect-ms"] as number);
    server.close();
    await (await Peer.connect(gateway.port)).gone();
    const [refused] = await gateway.logged("client not served");
    expect(refused).toMatchObject({ endpoint: null, "connect-ms": null, end: "refused" });
  });

  test("can be switched on and off by a reload", async () => {
    const gateway = await gatewayTo([local(greeter().port)]);
    (await served(gateway)).reset();
    await statusWhenIdle(gateway);
    const earlier = await served(gateway);
    await gateway.reconfigure({ hasAccessLog: true });
    earlier.reset();
    (await served(gateway)).reset();
    for (const { client } of await gateway.logged("client served", 2))
      expect(client).toMatch(/^127\.0\.0\.1:\d+$/);
    await gateway.reconfigure({});
    (await served(gateway)).reset();
    await statusWhenIdle(gateway);
    expect(gateway.lines("client served")).toHaveLength(2);
  });
});
