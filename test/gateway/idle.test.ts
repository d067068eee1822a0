// --idle-timeout resets relays that move no bytes, and no others.
import { afterEach, expect, test } from "bun:test";
import { Peer, PeerServer, until } from "../support/peer.ts";
import { createScene, local } from "../support/scene.ts";

const scene = createScene();
const { gatewayTo, greeter, served } = scene;
afterEach(() => scene.close());

test("--idle-timeout resets a relay that moves no byte, and keeps one that does", async () => {
  const server = greeter();
  const gateway = await gatewayTo([local(server.port)], { idleTimeoutMs: 300 });
  const [idle, busy] = [await served(gateway), await served(gateway)];
  const ping = setInterval(() => void busy.send(1), 50);
  expect(await idle.gone()).toBe("ECONNRESET");
  await until(() => gateway.lines("reset relay").length > 0, "it was logged");
  expect(gateway.lines("reset relay")).toMatchObject([{ level: "debug", reason: "idle" }]);
  await Bun.sleep(300);
  expect(busy.outcome).toBeUndefined();
  clearInterval(ping);
});

test("--idle-timeout 0 keeps a silent relay", async () => {
  const server = greeter();
  const gateway = await gatewayTo([local(server.port)], { userTimeoutMs: 200 });
  const client = await served(gateway);
  await Bun.sleep(500);
  expect(client.outcome).toBeUndefined();
});

test("--tcp-user-timeout does not reset a client that is alive and does not read", async () => {
  const server = greeter();
  server.onPeer = (peer) => void peer.send(8 << 20);
  const gateway = await gatewayTo([local(server.port)], { userTimeoutMs: 200 });
  const client = await Peer.connect(gateway.port);
  client.pause();
  await Bun.sleep(1200); // six times the timeout
  expect(gateway.lines("reset relay")).toEqual([]);
  client.reset();
});

test("--idle-timeout also resets a server that has half-closed, instead of ending its input", async () => {
  const server = scene.keep(new PeerServer());
  const gateway = await gatewayTo([local(server.port)], { idleTimeoutMs: 300 });
  const client = await Peer.connect(gateway.port);
  const far = await server.peer();
  far.shutdown();
  expect(await client.gone()).toBe("end");
  await client.send(17);
  expect(await far.gone()).toBe("ECONNRESET");
  expect(far.receivedBytes).toBe(17);
});
