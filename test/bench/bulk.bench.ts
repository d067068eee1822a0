// Measures bulk transfers: throughput, CPU time, and how long small requests of other
// clients take meanwhile. Prints figures and sets no limits.
import { test } from "bun:test";
import { freePort } from "../support/free-port.ts";
import { Child, forEachGateway, median } from "./processes.ts";

const GIB = 1 << 30;
const BYTES = 4 * GIB;
const PROGRAM = [process.execPath, `${import.meta.dir}/bulk-program.ts`];

test.each([1, 8])(
  "a gateway relays 4 GiB over %d connections, and small requests",
  async (count) => {
    const port = freePort();
    const sink = new Child([...PROGRAM, "sink", String(port)], port);
    await sink.ready();
    try {
      await forEachGateway([port], (gateway) => bulk(gateway, count));
    } finally {
      await sink.stop();
    }
  },
);

async function bulk(gateway: Child, connections: number): Promise<object> {
  const ticks = gateway.cpuTicks;
  const start = performance.now();
  const words = ["source", String(gateway.port), String(connections), String(BYTES)];
  const source = Bun.spawn([...PROGRAM, ...words]);
  const small = smallRequests(gateway.port, source.exited);
  await source.exited;
  const seconds = (performance.now() - start) / 1000;
  const waits = (await small).toSorted((a, b) => a - b);
  return {
    "GiB/s": Number((BYTES / GIB / seconds).toFixed(2)),
    "CPU s per GiB": (gateway.cpuTicks - ticks) / 100 / (BYTES / GIB),
    "small requests: median ms": Number(median(waits).toFixed(2)),
    "99 % ms": Number(waits[Math.floor(waits.length * 0.99)]!.toFixed(2)),
  };
}

/** Sends one-byte requests one after the other until `end`; returns their durations in ms. */
async function smallRequests(port: number, end: Promise<unknown>): Promise<number[]> {
  let isOver = false;
  void end.then(() => {
    isOver = true;
  });

  let onResponse = () => {};
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { data: () => onResponse() },
  });

  const waits: number[] = [];
  while (!isOver) {
    const start = performance.now();
    const response = new Promise<void>((resolve) => {
      onResponse = resolve;
    });
    socket.write("x");
    await response;
    waits.push(performance.now() - start);
    await Bun.sleep(2);
  }
  socket.terminate();
  return waits;
}
