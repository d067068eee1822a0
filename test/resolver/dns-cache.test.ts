import { describe, expect, test } from "bun:test";
import { DnsCache, UNTIL_ANSWERED } from "../../src/resolver/dns-cache.ts";
import { ManualClock } from "../support/manual-clock.ts";

function setUp() {
  const clock = new ManualClock();
  const lookups: {
    host: string;
    resolve: (found: string[]) => void;
    reject: (error: Error) => void;
  }[] = [];
  const signals: AbortSignal[] = [];
  const names = new DnsCache((host, signal) => {
    signals.push(signal);
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    lookups.push({ host, resolve, reject });
    return promise;
  }, clock);
  const answers: string[] = [];
  const ask = (host: string) =>
    names.resolve(host, 3000, (addresses, error) => {
      answers.push(addresses?.join(",") ?? (error as { code?: string }).code ?? "?");
    });
  return { clock, names, lookups, answers, ask, signals };
}

const settle = () => Promise.resolve().then(() => {});
const notFound = Object.assign(new Error("no such host"), { code: "ENOTFOUND" });

describe("DnsCache.resolve()", () => {
  test.each(["127.0.0.1", "::1", "fe80::1%lo"])("answers %p at once, without a lookup", (host) => {
    const { ask, answers, lookups, clock } = setUp();
    ask(host);
    expect(answers).toEqual([host]);
    expect([lookups.length, clock.pending]).toEqual([0, 0]);
  });

  test("looks up again at each dial, so that a changed record is followed", async () => {
    const { ask, answers, lookups } = setUp();
    ask("etcd");
    lookups[0]!.resolve(["10.0.0.1"]);
    await settle();
    ask("etcd");
    lookups[1]!.resolve(["10.0.0.2", "fd00::2"]);
    await settle();
    expect(answers).toEqual(["10.0.0.1", "10.0.0.2,fd00::2"]);
  });

  test("shares one lookup among the questions of one moment", async () => {
    const { ask, answers, lookups } = setUp();
    ask("etcd");
    ask("etcd");
    ask("other");
    expect(lookups.map(({ host }) => host)).toEqual(["etcd", "other"]);
    lookups[0]!.resolve(["10.0.0.1"]);
    await settle();
    expect(answers).toEqual(["10.0.0.1", "10.0.0.1"]);
  });

  test("tells why there is no address", async () => {
    const { ask, answers, lookups, clock } = setUp();
    ask("etcd");
    lookups[0]!.reject(notFound);
    await settle();
    expect(answers).toEqual(["ENOTFOUND"]);
    expect(clock.pending).toBe(0);
  });

  test("keeps the last good addresses when the lookup fails", async () => {
    const { ask, answers, lookups } = setUp();
    ask("etcd");
    lookups[0]!.resolve(["10.0.0.1"]);
    await settle();
    ask("etcd");
    lookups[1]!.reject(notFound);
    await settle();
    expect(answers).toEqual(["10.0.0.1", "10.0.0.1"]);
  });

  test("does not let a slow lookup hold a dial that knows an address", async () => {
    const { ask, answers, lookups, clock } = setUp();
    ask("etcd");
    lookups[0]!.resolve(["10.0.0.1"]);
    await settle();
    ask("etcd");
    clock.advance(249);
    expect(answers).toHaveLength(1);
    clock.advance(1);
    expect(answers).toEqual(["10.0.0.1", "10.0.0.1"]);
    lookups[1]!.resolve(["10.0.0.2"]);
    await settle();
    expect(answers).toHaveLength(2);
    ask("etcd");
    clock.advance(250);
    expect(answers[2]).toBe("10.0.0.2");
  });

  test("of a silent server only the first dial takes note, until it has answered", async () => {
    const { ask, answers, lookups, clock } = setUp();
    ask("etcd");
    lookups[0]!.resolve(["10.0.0.1"]);
    await settle();
    clock.advance(1000);
    ask("etcd");
    clock.advance(100);
    ask("etcd");
    clock.advance(149);
    expect(answers).toHaveLength(1);
    clock.advance(1);
    expect(answers).toHaveLength(3);
    ask("etcd");
    expect(answers).toEqual(["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"]);
    expect([lookups.length, clock.pending]).toEqual([2, 0]);
    lookups[1]!.resolve(["10.0.0.2"]);
    await settle();
    ask("etcd");
    lookups[2]!.resolve(["10.0.0.3"]);
    await settle();
    expect(answers.at(-1)).toBe("10.0.0.3");
  });

  test("gives up at the timeout when nothing is known", () => {
    const { ask, answers, clock } = setUp();
    ask("etcd");
    clock.advance(3000);
    expect(answers).toEqual(["ETIMEDOUT"]);
  });

  test("waits as long as the lookup takes with UNTIL_ANSWERED", async () => {
    const { names, lookups, clock } = setUp();
    const found = names.find("etcd", UNTIL_ANSWERED);
    clock.advance(3_600_000);
    expect(clock.pending).toBe(0);
    lookups[0]!.resolve(["10.0.0.1"]);
    expect(await found).toEqual({ addresses: ["10.0.0.1"], error: undefined });
  });

  test("close() cancels the lookups, which are told so", async () => {
    const { names, ask, signals, answers, lookups } = setUp();
    ask("etcd");
    expect(signals[0]!.aborted).toBe(false);
    names.close();
    names.close();
    expect(signals[0]!.aborted).toBe(true);
    lookups[0]!.reject(Object.assign(new Error("cancelled"), { code: "ECANCELLED" }));
    await settle();
    expect(answers).toEqual(["ECANCELLED"]);
  });

  test("does not call a caller that cancelled", async () => {
    const { ask, answers, lookups, clock } = setUp();
    const cancel = ask("etcd");
    cancel();
    lookups[0]!.resolve(["10.0.0.1"]);
    await settle();
    expect(answers).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});
