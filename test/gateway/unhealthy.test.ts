// The effect of failed health checks on clients: which are moved, and which stay.
import { afterEach, expect, test } from "bun:test";
import { parseHealthUrl } from "../../src/core/health-url.ts";
import { Blackhole } from "../support/blackhole.ts";
import { until } from "../support/peer.ts";
import { createScene, local } from "../support/scene.ts";

const scene = createScene();
const { gatewayTo, greeter, served } = scene;
afterEach(() => scene.close());

const RESET = "reset relays to an unhealthy endpoint";

/** Three servers, each with a client and a health check every 20 ms. */
async function threeServers(isClosedWhenUnhealthy = true) {
  const servers = [greeter(), greeter(), greeter()];
  const statuses = new Map(servers.map(({ port }) => [port, 200]));
  const gateway = await gatewayTo(
    servers.map(({ port }) => local(port)),
    {
      healthUrl: parseHealthUrl("http://{host}:{port}/health"),
      ...{ healthIntervalMs: 20, healthFall: 2, healthRise: 2, isClosedWhenUnhealthy },
      request: ({ port }) => {
        const status = statuses.get(port)!;
        if (status === 0) return Promise.reject(Object.assign(new Error(), { code: "ETIMEDOUT" }));
        return Promise.resolve({ status, body: "" });
      },
    },
  );
  const clients = [await served(gateway), await served(gateway), await served(gateway)];
  /** Sets the status of each server's health response; 0: no response. */
  const answer = (...codes: number[]) =>
    codes.forEach((status, i) => statuses.set(servers[i]!.port, status));
  return { servers, gateway, clients, answer };
}

test("--health-close moves the clients of an unhealthy endpoint when another passes its checks", async () => {
  const { gateway, clients, answer } = await threeServers();
  answer(503, 200, 200);
  await gateway.logged("endpoint is unhealthy");
  expect(await clients[0]!.gone()).toBe("ECONNRESET");
  expect(gateway.lines(RESET)).toMatchObject([{ relays: 1 }]);
  expect(clients.slice(1).map(({ outcome }) => outcome)).toEqual([undefined, undefined]);
});

test("--health-close resets no client while every endpoint fails, nor when all recover", async () => {
  const { gateway, clients, answer } = await threeServers();
  answer(503, 503, 503);
  await gateway.logged("endpoint is unhealthy", 3);
  expect(gateway.lines("endpoint is unhealthy").at(-1)).toMatchObject({
    error: "HTTP 503",
    note: "no endpoint is healthy: clients go to unhealthy endpoints before unresponsive ones",
  });
  await served(gateway);
  answer(200, 200, 200);
  await gateway.logged("endpoint is healthy again", 3);
  expect(gateway.lines(RESET)).toEqual([]);
  expect(clients.map(({ outcome }) => outcome)).toEqual([undefined, undefined, undefined]);
});

test("--health-close moves the clients of an unresponsive endpoint once another is healthy", async () => {
  const { servers, gateway, clients, answer } = await threeServers();
  answer(0, 503, 503);
  await gateway.logged("endpoint is unhealthy", 2);
  await gateway.logged("endpoint is unresponsive");
  for (let i = 0; i < 4; i++) await served(gateway);
  // None of the four clients went to the unresponsive endpoint.
  expect(servers.map(({ accepted }) => accepted.length)).toEqual([1, 3, 3]);
  expect(clients[0]!.outcome).toBeUndefined();
  answer(0, 200, 200);
  expect(await clients[0]!.gone()).toBe("ECONNRESET");
  expect(clients.slice(1).map(({ outcome }) => outcome)).toEqual([undefined, undefined]);
});

test("--health-close=false resets no client", async () => {
  const { gateway, clients, answer } = await threeServers(false);
  answer(503, 200, 200);
  await gateway.logged("endpoint is unhealthy");
  answer(200, 200, 200);
  await gateway.logged("endpoint is healthy again");
  expect(clients.map(({ outcome }) => outcome)).toEqual([undefined, undefined, undefined]);
});

test("reconfigure() without a health URL makes all endpoints healthy", async () => {
  const server = greeter();
  const gateway = await gatewayTo([local(greeter().port), local(server.port)], {
    healthUrl: parseHealthUrl("http://{host}:{port}/health"),
    ...{ healthIntervalMs: 20, healthFall: 1 },
    request: ({ port }) => Promise.resolve({ status: port === server.port ? 503 : 200, body: "" }),
  });
  await gateway.logged("endpoint is unhealthy");
  for (let i = 0; i < 4; i++) await served(gateway);
  expect(server.accepted).toHaveLength(0);
  await gateway.reconfigure({ healthUrl: undefined });
  for (let i = 0; i < 4; i++) await served(gateway);
  expect(server.accepted).toHaveLength(2);
});

test("reconfigure() goes on with health checks while discovery waits for DNS", async () => {
  const [good, bad] = [greeter(), greeter()];
  const broken = new Set<number>();
  let isSilent = false;
  const gateway = await gatewayTo([], {
    srv: { domain: "a.test", name: undefined, isInsecure: true },
    lookup: () => Promise.resolve(["127.0.0.1"]),
    resolveSrv: () =>
      isSilent
        ? new Promise(() => {})
        : Promise.resolve(
            [good, bad].map(({ port }) => ({ name: "m.a.test", port, priority: 0, weight: 0 })),
          ),
    healthUrl: parseHealthUrl("http://{host}:{port}/health"),
    ...{ healthIntervalMs: 20, healthFall: 1 },
    request: ({ port }) => Promise.resolve({ status: broken.has(port) ? 503 : 200, body: "" }),
  });
  isSilent = true;
  void gateway.reconfigure({});
  await Bun.sleep(0);
  broken.add(bad.port);
  const [line] = await gateway.logged("endpoint is unhealthy");
  expect(line).toMatchObject({ address: `m.a.test:${bad.port}` });
});

test("--health-close moves no client by checks from before a reload", async () => {
  const [fast, slow] = [greeter(), greeter()];
  const late = Promise.withResolvers<void>();
  const passed = new Map([fast.port, slow.port].map((port) => [port, 0]));
  const gateway = await gatewayTo([local(fast.port), local(slow.port)], {
    healthUrl: parseHealthUrl("http://{host}:{port}/health"),
    ...{ healthIntervalMs: 20, healthFall: 1, isClosedWhenUnhealthy: true },
    request: async ({ port }, _, { path }) => {
      if (path !== "/wrong") passed.set(port, passed.get(port)! + 1);
      else if (port === slow.port) await late.promise;
      return { status: path === "/wrong" ? 404 : 200, body: "" };
    },
  });
  const clients = [await served(gateway), await served(gateway)];
  await until(() => passed.get(fast.port)! > 1 && passed.get(slow.port)! > 1, "both have passed");
  await gateway.reconfigure({ healthUrl: parseHealthUrl("http://{host}:{port}/wrong") });
  await gateway.logged("endpoint is unhealthy");
  late.resolve();
  await gateway.logged("endpoint is unhealthy", 2);
  expect(gateway.lines(RESET)).toEqual([]);
  expect(clients.map(({ outcome }) => outcome)).toEqual([undefined, undefined]);
});

test("Gateway dials an unhealthy endpoint after a silent one has failed, not alongside it", async () => {
  const hole = scene.keep(new Blackhole());
  const unhealthy = greeter();
  const gateway = await gatewayTo([local(hole.port), local(unhealthy.port)], {
    healthUrl: parseHealthUrl("http://{host}:{port}/health"),
    ...{ healthIntervalMs: 20, healthFall: 1, attemptDelayMs: 20, dialTimeoutMs: 200 },
    request: ({ port }) =>
      Promise.resolve({ status: port === unhealthy.port ? 503 : 200, body: "" }),
  });
  await gateway.logged("endpoint is unhealthy");
  await served(gateway);
  expect(unhealthy.accepted).toHaveLength(1);
  expect(gateway.lines("deactivated endpoint")).toMatchObject([{ address: local(hole.port) }]);
});

test("health checks try every address of a name in turn", async () => {
  const server = greeter();
  const gateway = await gatewayTo([`etcd.test:${server.port}`], {
    healthUrl: parseHealthUrl("http://{host}:{port}/health"),
    ...{ healthIntervalMs: 20, healthFall: 1 },
    lookup: () => Promise.resolve(["::1", "127.0.0.1"]),
    request: ({ host }) =>
      host === "127.0.0.1"
        ? Promise.resolve({ status: 503, body: "no leader" })
        : Promise.reject(Object.assign(new Error(), { code: "ECONNREFUSED" })),
  });
  const [line] = await gateway.logged("endpoint is unhealthy");
  expect(line).toMatchObject({ error: "HTTP 503: no leader" });
});

test("health checks find an endpoint unresponsive if every address refuses, and log each reason", async () => {
  const server = greeter();
  const gateway = await gatewayTo([`etcd.test:${server.port}`], {
    healthUrl: parseHealthUrl("http://{host}:{port}/health"),
    ...{ healthIntervalMs: 20, healthFall: 1 },
    lookup: () => Promise.resolve(["::1", "127.0.0.1"]),
    request: () => Promise.reject(Object.assign(new Error(), { code: "ECONNREFUSED" })),
  });
  const [line] = await gateway.logged("endpoint is unresponsive");
  expect(line).toMatchObject({ error: "::1: connection refused, 127.0.0.1: connection refused" });
});
