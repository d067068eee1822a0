// Random histories of calls: clients that write, read, half-close, cancel and vanish; members
// that answer early or late, refuse, reset, go away and die; deadlines; kernels that are full.
// Each call ends once, a write reaches one member at most, and at the end nothing is held.
import { describe, expect, test } from "bun:test";
import { headerValue, type HeaderList } from "../../src/http2/header-list.ts";
import { ErrorCode } from "../../src/http2/protocol.ts";
import type { EndCause, Stream, StreamListener } from "../../src/http2/stream.ts";
import { RESPONSE } from "../http2/raw-peer.ts";
import { oneOf, type Random, randomFrom, seed } from "../support/random-input.ts";
import { turn } from "../http2/joined.ts";
import { CallScene } from "./call-scene.ts";

const HISTORIES = 25;
const STEPS = 500;
const SIZES = [0, 1, 100, 3000, 20_000, 70_000];
const RANGE = "/etcdserverpb.KV/Range";
const PUT = "/etcdserverpb.KV/Put";

/** Returns a gRPC message. */
function messageOf(random: Random, size: number): Uint8Array {
  const framed = new Uint8Array(5 + size).fill(random(256), 5);
  new DataView(framed.buffer).setUint32(1, size);
  return framed;
}

/** One side of a stream: what it has sent and received, and what it holds. */
class Side implements StreamListener {
  stream!: Stream;
  readonly written: Uint8Array[] = [];
  readonly received: Uint8Array[] = [];
  held = 0;
  isLocalEnded = false;
  hasResponded = false;
  /** Trailers, or how the stream ended. */
  ends: string[] = [];
  isRefused = false;

  constructor(readonly id: string) {}

  headers(list: HeaderList, isEnd: boolean): void {
    if (isEnd) this.ends.push(`trailers ${headerValue(list, "grpc-status")}`);
  }

  data(chunk: Uint8Array, isEnd: boolean): void {
    this.received.push(chunk.slice());
    this.held += chunk.length;
    if (isEnd) this.ends.push("data");
  }

  sent(): void {}

  closed(cause: EndCause, code: number): void {
    this.ends.push(`${cause} ${code}`);
    this.drop();
  }

  consume(bytes: number): void {
    const taken = Math.min(bytes, this.held);
    this.held -= taken;
    this.stream.consumed(taken);
  }

  write(bytes: Uint8Array, isEnd: boolean): void {
    if (!this.stream.isWritable) return;
    this.written.push(bytes);
    this.stream.write(bytes, isEnd);
  }

  reset(code: number): void {
    if (this.stream.state === "closed") return;
    this.stream.reset(code);
    this.ends.push(`own ${code}`);
    this.drop();
  }

  drop(): void {
    this.held = 0;
    this.stream.release();
  }
}

class History {
  readonly scene: CallScene;
  readonly clients: Side[] = [];
  readonly members: Side[] = [];
  readonly #random: Random;
  readonly #lists = new Map<string, HeaderList>();

  constructor(random: Random) {
    this.#random = random;
    this.scene = new CallScene({
      capacity: oneOf(random, [2000, 20_000, 1_000_000]),
      onRequest: (stream, list) => {
        const side = new Side(headerValue(list, "x-id")!);
        side.stream = stream;
        this.members.push(side);
        return side;
      },
    });
    for (let i = random(3); i >= 0; i--) this.scene.addMember();
  }

  async run(): Promise<void> {
    await this.scene.settle();
    for (let i = 0; i < STEPS; i++) {
      this.#act();
      if (this.#random(3) === 0) await turn();
    }
  }

  #act(): void {
    const random = this.#random;
    const what = random(24);
    if (what < 12) oneOf(random, this.scene.ends).step(oneOf(random, [1, 9, 700, 20_000, 200_000]));
    else if (what < 14) this.#call();
    else if (what < 18) this.#actAsClient();
    else if (what < 23) this.#actAsMember();
    else this.#disturb();
  }

  #call(): void {
    const random = this.#random;
    const { connection } = this.scene.client;
    if (!connection.canOpen || this.clients.length > 50) return;
    const side = new Side(String(this.clients.length));
    const timeout = random(4) === 0 ? ["grpc-timeout", `${random(3)}S`] : [];
    const list = [
      ...[":method", "POST", ":scheme", "http", ":path", random(2) === 0 ? RANGE : PUT],
      ...["content-type", "application/grpc", "te", "trailers", "x-id", side.id, ...timeout],
    ];
    this.#lists.set(side.id, list);
    this.clients.push(side);
    side.stream = connection.open(list, random(10) === 0, side);
  }

  #actAsClient(): void {
    const random = this.#random;
    if (this.clients.length === 0) return;
    const side = oneOf(random, this.clients);
    const what = random(12);
    if (what < 5) side.write(messageOf(random, oneOf(random, SIZES)), random(3) === 0);
    else if (what === 5) side.write(new Uint8Array(random(9)).fill(1), false);
    else if (what === 6 && random(3) === 0) side.reset(ErrorCode.CANCEL);
    else if (what < 10) side.consume(side.held);
    else side.stream.end();
  }

  #actAsMember(): void {
    const random = this.#random;
    if (this.members.length === 0) return;
    const side = oneOf(random, this.members);
    const what = random(14);
    if (what === 0 && !side.hasResponded) {
      side.isRefused ||= side.stream.state !== "closed";
      side.reset(ErrorCode.REFUSED_STREAM);
    } else if (what === 1) side.reset(oneOf(random, [ErrorCode.CANCEL, ErrorCode.NO_ERROR]));
    else if (what < 4) this.#respond(side, true);
    else if (what < 8) this.#respond(side, false);
    else side.consume(side.held);
  }

  #respond(side: Side, isEnd: boolean): void {
    if (!side.stream.isWritable) return;
    const random = this.#random;
    if (isEnd && !side.hasResponded) side.stream.end([...RESPONSE, "grpc-status", "0"]);
    else {
      if (!side.hasResponded) side.stream.headers(RESPONSE);
      side.hasResponded = true;
      if (isEnd) side.stream.end(["grpc-status", "0"]);
      else side.write(messageOf(random, oneOf(random, SIZES)), random(30) === 0);
    }
    // An early response: the rest of the request is not wanted.
    if (side.stream.state === "closed") side.drop();
  }

  #disturb(): void {
    const random = this.#random;
    const { scene } = this;
    const { session, memberEnd } = oneOf(random, scene.members);
    const what = random(12);
    if (what === 0) memberEnd.connection.drain();
    else if (what === 1) session.drain();
    else if (what === 2) memberEnd.connection.close(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings");
    else if (what === 3) session.terminate("unhealthy");
    else if (what === 4) memberEnd.connection.terminate("died");
    else if (what < 8) scene.addMember();
    else if (what === 8) this.#timeOut();
    else scene.clock.advance(random(1000));
  }

  /** A call has waited too long for a session. */
  #timeOut(): void {
    const [waiting] = this.scene.waiting;
    if (waiting === undefined) return;
    this.scene.waiting.delete(waiting);
    waiting.timedOut("no endpoint");
  }

  /** Lets everything end: members answer, clients read. */
  async finish(): Promise<void> {
    const { scene } = this;
    scene.addMember();
    for (let round = 0; round < 300; round++) {
      await scene.settle();
      for (const side of [...this.clients, ...this.members]) {
        side.consume(side.held);
        side.stream.end();
      }
      for (const side of this.members) this.#respond(side, true);
      if (scene.client.connection.streamCount === 0 && round > 3) break;
    }
    await scene.settle();
  }

  check(): void {
    const { scene } = this;
    expect(scene.faults).toEqual([]);
    expect(scene.client.connection.streamCount).toBe(0);
    expect(scene.proxy.streamCount).toBe(0);
    for (const { session } of scene.members) expect(session.connection.streamCount).toBe(0);
    expect(scene.calls.count).toBe(0);
    expect(scene.endpoint.connections).toBe(0);
    expect(scene.calls.bufferLimit.bytes).toBe(0);
    expect([...scene.calls.keys()]).toEqual([]);
    const methods = [...scene.calls.methods.all];
    for (const { started, handled } of methods)
      expect(handled.reduce((sum, count) => sum + count, 0)).toBe(started);
    this.#checkRequests();
    this.#checkResponses();
    scene.clock.advance(20_000);
    expect(scene.clock.pending).toBe(0);
  }

  /** Members get what the client wrote, and a write reaches one member at most. */
  #checkRequests(): void {
    for (const client of this.clients) {
      const sent = Buffer.concat(client.written);
      const attempts = this.members.filter(({ id }) => id === client.id);
      for (const { received } of attempts) {
        const bytes = Buffer.concat(received);
        expect(sent.subarray(0, bytes.length).equals(bytes)).toBe(true);
      }
      const processed = attempts.filter(({ isRefused }) => !isRefused);
      if (headerValue(this.#lists.get(client.id)!, ":path") === PUT)
        expect(processed.length).toBeLessThanOrEqual(1);
    }
  }

  /** A client gets what one member wrote, and one end. */
  #checkResponses(): void {
    for (const client of this.clients) {
      expect(client.ends).toHaveLength(1);
      const bytes = Buffer.concat(client.received);
      const answers = this.members.filter(({ id }) => id === client.id);
      const isOfOne = answers.some(({ written }) =>
        Buffer.concat(written).subarray(0, bytes.length).equals(bytes),
      );
      expect(isOfOne || bytes.length === 0).toBe(true);
      if (client.ends[0] !== "trailers 0") continue;
      expect(answers.some(({ written }) => Buffer.concat(written).equals(bytes))).toBe(true);
    }
  }
}

/** Runs histories; a failure names its seed. */
async function histories(count: number, run: (history: History) => Promise<void>): Promise<void> {
  for (let i = 0; i < count; i++) {
    try {
      await run(new History(randomFrom(seed + i)));
    } catch (error) {
      throw new Error(`history ${i} of FUZZ_SEED=${seed}: ${String(error)}`, { cause: error });
    }
  }
}

describe(`random histories of calls (FUZZ_SEED=${seed})`, () => {
  test(`${HISTORIES} in which all calls end`, async () => {
    await histories(HISTORIES, async (history) => {
      await history.run();
      await history.finish();
      history.check();
    });
  });

  test(`${HISTORIES} in which the client vanishes`, async () => {
    await histories(HISTORIES, async (history) => {
      await history.run();
      history.scene.client.connection.terminate("vanished");
      await history.finish();
      history.check();
    });
  });
});
