// For any bytes, a connection of either role answers, or ends with an error code of RFC 9113.
// It throws nothing, holds little, and ends each stream once.
import { describe, expect, test } from "bun:test";
import { Connection } from "../../src/http2/connection.ts";
import type { ConnectionListener } from "../../src/http2/connection-listener.ts";
import type { HeaderList } from "../../src/http2/header-list.ts";
import { HpackEncoder, maxEncodedBytes } from "../../src/http2/hpack-encoder.ts";
import { ErrorCode, FrameType, PREFACE } from "../../src/http2/protocol.ts";
import type { Stream, StreamListener } from "../../src/http2/stream.ts";
import type { Role } from "../../src/http2/stream-table.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { oneOf, type Random, randomFrom, seed } from "../support/random-input.ts";
import { frameBytes, REQUEST, RESPONSE, TRAILERS, uint32 } from "./raw-peer.ts";

// FUZZ_COUNT runs more of them.
const COUNT = Number(process.env["FUZZ_COUNT"] ?? 500);
// The connection's window and, on a server, the ceiling of a client; and what may be unwritten.
const MAX_HELD = 9 * 1024 * 1024;
const CODES = new Set<number>(Object.values(ErrorCode));

interface Input {
  readonly role: Role;
  readonly chunks: readonly Uint8Array[];
  readonly random: Random;
}

/** Makes the bytes of a peer: a conversation that is valid, but for a few mutations. */
class Conversation {
  readonly #random: Random;
  readonly #encoder = new HpackEncoder({ maxTableBytes: 4096 });
  readonly #frames: Uint8Array[] = [];
  #nextId = 1;

  constructor(random: Random) {
    this.#random = random;
  }

  make(role: Role): Uint8Array[] {
    const random = this.#random;
    if (role === "server" && random(20) > 0) this.#frames.push(PREFACE);
    this.#add(FrameType.SETTINGS, 0, 0, random(2) === 0 ? this.#settings() : new Uint8Array(0));
    for (let left = 1 + random(40); left > 0; left--) this.#next(role);
    for (let left = random(4); left > 0 && this.#frames.length > 0; left--) this.#mutate();
    return this.#cut();
  }

  #add(type: number, flags: number, id: number, payload: Uint8Array): void {
    this.#frames.push(frameBytes(type, flags, id, payload));
  }

  #next(role: Role): void {
    const random = this.#random;
    const id = this.#anyId();
    switch (random(12)) {
      case 0:
      case 1:
      case 2: {
        const isNew = role === "server" && random(3) > 0;
        const own = isNew ? this.#nextId : id;
        if (isNew) this.#nextId += 2;
        this.#headers(own, role === "server" ? REQUEST : oneOf(random, [RESPONSE, TRAILERS]));
        return;
      }
      case 3:
      case 4:
      case 5:
        this.#add(
          FrameType.DATA,
          oneOf(random, [0, 0, 1, 8, 9]),
          id,
          new Uint8Array(random(3000)).fill(random(256)),
        );
        return;
      case 6:
        this.#add(FrameType.WINDOW_UPDATE, 0, oneOf(random, [0, id]), uint32(random(2 ** 31)));
        return;
      case 7:
        this.#add(FrameType.RST_STREAM, 0, id, uint32(random(20)));
        return;
      case 8:
        this.#add(
          FrameType.SETTINGS,
          random(2),
          0,
          random(2) === 0 ? this.#settings() : this.#bytes(6),
        );
        return;
      case 9:
        this.#add(FrameType.PING, random(2), 0, this.#bytes(8));
        return;
      case 10:
        this.#add(FrameType.GOAWAY, 0, 0, this.#bytes(8 + random(9)));
        return;
      default:
        this.#add(random(14), random(256), random(3) === 0 ? 0 : id, this.#bytes(random(40)));
    }
  }

  #headers(id: number, list: HeaderList): void {
    const random = this.#random;
    const fields = random(4) === 0 ? ["x-a", "v".repeat(random(200)), "content-length", "10"] : [];
    const all = [...list, ...fields];
    const block = new Uint8Array(maxEncodedBytes(all));
    const encoded = block.subarray(0, this.#encoder.encode(all, block, 0));
    const end = random(2);
    const cut = random(4) === 0 ? random(encoded.length) : encoded.length;
    const isWhole = cut === encoded.length;
    this.#add(FrameType.HEADERS, end | (isWhole ? 4 : 0), id, encoded.subarray(0, cut));
    if (!isWhole) this.#add(FrameType.CONTINUATION, 4, id, encoded.subarray(cut));
  }

  #settings(): Uint8Array {
    const random = this.#random;
    const value = oneOf(random, [0, 1, 100, 16_384, 65_535, 2 ** 24 - 1, 2 ** 31 - 1, 2 ** 32 - 1]);
    return new Uint8Array([0, random(9), ...uint32(value)]);
  }

  #anyId(): number {
    return this.#random(20) === 0 ? this.#random(2 ** 31) : 1 + 2 * this.#random(8);
  }

  #bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#random(256));
  }

  #mutate(): void {
    const random = this.#random;
    const frames = this.#frames;
    const at = random(frames.length);
    const frame = frames[at]!.slice();
    switch (random(6)) {
      case 0:
        frames.splice(at, 1);
        return;
      case 1:
        frames.splice(random(frames.length), 0, frame);
        return;
      case 2:
        frames[at] = frame.subarray(0, random(frame.length));
        return;
      case 3:
        frames.splice(at, 0, this.#bytes(random(30)));
        return;
      default:
        if (frame.length > 0) frame[random(Math.min(frame.length, 12))] = random(256);
        frames[at] = frame;
    }
  }

  /** Cuts the bytes at random places. */
  #cut(): Uint8Array[] {
    const random = this.#random;
    const bytes = Buffer.concat(this.#frames);
    const most = oneOf(random, [1, 10, 100, 100_000]);
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + 1 + random(most));
      chunks.push(new Uint8Array(bytes.subarray(at, end)));
      at = end;
    }
    return chunks;
  }
}

/** A stream's owner, who does anything that the interface allows. */
class Owner implements StreamListener {
  stream!: Stream;
  ends = 0;
  #held = 0;

  constructor(readonly random: Random) {}

  headers(_: HeaderList, isEnd: boolean): void {
    this.#event(isEnd);
  }

  data(chunk: Uint8Array, isEnd: boolean): void {
    this.#held += chunk.length;
    this.#event(isEnd);
  }

  sent(): void {}

  closed(): void {
    this.ends++;
    this.stream.release();
  }

  #event(isEnd: boolean): void {
    if (this.ends > 0) throw new Error("an event after the end");
    if (isEnd) this.ends++;
    this.act();
  }

  act(): void {
    const { stream, random } = this;
    const what = random(9);
    if (what === 0) stream.headers(RESPONSE);
    else if (what === 1) stream.write(new Uint8Array(random(5000)), random(4) === 0);
    else if (what === 2) stream.end(oneOf(random, [undefined, TRAILERS]));
    else if (what === 3 && random(3) === 0) stream.reset();
    else if (what === 4 && random(8) === 0) throw new Error("bug");
    else stream.consumed(random(this.#held + 1));
  }
}

class Fuzzed implements ConnectionListener {
  readonly clock = new ManualClock();
  readonly owners: Owner[] = [];
  readonly written: Uint8Array[] = [];
  held = 0;
  closedCount = 0;
  readonly connection: Connection;
  readonly #role: Role;
  readonly #random: Random;

  constructor({ role, random }: Input) {
    this.#role = role;
    this.#random = random;
    const buffered = {
      add: (bytes: number) => {
        this.held += bytes;
        if (this.held < 0 || this.held > MAX_HELD) throw new Error(`${this.held} bytes are held`);
      },
      mayGrow: true,
    };
    const options = { role, clock: this.clock, buffered, maxConcurrentStreams: 5, minPingMs: 0 };
    this.connection = new Connection(options, this);
    this.connection.opened({
      write: (data: unknown, offset = 0, length = 0) => {
        const taken = random(6) === 0 ? random(length) : length;
        this.written.push((data as Uint8Array).slice(offset, offset + taken));
        return taken;
      },
      shutdown() {},
      terminate() {},
    } as never);
  }

  async run(chunks: readonly Uint8Array[]): Promise<void> {
    const random = this.#random;
    for (const chunk of chunks) {
      this.connection.received(chunk);
      if (random(4) === 0) await Promise.resolve();
      if (random(4) === 0) this.connection.writable();
      if (random(4) === 0) this.#open();
      if (random(200) === 0) this.connection.drain();
      if (this.owners.length > 0 && random(4) === 0) this.#actOutside(oneOf(random, this.owners));
    }
  }

  /** An owner acts when nothing has happened; only listeners may throw. */
  #actOutside(owner: Owner): void {
    try {
      owner.act();
    } catch {}
  }

  #open(): void {
    if (this.#role === "server" || !this.connection.canOpen || this.owners.length > 20) return;
    const owner = new Owner(this.#random);
    this.owners.push(owner);
    owner.stream = this.connection.open(REQUEST, this.#random(2) === 0, owner);
  }

  /** Checks what must hold, whatever was received. */
  check(): void {
    const isOpen = this.connection.isOpen;
    expect(this.closedCount).toBe(isOpen ? 0 : 1);
    // A GOAWAY of ours has a code that exists. Its frames may be cut off, by a socket that is full.
    for (const code of this.#goAwayCodes()) expect(CODES.has(code)).toBe(true);
    this.connection.terminate("end");
    for (const { stream, ends } of this.owners) {
      expect(ends).toBeLessThanOrEqual(2);
      expect(stream.state).toBe("closed");
      stream.release();
    }
    expect(this.held).toBe(0);
    expect(this.connection.streamCount).toBe(0);
    expect(this.clock.pending).toBe(0);
  }

  #goAwayCodes(): number[] {
    const bytes = Buffer.concat(this.written);
    const codes: number[] = [];
    let at = bytes.indexOf(PREFACE) === 0 ? PREFACE.length : 0;
    while (at + 9 <= bytes.length) {
      const length = bytes.readUIntBE(at, 3);
      if (bytes[at + 3] === FrameType.GOAWAY && at + 17 <= bytes.length)
        codes.push(bytes.readUInt32BE(at + 13));
      at += 9 + length;
    }
    return codes;
  }

  ready(): void {}

  request(stream: Stream): StreamListener {
    if (this.#random(30) === 0) throw new Error("bug");
    const owner = new Owner(this.#random);
    owner.stream = stream;
    this.owners.push(owner);
    return owner;
  }

  goneAway(): void {}
  emptied(): void {}
  released(): void {}

  closed(): void {
    this.closedCount++;
  }

  faulted(error: unknown): void {
    if ((error as Error).message !== "bug") throw error;
  }
}

describe.each(["server", "client"] as const)(`a %s's connection (FUZZ_SEED=${seed})`, (role) => {
  test(`takes ${COUNT} conversations with faults`, async () => {
    for (let i = 0; i < COUNT; i++) {
      const random = randomFrom(seed + i);
      const chunks = new Conversation(random).make(role);
      const fuzzed = new Fuzzed({ role, chunks, random });
      try {
        await fuzzed.run(chunks);
        fuzzed.check();
      } catch (error) {
        throw new Error(`conversation ${i} of FUZZ_SEED=${seed}: ${String(error)}`, {
          cause: error,
        });
      }
    }
  });

  test(`takes ${COUNT} times noise`, async () => {
    for (let i = 0; i < COUNT; i++) {
      const random = randomFrom(seed + i);
      const noise = Uint8Array.from({ length: random(400) }, () => random(256));
      const start = frameBytes(FrameType.SETTINGS, 0, 0, new Uint8Array(0));
      const chunks = [
        ...(role === "server" ? [PREFACE] : []),
        ...(random(2) ? [start] : []),
        noise,
      ];
      const fuzzed = new Fuzzed({ role, chunks, random });
      await fuzzed.run(chunks);
      fuzzed.check();
    }
  });
});
