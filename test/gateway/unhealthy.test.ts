// What follows from health checks that fail: who is moved, and who is left alone.
import { afterEach, expect, test } from "bun:test";
import { parseHealthUrl } from "../../src/config/health-url.ts";
import { Blackhole } from "../support/blackhole.ts";
import { createScene, local } from "../support/scene.ts";

const scene = createScene();
const { gatewayTo, greeter, served } = scene;
afterEach(() => scene.close());

const RESET = "reset relays to an unhealthy endpoint";

test("clients of unhealthy endpoints are moved as long as there is a healthy one", async () => {
  const servers = [greeter(), greeter(), greeter()];
  let status = 200;
  const gateway = await gatewayTo(
    servers.map(({ port }) => local(port)),
    {
      healthUrl: parseHealthUrl("http://{host}:{port}/health"),
      ...{ healthIntervalMs: 20, healthFall: 2, healthRise: 2 },
      request: () => Promise.resolve({ status, body: "" }),
    },
  );
  const clients = [await served(gateway), await served(gateway), await served(gateway)];
  status = 503;
  await gateway.logged("endpoint is not healthy", 3);
  // Two had somewhere to go; the last is better off where it is.
  expect(gateway.lines(RESET).map(({ relays }) => relays)).toEqual([1, 1]);
  const [first, second, last] = clients;
  expect([await first!.gone(), await second!.gone()]).toEqual(["ECONNRESET", "ECONNRESET"]);
  expect(last!.outcome).toBeUndefined();
  expect(gateway.lines("endpoint is not healthy").at(-1)).toMatchObject({
    error: "HTTP 503",
    note: "none is, so all are used",
  });
  await served(gateway);
  status = 200;
  await gateway.logged("endpoint is healthy again", 3);
});

test("a reload that no longer asks makes all healthy", async () => {
  const server = greeter();
  const gateway = await gatewayTo([local(greeter().port), local(server.port)], {
    healthUrl: parseHealthUrl("http://{host}:{port}/health"),
    ...{ healthIntervalMs: 20, healthFall: 1 },
    request: ({ port }) => Promise.resolve({ status: port === server.port ? 503 : 200, body: "" }),
  });
  await gateway.logged("endpoint is not healthy");
  for (let i = 0; i < 4; i++) await served(gateway);
  expect(server.accepted).toHaveLength(0);
  await gateway.reconfigure({ healthUrl: undefined });
  for (let i = 0; i < 4; i++) await served(gateway);
  expect(server.accepted).toHaveLength(2);
});

test("an unhealthy endpoint is no help beside a silent one, and no end either", async () => {
  const hole = scene.keep(new Blackhole());
  const sick = greeter();
  const gateway = await gatewayTo([local(hole.port), local(sick.port)], {
    healthUrl: parseHealthUrl("http://{host}:{port}/health"),
    ...{ healthIntervalMs: 20, healthFall: 1, attemptDelayMs: 20, dialTimeoutMs: 200 },
    request: ({ port }) => Promise.resolve({ status: port === sick.port ? 503 : 200, body: "" }),
  });
  await gateway.logged("endpoint is not healthy");
  await served(gateway);
  expect(sick.accepted).toHaveLength(1);
  expect(gateway.lines("deactivated endpoint")).toMatchObject([{ address: local(hole.port) }]);
});
