import { describe, expect, test } from "bun:test";
import { Flow } from "../../src/relay/flow.ts";
import { ManualClock } from "../support/manual-clock.ts";

const KIB = 1024;
// Bytes that a peek returns at most here, so that the tests stay small.
const PEEK_BYTES = 32 * KIB;

/** Creates a flow between a source that logs its calls and a sink that takes `room` bytes. */
function setUp({ connect = true } = {}) {
  const log: string[] = [];
  const taken: number[] = [];
  const sink = {
    /** Bytes that the sink still takes. Negative: it is dead. */
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

  /** Bytes in the source's kernel that Bun has not read. */
  const arrived: number[] = [];
  const source = { pause: () => void log.push("pause"), resume: () => void log.push("resume") };
  const events = {
    sourceEnded: () => void log.push("sourceEnded"),
    sourceClosed: () => void log.push("sourceClosed"),
    resetDue: () => void log.push("resetDue"),
    sinkFailed: () => void log.push("sinkFailed"),
  };

  const clock = new ManualClock();
  let buffered = 0;
  const deps = {
    clock,
    bufferLimit: { add: (change: number) => void (buffered += change) },
    system: {
      peek(_: number, buffer: Uint8Array) {
        const length = Math.min(PEEK_BYTES, arrived.length);
        buffer.set(arrived.slice(0, length));
        return length;
      },
      skip: (_: number, _buffer: Uint8Array, length: number) => void arrived.splice(0, length),
    },
  };

  // The fakes have only what a flow calls of a Bun socket.
  const flow = new Flow(source as never, events, deps);
  const connectSink = () => flow.connect(sink as never);
  if (connect) connectSink();
  return { flow, connect: connectSink, sink, log, taken, arrived, clock, buffered: () => buffered };
}

// A Buffer, as Bun delivers chunks: its slice() returns a view, not a copy.
const bytes = (...values: number[]) => Buffer.from(Uint8Array.from(values).buffer);

describe("Flow", () => {
  test("received() passes a chunk on without a pause if the sink takes it", () => {
    const { flow, log, taken } = setUp();
    flow.received(bytes(1, 2, 3));
    expect([taken, log, flow.deliveredBytes]).toEqual([[1, 2, 3], [], 3]);
  });

  test("a short write keeps the tail and pauses the source until it is delivered", () => {
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

  test("connect() delivers what came early, and reads nothing past Bun unless the source was paused", () => {
    const { flow, connect, log, taken, arrived, buffered } = setUp({ connect: false });
    flow.received(bytes(1, 2));
    arrived.push(3);
    expect(buffered()).toBe(2);
    connect();
    // Bun reports the third byte.
    expect([taken, arrived, log, buffered()]).toEqual([[1, 2], [3], [], 0]);
  });

  test("a write of 0 bytes is backpressure", () => {
    const { flow, sink, log } = setUp();
    sink.room = 0;
    flow.received(bytes(1));
    expect([log, flow.pendingBytes]).toEqual([["pause"], 1]);
  });

  test("deliver() and writable() do nothing if nothing is pending", () => {
    const { flow, log } = setUp();
    flow.deliver();
    flow.writable();
    expect(log).toEqual([]);
  });

  test("ended() sends the FIN at once if nothing is pending", () => {
    const { flow, log } = setUp();
    flow.ended();
    expect([log, flow.isFinished]).toEqual([["shutdown", "sourceEnded"], true]);
  });

  test("ended() sends the FIN after the pending bytes", () => {
    const { flow, sink, log } = setUp();
    sink.room = 0;
    flow.received(bytes(1));
    flow.ended();
    expect([log, flow.isFinished]).toEqual([["pause", "sourceEnded"], false]);
    sink.room = 1;
    flow.deliver();
    expect([log.at(-1), flow.isFinished]).toEqual(["shutdown", true]);
  });

  test("reset() reports resetDue after the pending bytes and those that the reset flushes", () => {
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

  test("a dead sink discards everything and is reported once", () => {
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

  test("buffers a first request without a pause up to 16 KiB", () => {
    const { flow, log } = setUp({ connect: false });
    flow.received(new Uint8Array(16 * KIB - 1));
    expect(log).toEqual([]);
    flow.received(bytes(1));
    expect([log, flow.pendingBytes]).toEqual([["pause"], 16 * KIB]);
  });

  test("connect() delivers earlier bytes first, in order", () => {
    const { flow, sink, log, taken } = setUp({ connect: false });
    flow.received(bytes(1));
    flow.received(bytes(2));
    flow.connect(sink as never);
    flow.received(bytes(3));
    expect([taken, log]).toEqual([[1, 2, 3], []]);
  });

  test("connect() delivers earlier bytes and an earlier FIN", () => {
    const { flow, sink, log, taken } = setUp({ connect: false });
    flow.received(bytes(1));
    flow.ended();
    flow.connect(sink as never);
    expect([taken, log]).toEqual([[1], ["sourceEnded", "shutdown"]]);
  });

  test("connect() delivers an earlier FIN without bytes", () => {
    const { flow, sink, log } = setUp({ connect: false });
    flow.ended();
    flow.connect(sink as never);
    expect(log).toEqual(["sourceEnded", "shutdown"]);
  });

  const bulk = (length: number, seed = 0) =>
    bytes(...Array.from({ length }, (_, i) => (i + seed) % 251));

  test("a large chunk makes the flow copy what has arrived after it, in order and without a pause", () => {
    const { flow, log, taken, arrived } = setUp();
    arrived.push(...bulk(40 * KIB, 1));
    flow.received(bulk(16 * KIB));
    expect(taken).toEqual([...bulk(16 * KIB), ...bulk(40 * KIB, 1)]);
    expect([log, flow.deliveredBytes]).toEqual([[], 56 * KIB]);
  });

  test("a small chunk leaves the next bytes to Bun", () => {
    const { flow, taken, arrived } = setUp();
    arrived.push(1);
    flow.received(bulk(16 * KIB - 1));
    expect([taken.length, arrived]).toEqual([16 * KIB - 1, [1]]);
  });

  test("a bulk copy buffers nothing when the sink is full", () => {
    const { flow, sink, log, taken, arrived, buffered } = setUp();
    arrived.push(...bulk(100 * KIB, 16 * KIB));
    sink.room = 26 * KIB;
    flow.received(bulk(16 * KIB));
    expect([log, flow.pendingBytes, buffered()]).toEqual([["pause"], 0, 0]);
    expect(arrived).toHaveLength(90 * KIB);
    sink.room = 0;
    flow.deliver();
    expect(arrived).toHaveLength(90 * KIB);
    sink.room = Number.POSITIVE_INFINITY;
    flow.deliver();
    expect(log).toEqual(["pause", "resume"]);
    expect(Buffer.compare(Uint8Array.from(taken), bulk(116 * KIB))).toBe(0);
  });

  test("deliver() copies what has arrived before Bun reads again", () => {
    const { flow, sink, log, taken, arrived, buffered } = setUp();
    sink.room = 1;
    flow.received(bytes(1, 2));
    arrived.push(3, 4, 5);
    sink.room = 3;
    flow.deliver();
    expect([log, taken, buffered()]).toEqual([["pause"], [1, 2, 3, 4], 0]);
    sink.room = 10;
    flow.deliver();
    expect([log, taken]).toEqual([
      ["pause", "resume"],
      [1, 2, 3, 4, 5],
    ]);
  });

  test("a bulk copy yields to other events after 8 reads, then continues", () => {
    const { flow, log, taken, arrived, clock } = setUp();
    arrived.push(...bulk(300 * KIB, 16 * KIB));
    flow.received(bulk(16 * KIB));
    expect([taken.length, log]).toEqual([272 * KIB, ["pause"]]);
    clock.advance(0);
    expect(log).toEqual(["pause", "resume"]);
    expect(Buffer.compare(Uint8Array.from(taken), bulk(316 * KIB))).toBe(0);
  });

  test("a bulk copy of 256 KiB checks for more bytes before it resumes the source", () => {
    const { flow, log, arrived, clock } = setUp();
    arrived.push(...bulk(256 * KIB));
    flow.received(bulk(16 * KIB));
    expect([arrived.length, log]).toEqual([0, ["pause"]]);
    clock.advance(0);
    expect(log).toEqual(["pause", "resume"]);
  });

  test("bytes that a reset flushes follow those of a bulk copy", () => {
    const { flow, sink, log, taken, arrived } = setUp();
    arrived.push(5, 6, 7);
    sink.room = 16 * KIB + 1;
    flow.received(bulk(16 * KIB));

    // When the source resets, Bun delivers the rest although the source is paused.
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

  test("a bulk copy does not continue after reset() or discard()", () => {
    for (const event of ["reset", "discard"] as const) {
      const { flow, taken, arrived, clock } = setUp();
      arrived.push(...bulk(300 * KIB));
      flow.received(bulk(16 * KIB));
      flow[event]();
      clock.advance(0);
      expect(taken).toHaveLength(272 * KIB);
    }
  });

  test("deliver() does not read a source that was reset while the sink was full", () => {
    const { flow, sink, taken, arrived } = setUp();
    arrived.push(5, 6, 7);
    sink.room = 16 * KIB + 1;
    flow.received(bulk(16 * KIB));
    flow.reset();
    sink.room = 10;
    flow.deliver();
    expect(taken).toHaveLength(16 * KIB + 1);
  });

  test("a bulk copy never overtakes bytes buffered between two of its turns", () => {
    const { flow, sink, taken, arrived, clock } = setUp();
    arrived.push(...bulk(128 * KIB)); // a full copy buffer, so another turn follows
    flow.received(bulk(16 * KIB));
    const before = taken.length;
    sink.room = 1;
    flow.received(bytes(1, 2));
    arrived.push(3);
    sink.room = 10; // the flow is notified later
    clock.advance(0);
    flow.deliver();
    expect(taken.slice(before)).toEqual([1, 2, 3]);
  });

  test("a sink that dies during a bulk copy is reported, and the source is not paused", () => {
    const { flow, sink, log, arrived } = setUp();
    arrived.push(1);
    const write = sink.write;
    sink.write = (chunk: Uint8Array) => {
      sink.write = () => -1;
      return write(chunk);
    };
    flow.received(bulk(16 * KIB));
    expect([log, arrived, flow.deliveredBytes]).toEqual([["sinkFailed"], [1], 16 * KIB]);
  });

  test("a small tail is copied, so that its chunk can be freed", () => {
    const { flow, sink, buffered } = setUp();
    const chunk = bulk(20 * KIB);
    sink.room = 19 * KIB;
    flow.received(chunk);
    expect(buffered()).toBe(KIB);
    chunk.fill(255); // as if the memory were reused
    sink.room = KIB;
    const taken: number[] = [];
    sink.write = (rest: Uint8Array) => {
      taken.push(...rest);
      return rest.length;
    };
    flow.deliver();
    expect(taken).toEqual([...bulk(20 * KIB).subarray(19 * KIB)]);
  });
});
