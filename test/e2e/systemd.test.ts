// What systemd is notified of by the compiled gateway: readiness, reloads, its status, the watchdog
// and its end.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { NotifySocket } from "../support/gateway-notify-socket.ts";
import { createGatewayScene } from "../support/gateway-scene.ts";
import { until } from "../support/peer.ts";

setDefaultTimeout(60_000);

const scene = createGatewayScene();
const { closers, startServer, greeter, gatewayTo, visit, folder } = scene;
afterEach(() => scene.close());

describe("start under systemd", () => {
  test.each(["a file", "an abstract name"])(
    "notifies systemd, over %s, when it is ready and when it stops",
    async (kind) => {
      const path =
        kind === "a file" ? join(await folder(), "notify") : `@etcd-gateway-${crypto.randomUUID()}`;
      const socket = closers.add(new NotifySocket(path));
      const gateway = await gatewayTo(startServer(), [], { env: { NOTIFY_SOCKET: path } });
      await until(() => socket.messages.length > 0, "systemd was notified");
      const ready = "READY=1\nSTATUS=1 of 1 endpoints up, 0 clients";
      expect(socket.messages).toEqual([ready]);
      gateway.signal("SIGTERM");
      expect(await gateway.exited()).toBe(0);
      expect(socket.messages).toEqual([ready, "STOPPING=1\nSTATUS=draining"]);
    },
  );

  test("notifies systemd of reloads, of its status, and for the watchdog", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "400000" };
    const gateway = await gatewayTo(greeter(), [], { env });
    await until(() => socket.messages.length > 0, "systemd was notified");
    gateway.signal("SIGHUP");
    await gateway.logged("reloaded");
    await until(() => socket.messages.includes("READY=1"), "the reload was over");
    const reloading = socket.messages.find((text) => text.startsWith("RELOADING=1"));
    const [, seconds] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)\d{6}$/.exec(reloading!)!;
    const uptime = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
    expect(Math.abs(Number(seconds) - uptime)).toBeLessThan(60);
    await visit(gateway.port);
    const status = "STATUS=1 of 1 endpoints up, 1 clients";
    await until(() => socket.messages.includes(status), "the new status arrived");
    const watchdogs = () => socket.messages.filter((text) => text === "WATCHDOG=1").length;
    await until(() => watchdogs() > 2, "three watchdog notifications had arrived");
  });

  test("serves clients and stops while systemd does not read its notifications", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "20000" };
    const gateway = await gatewayTo(greeter(), [], { env });
    await until(() => socket.isFull, "the queue was full", 50_000);
    expect((await visit(gateway.port)).outcome).toBe("served");
    gateway.signal("SIGTERM");
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(socket.messages[0]).toStartWith("READY=1\n");
  });

  test("notifies a systemd that was busy of the end of the last reload", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const gateway = await gatewayTo(greeter(), [], { env: { NOTIFY_SOCKET: path } });
    // Read alone, so that RELOADING=1 is the last message for which there is room.
    await until(() => socket.messages.length > 0, "systemd was notified");
    const room = Number(readFileSync("/proc/sys/net/unix/max_dgram_qlen", "utf8"));
    for (let count = 1; count <= room; count++) {
      gateway.signal("SIGHUP");
      await until(() => gateway.lines("reloaded").length >= count, "the gateway had reloaded");
    }
    await until(() => {
      const states = socket.messages.filter((text) => /^(READY|RELOADING)=1/.test(text));
      return states.length > 1 && states.at(-1) === "READY=1";
    }, "systemd was notified that the last reload was over");
  });

  test("does not reload while it drains", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const gateway = await gatewayTo(greeter(), [], { env: { NOTIFY_SOCKET: path } });
    await visit(gateway.port);
    gateway.signal("SIGTERM");
    await gateway.logged("draining: no new clients");
    gateway.signal("SIGHUP");
    await Bun.sleep(200); // Nothing may happen.
    gateway.signal("SIGTERM");
    expect(await gateway.exited()).toBe(0);
    expect(gateway.lines("reloaded")).toEqual([]);
    expect(socket.messages.at(-1)).toBe("STOPPING=1\nSTATUS=draining");
  });

  test("sends no watchdog notifications if WATCHDOG_PID is another process", async () => {
    const path = `@etcd-gateway-${crypto.randomUUID()}`;
    const socket = closers.add(new NotifySocket(path));
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "100000", WATCHDOG_PID: "1" };
    await gatewayTo(startServer(), [], { env });
    await Bun.sleep(500); // Nothing may happen: a notification would be due every 50 ms.
    expect(socket.messages).toHaveLength(1);
  });
});
