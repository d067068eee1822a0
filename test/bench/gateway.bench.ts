// Figures, not verdicts: shared machines are noisy, so nothing here is a limit
// on time. What must hold is asserted: nothing lost, nothing left open.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  type Child,
  median,
  startEtcd,
  startEtcdGateway,
  startGateway,
  startHaproxy,
} from "./processes.ts";

const ROUNDS = 5;
const ROUND_SECONDS = 4;
const IDLE = 5000;
const ENDED = 50_000;

const report = (name: string, figures: object) => console.log(name, JSON.stringify(figures));

describe("beside etcd's own gateway, HAProxy and no gateway at all", () => {
  const ways: Record<string, Child> = {};
  let removeEtcd: () => Promise<void>;

  beforeAll(async () => {
    const { etcd, remove } = await startEtcd();
    removeEtcd = remove;
    await etcd.ready();
    ways["direct"] = etcd;
    ways["etcd"] = startEtcdGateway(etcd.port);
    const haproxy = await startHaproxy(etcd.port);
    if (haproxy !== undefined) ways["haproxy"] = haproxy;
    ways["ours"] = startGateway(etcd.port);
    await Promise.all(Object.values(ways).map((way) => way.ready()));
  });

  afterAll(async () => {
    const { direct: _, ...gateways } = ways;
    await Promise.all(Object.values(gateways).map((gateway) => gateway.stop()));
    await removeEtcd();
  });

  /** Requests of `/version` a second; `headers` may make each a connection of its own. */
  async function wrk(port: number, headers: string[]): Promise<number> {
    const command = ["wrk", "-t1", "-c32", `-d${ROUND_SECONDS}s`, ...headers];
    const { stdout } = Bun.spawnSync([...command, `http://127.0.0.1:${port}/version`]);
    const text = stdout.toString();
    expect(text).not.toContain("Socket errors");
    expect(text).not.toContain("Non-2xx");
    return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)![1]);
  }

  test.each([
    ["requests a second, 32 connections", []],
    ["connections a second, one request each", ["-H", "Connection: close"]],
  ])("%s", async (name, headers) => {
    const rates: Record<string, number[]> = {};
    for (let round = 0; round < ROUNDS; round++)
      for (const [way, { port }] of Object.entries(ways))
        (rates[way] ??= []).push(await wrk(port, headers));
    const medians = Object.entries(rates).map(([way, values]) => [way, Math.round(median(values))]);
    const ratios = rates["ours"]!.map((rate, round) => rate / rates["etcd"]![round]!);
    report(name, {
      ...Object.fromEntries(medians),
      "median ratio to etcd's": Number(median(ratios).toFixed(3)),
      rounds: rates,
    });
  });
});

describe("memory and descriptors", () => {
  let server: Bun.TCPSocketListener<undefined>;
  let gateway: Child;
  let greets = false;
  let accepted = 0;

  // Idle at first; later it greets, and then ends every other connection itself.
  beforeAll(() => {
    server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      allowHalfOpen: true,
      socket: {
        open(socket) {
          if (!greets) return;
          socket.write("hello");
          const ending = accepted++ % 4;
          if (ending === 0) socket.shutdown();
          if (ending === 1) socket.terminate();
        },
        data() {},
        end: (socket) => void socket.shutdown(),
      },
    });
    gateway = startGateway(server.port);
  });

  afterAll(async () => {
    await gateway.stop();
    server.stop(true);
  });

  const settled = () => Bun.sleep(3000);
  const connect = () =>
    Bun.connect({ hostname: "127.0.0.1", port: gateway.port, socket: { data() {} } });

  test("at start", async () => {
    const ms = await gateway.ready();
    await settled();
    report("start", {
      "ms to the first connection": Math.round(ms),
      "RSS KiB": gateway.residentKib,
    });
  });

  test(`${IDLE} idle relays`, async () => {
    const before = { rss: gateway.residentKib, descriptors: gateway.descriptors };
    const clients = [];
    for (let i = 0; i < IDLE; i += 100)
      clients.push(...(await Promise.all(Array.from({ length: 100 }, connect))));
    await settled();
    expect(gateway.descriptors).toBe(before.descriptors + 2 * IDLE);
    const ticks = gateway.cpuTicks;
    const each = (gateway.residentKib - before.rss) / IDLE;
    await Bun.sleep(5000);
    report(`${IDLE} idle relays`, {
      "KiB each": Number(each.toFixed(2)),
      "CPU % while idle": (gateway.cpuTicks - ticks) / 5,
    });
    for (const client of clients) client.terminate();
    await settled();
    expect(gateway.descriptors).toBe(before.descriptors);
  });

  test(`${ENDED} connections ended in mixed ways`, async () => {
    greets = true;
    const before = { "RSS KiB": gateway.residentKib, descriptors: gateway.descriptors };
    const onTheWay: number[] = [];
    for (let i = 0; i < ENDED; i += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, k) => converse(i + k)));
      if (i % 10_000 === 0) onTheWay.push(gateway.residentKib);
    }
    await settled();
    report(`${ENDED} connections ended`, {
      before,
      after: { "RSS KiB": gateway.residentKib, descriptors: gateway.descriptors },
      "RSS KiB on the way": onTheWay,
    });
    expect(gateway.descriptors).toBe(before.descriptors);
  });

  /** A client that ends on its own after a word, by FIN, reset or close, or when the server does. */
  async function converse(index: number): Promise<void> {
    const closed = Promise.withResolvers<void>();
    const client = await Bun.connect({
      hostname: "127.0.0.1",
      port: gateway.port,
      allowHalfOpen: true,
      socket: {
        data(socket) {
          if (index % 3 === 0) socket.shutdown();
          else if (index % 3 === 1) socket.terminate();
          else socket.end();
        },
        end: (socket) => void socket.shutdown(),
        close: () => closed.resolve(),
      },
    });
    client.write("hello");
    await closed.promise;
  }
});
