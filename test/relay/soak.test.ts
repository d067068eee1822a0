// Random conversations through an in-process gateway. Both ends check each byte
// they receive against a known stream. SOAK_SEED repeats a run with its seed.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LocalGateway } from "../support/local-gateway.ts";
import { Peer, PeerServer, until } from "../support/peer.ts";

const CONVERSATIONS = 600;
const CONCURRENCY = 20;
const seed = Number(process.env["SOAK_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** Returns a mulberry32 generator. It is seeded, and good enough to choose the next step. */
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

/** Plays one side: sends chunks, pauses reading at random, and ends with a FIN or a reset. */
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

  await until(() => !self.isSending, "the kernel took all bytes");
  self.shutdown();
  return "fin";
}

let lastPair = Promise.resolve<unknown>(undefined);
let pairs = 0;

/** Connects one client at a time, so that each client is paired with the next server connection. */
function connectPair(): Promise<[Peer, Peer]> {
  const pair = lastPair.then(async (): Promise<[Peer, Peer]> => {
    const client = await Peer.connect(gateway.port);
    return [client, await server.peer(pairs++)];
  });
  lastPair = pair;
  return pair;
}

/** Runs and checks one conversation; returns "reset" if either side reset it. */
async function converse(index: number): Promise<"fin" | "reset"> {
  const [client, far] = await connectPair();
  const clientRandom = randomFrom(seed + 2 * index);
  const farRandom = randomFrom(seed + 2 * index + 1);
  const ends = await Promise.all([play(client, clientRandom), play(far, farRandom)]);
  await until(() => client.isClosed && far.isClosed, `conversation ${index} ended`);

  // What arrived is a prefix of what was sent.
  expect([client.firstWrongByte, far.firstWrongByte]).toEqual([undefined, undefined]);
  expect(far.receivedBytes).toBeLessThanOrEqual(client.sentBytes);
  expect(client.receivedBytes).toBeLessThanOrEqual(far.sentBytes);
  if (ends.includes("reset")) return "reset";

  expect([client.outcome, far.outcome]).toEqual(["end", "end"]);
  expect([far.receivedBytes, client.receivedBytes]).toEqual([client.sentBytes, far.sentBytes]);
  return "fin";
}

describe("soak", () => {
  test(`${CONVERSATIONS} random conversations arrive intact (SOAK_SEED=${seed})`, async () => {
    const outcomes = { fin: 0, reset: 0 };
    let next = 0;
    const worker = async () => {
      while (next < CONVERSATIONS) outcomes[await converse(next++)]++;
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));

    console.log(`seed ${seed}:`, outcomes);
    expect(outcomes.fin + outcomes.reset).toBe(CONVERSATIONS);
    expect(Math.min(outcomes.fin, outcomes.reset)).toBeGreaterThan(100);
    expect(await gateway.drain(AbortSignal.abort())).toBe(0);
  }, 120_000);
});
