import { describe, expect, test } from "bun:test";
import { CountedBytes, MemoryCeiling } from "../../src/grpc-proxy/memory-ceiling.ts";
import { Counter } from "../http2/joined.ts";

class Client {
  isTerminated = false;
  constructor(
    readonly name: string,
    readonly counted: CountedBytes,
  ) {}

  get heldBytes(): number {
    return this.counted.bytes;
  }

  terminate(): void {
    this.isTerminated = true;
    this.counted.add(-this.heldBytes);
  }
}

class Scene {
  readonly total = new Counter();
  readonly clients: Client[] = [];
  readonly calls: { sender: Client; responseHeldBytes: number }[] = [];
  readonly ended: [clients: number, bufferedBytes: number][] = [];
  readonly ceiling: MemoryCeiling;

  constructor(limitBytes: number) {
    this.ceiling = new MemoryCeiling(this.total, {
      clients: this.clients,
      calls: this.calls,
      clientsEnded: (...args) => this.ended.push(args),
    });
    this.ceiling.setLimit(limitBytes);
  }

  client(name: string, bytes: number): Client {
    const client = new Client(name, new CountedBytes(this.ceiling));
    this.clients.push(client);
    client.counted.add(bytes);
    return client;
  }

  get terminated(): string[] {
    return this.clients.filter(({ isTerminated }) => isTerminated).map(({ name }) => name);
  }
}

describe("MemoryCeiling", () => {
  test("closes those that hold most, and no more than it must", async () => {
    const scene = new Scene(100);
    scene.client("a", 50);
    scene.client("b", 90);
    scene.client("c", 60);
    await Promise.resolve();
    expect(scene.terminated).toEqual([]);
    scene.client("d", 1);
    // Not before the event is handled in which the bytes came.
    expect(scene.terminated).toEqual([]);
    await Promise.resolve();
    expect(scene.terminated).toEqual(["b"]);
    expect(scene.ended).toEqual([[1, 201]]);
    expect(scene.total.bytes).toBe(111);
  });

  test("adds to a client what is held of its responses", async () => {
    const scene = new Scene(100);
    const reader = scene.client("reader", 40);
    scene.client("other", 50);
    scene.calls.push({ sender: reader, responseHeldBytes: 20 });
    scene.ceiling.add(111);
    await Promise.resolve();
    expect(scene.terminated).toEqual(["reader"]);
  });

  test("does nothing without a limit, and closes no client for what no client holds", async () => {
    const unlimited = new Scene(0);
    unlimited.client("a", 1e12);
    await Promise.resolve();
    expect(unlimited.terminated).toEqual([]);
    const scene = new Scene(100);
    scene.client("idle", 0);
    scene.ceiling.add(1000);
    await Promise.resolve();
    expect([scene.terminated, scene.ended]).toEqual([[], []]);
  });
});
