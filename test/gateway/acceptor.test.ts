// Which clients the gateway accepts: by their address, and by the connections that
// are open already.
import { afterEach, describe, expect, test } from "bun:test";
import { RateLimitedLog } from "../../src/observe/rate-limited-log.ts";
import type { Logger } from "../../src/observe/log.ts";
import { startConnect } from "../../src/os/tcp.ts";
import { resetAndClose } from "../support/blackhole.ts";
import type { LocalGateway } from "../support/local-gateway.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Peer, until } from "../support/peer.ts";
import { createScene, local } from "../support/scene.ts";

const scene = createScene();
const { gatewayTo, greeter, served } = scene;
afterEach(() => scene.close());

async function expectRefusal(gateway: LocalGateway): Promise<void> {
  const client = await Peer.connect(gateway.port);
  expect(await client.gone()).toBe("ECONNRESET");
}

describe("--allow-cidr", () => {
  test.each([
    [["127.0.0.0/8"]],
    [["127.0.0.1/32"]],
    [["10.0.0.0/8", "0.0.0.0/0"]],
    [["::1/128", "127.0.0.1/32"]],
  ])("%j serves a client at 127.0.0.1", async (allowedNetworks) => {
    const gateway = await gatewayTo([local(greeter().port)], { allowedNetworks });
    await served(gateway);
  });

  test.each([[["10.0.0.0/8"]], [["127.0.0.2/32"]], [["::1/128"]]])(
    "%j resets a client at 127.0.0.1 before anything is dialled",
    async (allowedNetworks) => {
      const server = greeter();
      const gateway = await gatewayTo([local(server.port)], { allowedNetworks });
      await expectRefusal(gateway);

      expect(server.accepted).toHaveLength(0);
      expect(gateway.lines("refusing clients: outside --allow-cidr")).toMatchObject([
        { level: "warn", client: "127.0.0.1", count: 1 },
      ]);
    },
  );

  test("recognizes an IPv4 client of a listener on ::", async () => {
    const listen = { host: "::", port: 0 };
    const options = { listen, allowedNetworks: ["127.0.0.0/8"] };
    await served(await gatewayTo([local(greeter().port)], options));
  });

  test("applies a change to new clients only", async () => {
    const gateway = await gatewayTo([local(greeter().port)]);
    const client = await served(gateway);
    await gateway.reconfigure({ allowedNetworks: ["10.0.0.0/8"] });
    await expectRefusal(gateway);
    expect(client.outcome).toBeUndefined();
    await gateway.reconfigure({ allowedNetworks: [] });
    await served(gateway);
  });
});

describe("--max-connections", () => {
  test("does not count clients that have reset, even before Bun reports it", async () => {
    const gateway = await gatewayTo([local(greeter().port)], { maxConnections: 10 });
    // All of this happens within one turn of the event loop, which the gateway shares.
    const descriptors = Array.from({ length: 100 }, () => startConnect("127.0.0.1", gateway.port));
    for (const fd of descriptors) resetAndClose(fd);
    await served(gateway);
    expect(gateway.lines("refusing clients: connection limit reached")).toEqual([]);
  });
});

describe("--max-connections-per-client", () => {
  test("resets a client over the limit, and serves another when one has left", async () => {
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)], { maxConnectionsPerClient: 2 });
    const clients = [await served(gateway), await served(gateway)];
    await expectRefusal(gateway);
    clients[0]!.reset();
    await clients[0]!.gone();
    await until(() => server.accepted[0]!.outcome !== undefined, "its relay ended");
    await served(gateway);
    const message = "refusing clients: over --max-connections-per-client";
    expect(gateway.lines(message)[0]).toMatchObject({ client: "127.0.0.1" });
  });

  test("does not count clients that were refused", async () => {
    const options = { maxConnectionsPerClient: 2, retryDelayMs: 3_600_000 };
    const server = greeter();
    const gateway = await gatewayTo([local(server.port)], options);
    server.close();
    for (let i = 0; i < 10; i++) await expectRefusal(gateway);
    greeter(server.port);
    await served(gateway);
    await served(gateway);
  });
});

describe("Gateway.start() beyond loopback", () => {
  const message = "accepting clients from any address (--allow-cidr restricts them)";

  test("logs one warning", async () => {
    const gateway = await gatewayTo([local(greeter().port)], { listen: { host: "::", port: 0 } });
    expect(gateway.lines(message)).toMatchObject([
      { level: "warn", address: `[::]:${gateway.port}` },
    ]);
  });

  test("logs no warning with --allow-cidr, nor on loopback", async () => {
    const restricted = { listen: { host: "0.0.0.0", port: 0 }, allowedNetworks: ["127.0.0.0/8"] };
    const gateways = [
      await gatewayTo([local(greeter().port)], restricted),
      await gatewayTo([local(greeter().port)]),
    ];
    for (const gateway of gateways) expect(gateway.lines(message)).toEqual([]);
  });
});

describe("RateLimitedLog", () => {
  function setUp() {
    const clock = new ManualClock();
    const lines: unknown[] = [];
    const log = { warn: (_: string, fields: unknown) => lines.push(fields) };
    return { clock, lines, rateLimitedLog: new RateLimitedLog(log as unknown as Logger, clock) };
  }

  test("warn() logs the first event at once, and the others once a second with their number", () => {
    const { clock, lines, rateLimitedLog } = setUp();
    for (let i = 0; i < 1000; i++) rateLimitedLog.warn("x", { i });
    expect(lines).toEqual([{ i: 0, count: 1 }]);
    clock.advance(1000);
    expect(lines).toEqual([
      { i: 0, count: 1 },
      { i: 999, count: 999 },
    ]);
    rateLimitedLog.warn("x", { i: 1000 });
    expect(lines).toHaveLength(2);
    clock.advance(1000);
    expect(lines.at(-1)).toEqual({ i: 1000, count: 1 });
    clock.advance(1000);
    expect(clock.pending).toBe(0);
    rateLimitedLog.warn("x", { i: 1001 });
    expect(lines).toHaveLength(4);
  });

  test("close() logs pending events and clears the timers", () => {
    const { clock, lines, rateLimitedLog } = setUp();
    rateLimitedLog.warn("x", {});
    rateLimitedLog.warn("x", {});
    rateLimitedLog.close();
    rateLimitedLog.close();
    expect([lines.length, clock.pending]).toEqual([2, 0]);
  });
});
