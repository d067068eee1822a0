// Random conversations, each byte checked against the model that both ends
// carry. The seed is printed; SOAK_SEED repeats a run.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LocalGateway } from "../support/local-gateway.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";

const CONVERSATIONS = 600;
const AT_ONCE = 20;
const seed = Number(process.env["SOAK_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** mulberry32: small, seeded, good enough to choose what happens next. */
function randomFrom(start: number): (below: number) => number {
  let state = start;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below;
  };
}

let server: PeerServer;
let gateway: LocalGateway;

beforeAll(async () => {
  server = new PeerServer();
  gateway = await new LocalGateway([`127.0.0.1:${server.port}`]).start();
});

afterAll(() => {
  gateway.close();
  server.close();
});

/** One side's part: sends chunks, stops reading now and then, and ends with a FIN or a reset. */
async function play(self: Peer, random: (below: number) => number): Promise<"fin" | "reset"> {
  const steps = random(8);
  for (let i = 0; i < steps && !self.isClosed; i++) {
    const choice = random(10);
    if (choice < 2) self.pause();
    else if (choice < 4) self.resume();
    else if (choice < 5) await Bun.sleep(random(3));
    else if (!self.isSending) {
      await Promise.race([self.send(Math.ceil(2 ** random(20))), Bun.sleep(5)]);
    }
  }
  self.resume();
  if (random(10) < 2) {
    self.reset();
    return "reset";
  }
  await until(() => !self.isSending, "what was sent was taken");
  self.shutdown();
  return "fin";
}

let lastPair = Promise.resolve<unknown>(undefined);
let pairs = 0;

/** Connects one at a time, so that the order of arrival tells who belongs to whom. */
function connectPair(): Promise<[Peer, Peer]> {
  const pair = lastPair.then(async (): Promise<[Peer, Peer]> => {
    const client = await Peer.connect(gateway.port);
    return [client, await server.peer(pairs++)];
  });
  lastPair = pair;
  return pair;
}

/** One conversation, checked at its end; returns whether either side reset it. */
async function converse(index: number): Promise<"fin" | "reset"> {
  const [client, far] = await connectPair();
  const clientRandom = randomFrom(seed + 2 * index);
  const farRandom = randomFrom(seed + 2 * index + 1);
  const ends = await Promise.all([play(client, clientRandom), play(far, farRandom)]);
  await until(() => client.isClosed && far.isClosed, `conversation ${index} ended`);
  // Whatever arrived is what was sent, up to the place where it ends.
  expect([client.firstWrongByte, far.firstWrongByte]).toEqual([undefined, undefined]);
  expect(far.receivedBytes).toBeLessThanOrEqual(client.sentBytes);
  expect(client.receivedBytes).toBeLessThanOrEqual(far.sentBytes);
  if (ends.includes("reset")) return "reset";
  expect([client.outcome, far.outcome]).toEqual(["end", "end"]);
  expect([far.receivedBytes, client.receivedBytes]).toEqual([client.sentBytes, far.sentBytes]);
  return "fin";
}

describe("soak", () => {
  test(`${CONVERSATIONS} random conversations lose no byte (SOAK_SEED=${seed})`, async () => {
    const outcomes = { fin: 0, reset: 0 };
    let next = 0;
    const worker = async () => {
      while (next < CONVERSATIONS) outcomes[await converse(next++)]++;
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    console.log(`seed ${seed}:`, outcomes);
    expect(outcomes.fin + outcomes.reset).toBe(CONVERSATIONS);
    expect(Math.min(outcomes.fin, outcomes.reset)).toBeGreaterThan(100);
    expect(await gateway.drain(AbortSignal.abort())).toBe(0);
  }, 120_000);
});
