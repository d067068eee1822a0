import { describe, expect, test } from "bun:test";
import { Flow } from "../../src/relay/flow.ts";

const KIB = 1024;

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
  const source = { pause: () => void log.push("pause"), resume: () => void log.push("resume") };
  const events = {
    sourceEnded: () => void log.push("sourceEnded"),
    sourceClosed: () => void log.push("sourceClosed"),
    resetDue: () => void log.push("resetDue"),
    sinkDied: () => void log.push("sinkDied"),
  };
  // The fakes have what a flow calls; the rest of a Bun socket is not its business.
  const flow = new Flow(source as never, events);
  if (connect) flow.connect(sink as never);
  return { flow, sink, log, taken };
}

const bytes = (...values: number[]) => Uint8Array.from(values);

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
      ["sinkDied", "sourceEnded"],
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
});
