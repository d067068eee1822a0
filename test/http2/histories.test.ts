// Random histories of two connections that are joined in memory: streams that are written,
// consumed, ended and reset at random, settings that change, chunks of any size, kernels that
// are full. Every byte arrives in order, every stream ends once on each side, and at the end
// nothing is held any more.
import { describe, expect, test } from "bun:test";
import { Connection } from "../../src/http2/connection.ts";
import type { ConnectionListener } from "../../src/http2/connection-listener.ts";
import type { HeaderList } from "../../src/http2/header-list.ts";
import { ErrorCode, FrameType, Setting } from "../../src/http2/protocol.ts";
import { encodeSettings } from "../../src/http2/settings.ts";
import type { Stream, StreamListener } from "../../src/http2/stream.ts";
import type { Role } from "../../src/http2/stream-table.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { oneOf, type Random, randomFrom, seed } from "../support/random-input.ts";
import { Counter, End, join, settle, turn } from "./joined.ts";
import { frameBytes, REQUEST, RESPONSE, TRAILERS } from "./raw-peer.ts";

const HISTORIES = 40;
const STEPS = 400;
const SIZES = [0, 1, 5, 100, 16_384, 16_385, 40_000];

/** One side of a stream. It checks what arrives. */
class Party implements StreamListener {
  stream!: Stream;
  /** The side that it sends to; undefined until that exists. */
  partner: Party | undefined;
  written = 0;
  sentBytes = 0;
  received = 0;
  held = 0;
  isLocalEnded = false;
  hasHeaders = false;
  hasResponded = false;
  outcome: "" | "complete" | "closed" | "reset" = "";

  constructor(readonly isClient: boolean) {}

  headers(list: HeaderList, isEnd: boolean): void {
    this.#expectOpen();
    if (this.isClient && !this.hasHeaders) expect(list[0]).toBe(":status");
    this.hasHeaders = true;
    if (isEnd) this.#complete();
  }

  data(chunk: Uint8Array, isEnd: boolean): void {
    this.#expectOpen();
    for (const byte of chunk)
      if (byte !== patternAt(this.stream.id, this.received++)) throw new Error("wrong byte");
    this.held += chunk.length;
    if (isEnd) this.#complete();
  }

  sent(bytes: number): void {
    this.sentBytes += bytes;
    expect(this.sentBytes).toBeLessThanOrEqual(this.written);
  }

  closed(): void {
    expect(this.outcome === "reset" || this.outcome === "closed").toBe(false);
    this.outcome = "closed";
    this.#drop();
  }

  write(bytes: number, isEnd: boolean): void {
    if (this.isLocalEnded || !this.stream.isWritable) return;
    this.#respond();
    const chunk = new Uint8Array(bytes);
    for (let i = 0; i < bytes; i++) chunk[i] = patternAt(this.stream.id, this.written++);
    this.stream.write(chunk, isEnd);
    if (isEnd) this.#localEnded();
  }

  end(trailers: HeaderList | undefined): void {
    if (this.isLocalEnded || !this.stream.isWritable) return;
    this.#respond();
    this.stream.end(trailers);
    this.#localEnded();
  }

  reset(): void {
    if (this.outcome === "closed" || this.stream.state === "closed") return;
    this.stream.reset();
    this.outcome = "reset";
    this.#drop();
  }

  consume(bytes: number): void {
    const taken = Math.min(bytes, this.held);
    this.held -= taken;
    if (taken > 0) this.stream.consumed(taken);
  }

  /** A response begins with its header list. */
  #respond(): void {
    if (!this.isClient && !this.hasResponded) this.stream.headers(RESPONSE);
    this.hasResponded = true;
  }

  #localEnded(): void {
    this.isLocalEnded = true;
    this.dropIfOver();
  }

  /** A server's stream is over when its response has been sent, whatever still arrives. */
  dropIfOver(): void {
    if (this.isLocalEnded && this.stream.state === "closed" && this.outcome === "") {
      this.outcome = "complete";
      this.#drop();
    }
  }

  #complete(): void {
    this.outcome = "complete";
  }

  #drop(): void {
    this.held = 0;
    this.stream.release();
  }

  #expectOpen(): void {
    if (this.outcome !== "") throw new Error(`an event after the stream was ${this.outcome}`);
  }
}

function patternAt(id: number, at: number): number {
  return (id * 7 + at * 31 + (at >>> 8)) & 0xff;
}

class History {
  readonly clock = new ManualClock();
  readonly buffered = { client: new Counter(), server: new Counter() };
  readonly parties: Party[] = [];
  readonly client: End;
  readonly server: End;
  readonly closed: string[] = [];
  readonly released: string[] = [];
  readonly faults: unknown[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
    const capacity = oneOf(random, [300, 5000, 50_000, 1_000_000]);
    this.client = this.#end("client", capacity);
    this.server = this.#end("server", capacity);
    join(this.client, this.server);
  }

  #end(role: Role, capacity: number): End {
    const { clock, buffered } = this;
    const options = { role, clock, buffered: buffered[role], maxConcurrentStreams: 100 };
    return new End(new Connection({ ...options, minPingMs: 0 }, this.#listener(role)), capacity);
  }

  #listener(name: string): ConnectionListener {
    return {
      ready() {},
      request: (stream) => {
        const party = new Party(false);
        party.stream = stream;
        party.hasHeaders = true;
        const partner = this.parties.find(
          ({ isClient, stream: { id } }) => isClient && id === stream.id,
        )!;
        party.partner = partner;
        partner.partner = party;
        this.parties.push(party);
        return party;
      },
      goneAway() {},
      emptied() {},
      closed: (reason) => this.closed.push(`${name} ${reason}`),
      released: () => this.released.push(name),
      faulted: (error) => this.faults.push(error),
    };
  }

  async run(): Promise<void> {
    await settle(this.client, this.server);
    for (let i = 0; i < STEPS; i++) {
      this.#act();
      if (this.#random(3) === 0) await turn();
      this.#checkHeld();
    }
  }

  #act(): void {
    const random = this.#random;
    const end = random(2) === 0 ? this.client : this.server;
    const what = random(20);
    if (what < 8) end.step(oneOf(random, [1, 2, 9, 10, 500, 16_393, 100_000]));
    else if (what === 8) this.#open();
    else if (what === 9 && random(8) === 0) this.#inject(end);
    else if (this.parties.length > 0) this.#actOn(oneOf(random, this.parties));
  }

  #actOn(party: Party): void {
    const random = this.#random;
    const what = random(12);
    if (what < 5) party.write(oneOf(random, SIZES), random(6) === 0);
    else if (what === 5) party.end(party.isClient ? undefined : TRAILERS);
    else if (what === 6 && random(4) === 0) party.reset();
    else party.consume(random(2) === 0 ? random(20_000) : party.held);
  }

  #open(): void {
    if (!this.client.connection.canOpen || this.parties.length > 60) return;
    const party = new Party(true);
    const isEnd = this.#random(4) === 0;
    this.parties.push(party);
    party.isLocalEnded = isEnd;
    party.stream = this.client.connection.open(REQUEST, isEnd, party);
  }

  /** Has a peer change its settings, or send what must be ignored. */
  #inject(end: End): void {
    const window = this.#random(65_536);
    end.inject(
      oneOf(this.#random, [
        frameBytes(
          FrameType.SETTINGS,
          0,
          0,
          encodeSettings([[Setting.INITIAL_WINDOW_SIZE, window]]),
        ),
        frameBytes(FrameType.SETTINGS, 0, 0, encodeSettings([[Setting.HEADER_TABLE_SIZE, window]])),
        frameBytes(FrameType.PING, 0, 0, new Uint8Array(8)),
        frameBytes(99, 0xff, 1, new Uint8Array(77)),
        frameBytes(FrameType.PRIORITY, 0, 1, new Uint8Array(5)),
      ]),
    );
  }

  /** What a side counts is what its streams hold. */
  #checkHeld(): void {
    for (const party of this.parties) party.dropIfOver();
    for (const isClient of [true, false]) {
      const own = this.parties.filter((party) => party.isClient === isClient);
      const { heldBytes } = (isClient ? this.client : this.server).connection;
      const held = own.reduce((sum, party) => sum + party.held, heldBytes);
      const { bytes } = this.buffered[isClient ? "client" : "server"];
      if (bytes !== held) throw new Error(`${bytes} bytes are counted, and ${held} are held`);
    }
  }

  /** Lets all streams finish. */
  async finish(): Promise<void> {
    const open = encodeSettings([[Setting.INITIAL_WINDOW_SIZE, 65_535]]);
    for (const end of [this.client, this.server])
      while (!end.inject(frameBytes(FrameType.SETTINGS, 0, 0, open))) {
        if (end.isShutDown) break;
        await settle(this.client, this.server);
      }
    for (let round = 0; round < 500; round++) {
      for (const party of this.parties) {
        party.consume(party.held);
        if (party.isClient) party.end(undefined);
        else party.end(TRAILERS);
      }
      await settle(this.client, this.server);
      this.#checkHeld();
      for (const party of this.parties) party.consume(party.held);
      if (this.client.connection.streamCount + this.server.connection.streamCount === 0) break;
    }
  }

  check(): void {
    expect(this.faults).toEqual([]);
    expect(this.client.connection.streamCount).toBe(0);
    expect(this.server.connection.streamCount).toBe(0);
    expect([this.buffered.client.bytes, this.buffered.server.bytes]).toEqual([0, 0]);
    for (const { outcome } of this.parties) expect(outcome).not.toBe("");
  }

  /** No response that a server has ended is cut off. */
  checkResponses(): void {
    for (const { isClient, outcome, received, partner } of this.parties) {
      if (!isClient || outcome === "reset" || partner?.outcome !== "complete") continue;
      expect({ outcome, received }).toEqual({ outcome: "complete", received: partner.written });
    }
  }
}

/** Runs histories; a failure names its seed. */
async function histories(count: number, run: (history: History, random: Random) => Promise<void>) {
  for (let i = 0; i < count; i++) {
    const random = randomFrom(seed + i);
    try {
      await run(new History(random), random);
    } catch (error) {
      throw new Error(`history ${i} of FUZZ_SEED=${seed}: ${String(error)}`, { cause: error });
    }
  }
}

describe(`random histories of two connections (FUZZ_SEED=${seed})`, () => {
  test(`${HISTORIES} in which all streams finish`, async () => {
    await histories(HISTORIES, async (history) => {
      await history.run();
      await history.finish();
      history.check();
      history.checkResponses();
      expect(history.closed).toEqual([]);
      history.client.connection.close(ErrorCode.NO_ERROR, "done");
      await settle(history.client, history.server);
      expect(history.closed).toEqual(["client done", expect.stringMatching(/^server /)]);
      history.clock.advance(60_000);
      expect(history.clock.pending).toBe(0);
      expect(history.released).toHaveLength(2);
    });
  });

  test(`${HISTORIES} in which the connection is lost`, async () => {
    await histories(HISTORIES, async (history, random) => {
      await history.run();
      const [one, other] = [history.client, history.server];
      (random(2) === 0 ? one : other).connection.terminate("cut");
      await settle(history.client, history.server);
      for (const party of history.parties) {
        party.dropIfOver();
        party.consume(party.held);
      }
      history.check();
      expect(history.closed).toHaveLength(2);
      expect(history.clock.pending).toBe(0);
    });
  });

  test(`${HISTORIES} in which the server drains`, async () => {
    await histories(HISTORIES, async (history) => {
      await history.run();
      history.server.connection.drain();
      await history.finish();
      history.check();
      history.checkResponses();
      history.clock.advance(60_000);
      await settle(history.client, history.server);
      expect(history.closed).toHaveLength(2);
      expect(history.released).toHaveLength(2);
      expect(history.clock.pending).toBe(0);
    });
  });
});
