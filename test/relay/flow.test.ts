import { describe, expect, test } from "bun:test";
import { Flow } from "../../src/relay/flow.ts";
import { ManualClock } from "../support/manual-clock.ts";

const KIB = 1024;
// What has arrived is looked at in such portions here, so that tests stay small.
const PEEKED_BYTES = 32 * KIB;

/** A flow between a source that counts and a sink that takes what the test allows. */
function setUp({ connect = true } = {}) {
  const log: string[] = [];
  const taken: number[] = [];
  const sink = {
    room: Number.POSITIVE_INFINITY,
    write(chunk: Uint8Array) {
      if (sink.room < 0) return -1;
      const written = Math.min(sink.room, chunk.length);
      sink.room -= written;
      taken.push(...chunk.subarray(0, written));
      return written;
    },
    shutdown: () => void log.push("shutdown"),
  };
  /** What has arrived at the source's kernel and Bun has not read. */
  const arrived: number[] = [];
  const source = { pause: () => void log.push("pause"), resume: () => void log.push("resume") };
  const events = {
    sourceEnded: () => void log.push("sourceEnded"),
    sourceClosed: () => void log.push("sourceClosed"),
    resetDue: () => void log.push("resetDue"),
    sinkFailed: () => void log.push("sinkFailed"),
  };
  // The fakes have what a flow calls; the rest of a Bun socket is not its business.
  const clock = new ManualClock();
  let held = 0;
  const deps = {
    clock,
    memory: { add: (change: number) => void (held += change) },
    system: {
      peek(_: number, buffer: Uint8Array) {
        const length = Math.min(PEEKED_BYTES, arrived.length);
        buffer.set(arrived.slice(0, length));
        return length;
      },
      skip: (_: number, _buffer: Uint8Array, length: number) => void arrived.splice(0, length),
    },
  };
  const flow = new Flow(source as never, events, deps);
  if (connect) flow.connect(sink as never);
  return { flow, sink, log, taken, arrived, clock, held: () => held };
}

// As Bun gives them: of a Buffer, slice() is no copy.
const bytes = (...values: number[]) => Buffer.from(Uint8Array.from(values).buffer);

describe("Flow", () => {
  test("passes a chunk on without a pause when the sink takes it", () => {
    const { flow, log, taken } = setUp();
    flow.received(bytes(1, 2, 3));
    expect([taken, log, flow.deliveredBytes]).toEqual([[1, 2, 3], [], 3]);
  });

  test("keeps the tail of a short write, pauses, and resumes when it is delivered", () => {
    const { flow, sink, log, taken } = setUp();
    sink.room = 1;
    flow.received(bytes(1, 2, 3));
    expect([log, flow.pendingBytes]).toEqual([["pause"], 2]);
    sink.room = 1;
    flow.deliver();
    expect([log, flow.pendingBytes]).toEqual([["pause"], 1]);
    sink.room = 10;
    flow.deliver();
    expect(log).toEqual(["pause", "resume"]);
    expect(taken).toEqual([1, 2, 3]);
    expect(flow.deliveredBytes).toBe(3);
  });

  test("takes a write of 0 for backpressure", () => {
    const { flow, sink, log } = setUp();
    sink.room = 0;
    flow.received(bytes(1));
    expect([log, flow.pendingBytes]).toEqual([["pause"], 1]);
  });

  test("ignores a drain without cause", () => {
    const { flow, log } = setUp();
    flow.deliver();
    flow.writable();
    expect(log).toEqual([]);
  });

  test("sends the FIN at once when nothing is owed", () => {
    const { flow, log } = setUp();
    flow.ended();
    expect([log, flow.isFinished]).toEqual([["shutdown", "sourceEnded"], true]);
  });

  test("sends the FIN behind the tail", () => {
    const { flow, sink, log } = setUp();
    sink.room = 0;
    flow.received(bytes(1));
    flow.ended();
    expect([log, flow.isFinished]).toEqual([["pause", "sourceEnded"], false]);
    sink.room = 1;
    flow.deliver();
    expect([log.at(-1), flow.isFinished]).toEqual(["shutdown", true]);
  });

  test("asks for the reset behind the tail, with what a reset flushes in between", () => {
    const { flow, sink, log, taken } = setUp();
    sink.room = 0;
    flow.received(bytes(1));
    flow.received(bytes(2));
    flow.reset();
    expect(log).toEqual(["pause"]);
    sink.room = 2;
    flow.deliver();
    expect([log, taken]).toEqual([
      ["pause", "resetDue"],
      [1, 2],
    ]);
  });

  test("discards everything once the sink is dead, and says so once", () => {
    const { flow, sink, log } = setUp();
    sink.room = -1;
    flow.received(bytes(1));
    flow.received(bytes(2));
    flow.deliver();
    flow.ended();
    expect([log, flow.pendingBytes, flow.isFinished]).toEqual([
      ["sinkFailed", "sourceEnded"],
      0,
      false,
    ]);
  });

  test("holds a first request without a pause, and pauses at 16 KiB", () => {
    const { flow, log } = setUp({ connect: false });
    flow.received(new Uint8Array(16 * KIB - 1));
    expect(log).toEqual([]);
    flow.received(bytes(1));
    expect([log, flow.pendingBytes]).toEqual([["pause"], 16 * KIB]);
  });

  test("delivers what came before the sink, in order, then resumes", () => {
    const { flow, sink, log, taken } = setUp({ connect: false });
    flow.received(bytes(1));
    flow.received(bytes(2));
    flow.connect(sink as never);
    flow.received(bytes(3));
    expect([taken, log]).toEqual([[1, 2, 3], []]);
  });

  test("delivers bytes and FIN that came before the sink", () => {
    const { flow, sink, log, taken } = setUp({ connect: false });
    flow.received(bytes(1));
    flow.ended();
    flow.connect(sink as never);
    expect([taken, log]).toEqual([[1], ["sourceEnded", "shutdown"]]);
  });

  test("delivers a FIN alone that came before the sink", () => {
    const { flow, sink, log } = setUp({ connect: false });
    flow.ended();
    flow.connect(sink as never);
    expect(log).toEqual(["sourceEnded", "shutdown"]);
  });

  const much = (length: number, seed = 0) =>
    bytes(...Array.from({ length }, (_, i) => (i + seed) % 251));

  test("reads on by itself behind a large chunk, in order, and without a pause", () => {
    const { flow, log, taken, arrived } = setUp();
    arrived.push(...much(40 * KIB, 1));
    flow.received(much(16 * KIB));
    expect(taken).toEqual([...much(16 * KIB), ...much(40 * KIB, 1)]);
    expect([log, flow.deliveredBytes]).toEqual([[], 56 * KIB]);
  });

  test("leaves the source to Bun behind a small chunk", () => {
    const { flow, taken, arrived } = setUp();
    arrived.push(1);
    flow.received(much(16 * KIB - 1));
    expect([taken.length, arrived]).toEqual([16 * KIB - 1, [1]]);
  });

  test("holds nothing of what it moves itself when the sink takes no more", () => {
    const { flow, sink, log, taken, arrived, held } = setUp();
    arrived.push(...much(100 * KIB, 16 * KIB));
    sink.room = 26 * KIB;
    flow.received(much(16 * KIB));
    expect([log, flow.pendingBytes, held()]).toEqual([["pause"], 0, 0]);
    expect(arrived).toHaveLength(90 * KIB);
    sink.room = 0;
    flow.deliver();
    expect(arrived).toHaveLength(90 * KIB);
    sink.room = Number.POSITIVE_INFINITY;
    flow.deliver();
    expect(log).toEqual(["pause", "resume"]);
    expect(Buffer.compare(Uint8Array.from(taken), much(116 * KIB))).toBe(0);
  });

  test("a drain moves what has arrived before Bun reads again", () => {
    const { flow, sink, log, taken, arrived, held } = setUp();
    sink.room = 1;
    flow.received(bytes(1, 2));
    arrived.push(3, 4, 5);
    sink.room = 3;
    flow.deliver();
    expect([log, taken, held()]).toEqual([["pause"], [1, 2, 3, 4], 0]);
    sink.room = 10;
    flow.deliver();
    expect([log, taken]).toEqual([
      ["pause", "resume"],
      [1, 2, 3, 4, 5],
    ]);
  });

  test("lets others have their turn after 8 portions, and goes on then", () => {
    const { flow, log, taken, arrived, clock } = setUp();
    arrived.push(...much(300 * KIB, 16 * KIB));
    flow.received(much(16 * KIB));
    expect([taken.length, log]).toEqual([272 * KIB, ["pause"]]);
    clock.advance(0);
    expect(log).toEqual(["pause", "resume"]);
    expect(Buffer.compare(Uint8Array.from(taken), much(316 * KIB))).toBe(0);
  });

  test("looks once more before Bun reads on behind 256 KiB and more", () => {
    const { flow, log, arrived, clock } = setUp();
    arrived.push(...much(256 * KIB));
    flow.received(much(16 * KIB));
    expect([arrived.length, log]).toEqual([0, ["pause"]]);
    clock.advance(0);
    expect(log).toEqual(["pause", "resume"]);
  });

  test("passes bytes that a reset flushes on behind those that it has moved", () => {
    const { flow, sink, log, taken, arrived } = setUp();
    arrived.push(5, 6, 7);
    sink.room = 16 * KIB + 1;
    flow.received(much(16 * KIB));
    // Bun reads what is left when the source resets, though it is paused.
    sink.room = 1;
    flow.received(Uint8Array.from(arrived.splice(0)));
    flow.reset();
    expect(log).toEqual(["pause"]);
    sink.room = 10;
    flow.deliver();
    expect([log, taken.slice(16 * KIB)]).toEqual([
      ["pause", "resetDue"],
      [5, 6, 7],
    ]);
  });

  test("does not go on when the source was reset or the sink died meanwhile", () => {
    for (const happens of ["reset", "discard"] as const) {
      const { flow, taken, arrived, clock } = setUp();
      arrived.push(...much(300 * KIB));
      flow.received(much(16 * KIB));
      flow[happens]();
      clock.advance(0);
      expect(taken).toHaveLength(272 * KIB);
    }
  });

  test("touches no descriptor of a source that was reset while the sink was full", () => {
    const { flow, sink, taken, arrived } = setUp();
    arrived.push(5, 6, 7);
    sink.room = 16 * KIB + 1;
    flow.received(much(16 * KIB));
    flow.reset();
    sink.room = 10;
    flow.deliver();
    expect(taken).toHaveLength(16 * KIB + 1);
  });

  test("moves nothing past what was held between two turns", () => {
    const { flow, sink, taken, arrived, clock } = setUp();
    arrived.push(...much(128 * KIB)); // a whole portion: the rest of the turn comes later
    flow.received(much(16 * KIB));
    const before = taken.length;
    sink.room = 1;
    flow.received(bytes(1, 2));
    arrived.push(3);
    sink.room = 10; // of which the flow hears later
    clock.advance(0);
    flow.deliver();
    expect(taken.slice(before)).toEqual([1, 2, 3]);
  });

  test("tells of a sink that dies under the bulk, and pauses nothing", () => {
    const { flow, sink, log, arrived } = setUp();
    arrived.push(1);
    const write = sink.write;
    sink.write = (chunk: Uint8Array) => {
      sink.write = () => -1;
      return write(chunk);
    };
    flow.received(much(16 * KIB));
    expect([log, arrived, flow.deliveredBytes]).toEqual([["sinkFailed"], [1], 16 * KIB]);
  });

  test("keeps a copy of a small tail, not the chunk that it is the end of", () => {
    const { flow, sink, held } = setUp();
    const chunk = much(20 * KIB);
    sink.room = 19 * KIB;
    flow.received(chunk);
    expect(held()).toBe(KIB);
    chunk.fill(255); // as if the memory had another owner
    sink.room = KIB;
    const { taken } = { taken: [] as number[] };
    sink.write = (rest: Uint8Array) => {
      taken.push(...rest);
      return rest.length;
    };
    flow.deliver();
    expect(taken).toEqual([...much(20 * KIB).subarray(19 * KIB)]);
  });
});
