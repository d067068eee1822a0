// The compiled gateway with too few descriptors: at its start, and when the limit is
// lowered while it runs.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { output, requireTool } from "../support/gateway-command.ts";
import { GatewayProcess } from "../support/gateway-process.ts";
import { createGatewayScene, type Visit } from "../support/gateway-scene.ts";
import { until } from "../support/peer.ts";

setDefaultTimeout(60_000);

const scene = createGatewayScene();
const { closers, greeter, gatewayTo, visit } = scene;
afterEach(() => scene.close());

/** Returns the descriptor limit of a running gateway, and a function that changes it. */
function descriptorLimitOf({ pid }: GatewayProcess) {
  const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
  const initial = Number(/Max open files\s+(\d+)/.exec(limits)![1]);
  const limitTo = (count: number) =>
    output([requireTool("prlimit"), `--pid=${pid}`, `--nofile=${count}:${initial}`]);
  return { initial, limitTo };
}

describe("start with a low descriptor limit", () => {
  // A limit of 128, less a reserve of 64 and one for the endpoint; a client takes two.
  const CAPACITY = 31;

  test("resets clients over its capacity without using CPU, and serves new ones when clients leave", async () => {
    const server = greeter();
    const wrapper = [requireTool("prlimit"), "--nofile=128:128"];
    const gateway = await gatewayTo(server, [], { wrapper });
    const descriptorsBefore = gateway.descriptors;
    expect(gateway.lines("listening")).toMatchObject([{ "max-connections": CAPACITY }]);

    const visits: Visit[] = [];
    for (let i = 0; i < 3 * CAPACITY; i++) visits.push(await visit(gateway.port));
    expect(visits.map(({ outcome }) => outcome)).toEqual([
      ...Array.from({ length: CAPACITY }, () => "served"),
      ...Array.from({ length: 2 * CAPACITY }, () => "ECONNRESET"),
    ]);
    expect(server.accepted).toHaveLength(CAPACITY);
    expect(gateway.descriptors).toBe(descriptorsBefore + 2 * CAPACITY);

    const ticksBefore = gateway.cpuTicks;
    await Bun.sleep(1000); // Nothing may happen: the gateway is idle.
    expect(gateway.cpuTicks - ticksBefore).toBeLessThan(20);
    const refusing = "refusing clients: connection limit reached";
    expect(gateway.lines(refusing)).toMatchObject([{ level: "warn", "max-connections": CAPACITY }]);

    for (const { client } of visits.slice(0, CAPACITY)) client!.reset();
    const again = "serving clients again (was: connection limit reached)";
    expect(await gateway.logged(again)).toMatchObject({ level: "info", refused: 2 * CAPACITY });
    await until(() => gateway.descriptors === descriptorsBefore, "all descriptors were closed");
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("resets a client whose dial exceeds the limit, logs that once, and marks no endpoint down", async () => {
    const server = greeter();
    const gateway = await gatewayTo(server);
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    const { limitTo, initial } = descriptorLimitOf(gateway);
    // One more descriptor: for the client, not for the dial.
    await limitTo(gateway.descriptors + 1);
    for (let i = 0; i < 3; i++)
      expect(await visit(gateway.port)).toMatchObject({ outcome: "ECONNRESET" });
    const error = `dial tcp 127.0.0.1:${server.port}: connect: too many open files`;
    const refusing = "refusing clients: out of file descriptors or memory";
    expect(gateway.lines(refusing)).toMatchObject([{ level: "warn", error }]);
    await limitTo(initial);
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    expect(gateway.lines("deactivated endpoint")).toEqual([]);
  });

  test("stops listening if accept(2) fails, without using CPU, and serves connected clients", async () => {
    const server = greeter();
    const gateway = await gatewayTo(server);
    const { client: before } = await visit(gateway.port);
    const { limitTo, initial } = descriptorLimitOf(gateway);
    await limitTo(gateway.descriptors);
    // This client is in the queue when accept(2) fails.
    expect(await visit(gateway.port)).toMatchObject({ outcome: "ECONNRESET" });
    const message = "out of file descriptors: refusing clients";
    expect(await gateway.logged(message)).toMatchObject({ level: "warn", connections: 1 });
    const ticksBefore = gateway.cpuTicks;
    for (let i = 0; i < 10; i++) {
      expect(await visit(gateway.port)).toMatchObject({ outcome: "ECONNREFUSED" });
      await Bun.sleep(200); // Nothing may happen: the gateway is idle, and does not listen.
    }
    expect(gateway.cpuTicks - ticksBefore).toBeLessThan(40);
    await before!.send(1000);
    await until(
      () => server.accepted[0]!.receivedBytes === 1000,
      "the first client was still served",
    );
    await limitTo(initial);
    await gateway.logged("file descriptors available: listening again");
    expect(await visit(gateway.port)).toMatchObject({ outcome: "served" });
    expect(gateway.lines(message)).toHaveLength(1);
  });

  test("exits with 1 if the limit is too low for a single client", async () => {
    const wrapper = [requireTool("prlimit"), "--nofile=65:65"];
    const gateway = closers.add(await GatewayProcess.launch("ours", [], { wrapper }));
    expect(gateway.status).toBe(1);
    expect(gateway.log).toMatchObject([
      {
        level: "error",
        msg: "Cannot run with a limit of 65 open files: at least 67 are needed; raise LimitNOFILE or ulimit -n",
      },
    ]);
  });
});
