// Random conversations over TLS between our dial and our listener. Both ends check each
// byte against a known stream. FUZZ_SEED repeats a run with its seed.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { TlsSettings } from "../../src/core/tls.ts";
import { Closers } from "../support/gateway-command.ts";
import { type Peer, until } from "../support/peer.ts";
import { type Random, randomFrom, seed } from "../support/random-input.ts";
import { Authority } from "../support/tls-certificates.ts";
import { clientSettings, serverSettings } from "../support/tls-context.ts";
import { socketsClosed, dialTls, TlsListener } from "../support/tls-scene.ts";

const CONVERSATIONS = 400;
const CONCURRENCY = 20;

const closers = new Closers();
closers.defer(socketsClosed());
let client: TlsSettings;
let listeners: TlsListener[];
beforeAll(async () => {
  const authority = closers.add(await Authority.create());
  const pair = await authority.issue("server");
  client = await clientSettings({ ca: authority.cert });
  const settings = await Promise.all([
    serverSettings(pair, { maxVersion: "TLS1.2" }),
    serverSettings(pair),
  ]);
  listeners = settings.map((each) => closers.add(new TlsListener(() => each)));
});
afterAll(() => closers.close());

/** Plays one side: sends, pauses and resumes reading at random, and ends with a FIN or a reset. */
async function play(self: Peer, random: Random): Promise<"fin" | "reset"> {
  for (let steps = random(8); steps > 0 && !self.isClosed; steps--) {
    const choice = random(10);
    if (choice < 2) self.pause();
    else if (choice < 4) self.resume();
    else if (choice < 5) await Bun.sleep(random(3));
    else if (!self.isSending) await Promise.race([self.send(1 + random(2 ** random(23))), Bun.sleep(5)]);
  }
  self.resume();
  if (random(10) === 0) {
    self.reset();
    return "reset";
  }
  await until(() => !self.isSending, "the kernel took all bytes");
  self.shutdown();
  return "fin";
} // prettier-ignore

/** Connections are accepted one after the other, so that both ends of each are known. */
let last = Promise.resolve<unknown>(undefined);

async function openPair(listener: TlsListener): Promise<[Peer, Peer]> {
  const turn = last.then(async () => {
    const index = listener.secured.length;
    const dialled = await dialTls(listener.port, client);
    return [dialled.peer, (await listener.client(index)).peer] as [Peer, Peer];
  });
  last = turn.catch(() => {});
  return await turn;
}

async function converse(random: Random): Promise<void> {
  const [left, right] = await openPair(listeners[random(2)]!);
  const ends = await Promise.all([play(left, random), play(right, random)]);
  await until(() => left.isClosed && right.isClosed, "both were closed");
  expect([left.firstWrongByte, right.firstWrongByte]).toEqual([undefined, undefined]);
  if (ends.includes("reset")) {
    expect(left.receivedBytes).toBeLessThanOrEqual(right.sentBytes);
    expect(right.receivedBytes).toBeLessThanOrEqual(left.sentBytes);
  } else {
    expect([left.receivedBytes, right.receivedBytes]).toEqual([right.sentBytes, left.sentBytes]);
  }
}

describe("TlsHandshake", () => {
  test(`${CONVERSATIONS} random conversations deliver every byte (FUZZ_SEED=${seed})`, async () => {
    const isClosed = socketsClosed();
    let next = 0;
    const worker = async () => {
      while (next < CONVERSATIONS) await converse(randomFrom(seed + next++));
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    await isClosed();
  }, 60_000);
});
