// Measures request and connection rates, memory and descriptors. Prints figures without
// limits on time, because shared machines are noisy; asserts that no request is lost
// and no descriptor leaks.
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
const CONNECTIONS = 50_000;

const report = (name: string, figures: object) => console.log(name, JSON.stringify(figures));

describe("etcd-gateway, compared with etcd's own gateway, HAProxy and no gateway", () => {
  const targets: Record<string, Child> = {};
  let removeEtcd: () => Promise<void>;

  beforeAll(async () => {
    const { etcd, remove } = await startEtcd();
    removeEtcd = remove;
    await etcd.ready();

    targets["direct"] = etcd;
    targets["etcd"] = startEtcdGateway(etcd.port);
    const haproxy = await startHaproxy(etcd.port);
    if (haproxy !== undefined) targets["haproxy"] = haproxy;
    targets["ours"] = startGateway(etcd.port);
    await Promise.all(Object.values(targets).map((target) => target.ready()));
  });

  afterAll(async () => {
    const { direct: _, ...gateways } = targets;
    await Promise.all(Object.values(gateways).map((gateway) => gateway.stop()));
    await removeEtcd();
  });

  /** Returns requests of `/version` per second; `headers` may make each use a new connection. */
  async function wrk(port: number, headers: string[]): Promise<number> {
    const command = ["wrk", "-t1", "-c32", `-d${ROUND_SECONDS}s`, ...headers];
    const { stdout } = Bun.spawnSync([...command, `http://127.0.0.1:${port}/version`]);
    const text = stdout.toString();
    expect(text).not.toContain("Socket errors");
    expect(text).not.toContain("Non-2xx");
    return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)![1]);
  }

  test.each([
    ["requests per second, 32 connections", []],
    ["connections per second, one request each", ["-H", "Connection: close"]],
  ])("%s", async (title, headers) => {
    const rates: Record<string, number[]> = {};
    for (let round = 0; round < ROUNDS; round++)
      for (const [name, { port }] of Object.entries(targets))
        (rates[name] ??= []).push(await wrk(port, headers));

    const medians = Object.entries(rates).map(([name, values]) => [
      name,
      Math.round(median(values)),
    ]);
    const ratios = rates["ours"]!.map((rate, round) => rate / rates["etcd"]![round]!);
    report(title, {
      ...Object.fromEntries(medians),
      "median ratio to etcd's": Number(median(ratios).toFixed(3)),
      rounds: rates,
    });
  });
});

describe("memory and descriptors of etcd-gateway", () => {
  let server: Bun.TCPSocketListener<undefined>;
  let gateway: Child;
  let greets = false;
  let accepted = 0;

  // Silent until `greets` is set. Then it greets clients, and ends every other connection.
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

  test("start: the gateway accepts a connection", async () => {
    const ms = await gateway.ready();
    await settled();
    report("start", {
      "ms to the first connection": Math.round(ms),
      "RSS KiB": gateway.residentKib,
    });
  });

  test(`${IDLE} idle relays leave no descriptor open`, async () => {
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

  test(`${CONNECTIONS} connections ended in mixed ways leave no descriptor open`, async () => {
    greets = true;
    const before = { "RSS KiB": gateway.residentKib, descriptors: gateway.descriptors };
    const samples: number[] = [];
    for (let i = 0; i < CONNECTIONS; i += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, k) => converse(i + k)));
      if (i % 10_000 === 0) samples.push(gateway.residentKib);
    }
    await settled();

    report(`${CONNECTIONS} connections ended`, {
      before,
      after: { "RSS KiB": gateway.residentKib, descriptors: gateway.descriptors },
      "RSS KiB meanwhile": samples,
    });
    expect(gateway.descriptors).toBe(before.descriptors);
  });

  /** Runs a client that ends after the greeting, by FIN, reset or close, or when the server ends. */
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
