import { describe, expect, test } from "bun:test";
import { IdleTimeout, type Watched } from "../../src/relay/idle-timeout.ts";
import { ManualClock } from "../support/manual-clock.ts";

class FakeRelay implements Watched {
  bytes: number | undefined = 0;
  isGone = false;
  isTerminated = false;
  receivedBytes = () => this.bytes;
  isClientGone = (silentMs: number) => this.isGone && silentMs === 1000;
  terminate = () => {
    this.isTerminated = true;
  };
}

function setUp(limits: { idleTimeoutMs: number; userTimeoutMs: number }) {
  const clock = new ManualClock();
  const pair: [FakeRelay, FakeRelay] = [new FakeRelay(), new FakeRelay()];
  const relays = new Set(pair);
  const reasons: string[] = [];
  const watch = new IdleTimeout<FakeRelay>({
    clock,
    relays: () => relays,
    limits: () => limits,
    onExpired: (relay, reason) => {
      reasons.push(reason);
      relays.delete(relay);
    },
  });
  watch.start();
  return { clock, relays: pair, reasons, watch, limits };
}

describe("IdleTimeout", () => {
  test("without a limit has no timer", () => {
    const { clock } = setUp({ idleTimeoutMs: 0, userTimeoutMs: 0 });
    expect(clock.pending).toBe(0);
  });

  test("ends a relay that was idle for the limit, and none earlier", () => {
    const { clock, relays, reasons } = setUp({ idleTimeoutMs: 1000, userTimeoutMs: 0 });
    const [idle, busy] = relays;
    for (let ms = 0; ms < 1000; ms += 100) {
      expect(idle.isTerminated).toBe(false);
      busy.bytes!++;
      clock.advance(100);
    }
    clock.advance(250);
    expect([idle.isTerminated, busy.isTerminated, reasons]).toEqual([true, false, ["idle"]]);
  });

  test("counts from the last byte", () => {
    const { clock, relays } = setUp({ idleTimeoutMs: 1000, userTimeoutMs: 0 });
    clock.advance(900);
    relays[0].bytes = 1;
    clock.advance(900);
    expect(relays[0].isTerminated).toBe(false);
    clock.advance(600);
    expect(relays[0].isTerminated).toBe(true);
  });

  test("leaves alone who is not joined yet", () => {
    const { clock, relays } = setUp({ idleTimeoutMs: 1000, userTimeoutMs: 0 });
    relays[0].bytes = undefined;
    clock.advance(10_000);
    expect(relays[0].isTerminated).toBe(false);
  });

  test("ends a relay whose client has vanished", () => {
    const { clock, relays, reasons } = setUp({ idleTimeoutMs: 0, userTimeoutMs: 1000 });
    relays[1].isGone = true;
    clock.advance(250);
    expect([relays[0].isTerminated, relays[1].isTerminated]).toEqual([false, true]);
    expect(reasons).toEqual(["client_vanished"]);
  });

  test("start() goes by new limits, close() clears the timer, also twice", () => {
    const { clock, watch, limits } = setUp({ idleTimeoutMs: 1000, userTimeoutMs: 1000 });
    watch.start();
    expect(clock.pending).toBe(1);
    limits.idleTimeoutMs = 0;
    limits.userTimeoutMs = 0;
    watch.start();
    expect(clock.pending).toBe(0);
    watch.close();
    watch.close();
  });
});
