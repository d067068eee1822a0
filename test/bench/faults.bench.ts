// Measures two faults: memory buffered for clients that do not read, and the time to
// the first byte when an endpoint is silent. Prints figures and sets no limits.
import { test } from "bun:test";
import { Blackhole } from "../support/blackhole.ts";
import { Closers } from "../support/gateway-command.ts";
import { greeting, greetersOn } from "../support/greeters.ts";
import { forEachGateway, median } from "./processes.ts";

const STALLED = 1000;
const VISITS = 6;
const TIMEOUT_MS = 10_000;
const BLOCK = Buffer.alloc(1 << 20);

test(`a gateway buffers for ${STALLED} clients that do not read an endless stream`, async () => {
  const flood = (socket: Bun.Socket) => {
    while (socket.write(BLOCK) === BLOCK.length);
  };
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { open: flood, drain: flood, data() {} },
  });
  await forEachGateway([server.port], async (gateway) => {
    await Bun.sleep(1000);
    const before = gateway.residentKib;
    const clients: Bun.Socket[] = [];
    let peak = 0;
    const timer = setInterval(() => (peak = Math.max(peak, gateway.residentKib)), 20);
    for (let i = 0; i < STALLED; i++)
      clients.push(
        await Bun.connect({
          hostname: "127.0.0.1",
          port: gateway.port,
          socket: { open: (socket) => void socket.pause(), data() {} },
        }),
      );
    await Bun.sleep(15_000);
    clearInterval(timer);
    const each = (kib: number) => Number(((kib - before) / STALLED).toFixed(1));
    for (const client of clients) client.terminate();
    return { "KiB each": each(gateway.residentKib), "at most": each(peak) };
  });
  server.stop(true);
});

test(`a gateway serves ${VISITS} clients with one silent and one live endpoint`, async () => {
  const closers = new Closers();
  const blackhole = closers.add(new Blackhole());
  const live = greetersOn(closers, "127.0.0.1");
  await forEachGateway([blackhole.port, live], async (gateway) => {
    const waits: number[] = [];
    const failures: string[] = [];
    for (let i = 0; i < VISITS; i++) {
      const startedAt = performance.now();
      const deadline = Bun.sleep(TIMEOUT_MS).then(() => "timeout");
      const greeted = greeting(gateway.port).catch((error: Error) => error.message);
      const response = await Promise.race([greeted, deadline]);
      if (response !== "127.0.0.1") failures.push(response || "incomplete");
      waits.push(Math.round(performance.now() - startedAt));
    }
    return { "ms, median": median(waits), "at most": Math.max(...waits), failures };
  });
  await closers.close();
});
