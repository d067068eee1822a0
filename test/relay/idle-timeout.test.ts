import { describe, expect, test } from "bun:test";
import { IdleTimeout, type ExpiringRelay } from "../../src/relay/idle-timeout.ts";
import { ManualClock } from "../support/manual-clock.ts";

class FakeRelay implements ExpiringRelay {
  bytes: number | undefined = 0;
  isVanished = false;
  isTerminated = false;

  receivedBytes = () => this.bytes;
  hasClientVanished = (silentMs: number) => this.isVanished && silentMs === 1000;

  terminate = () => {
    this.isTerminated = true;
  };
}

function setUp(limits: { idleTimeoutMs: number; userTimeoutMs: number }) {
  const clock = new ManualClock();
  const pair: [FakeRelay, FakeRelay] = [new FakeRelay(), new FakeRelay()];
  const relays = new Map(pair.map((relay) => [relay, undefined]));
  const reasons: string[] = [];
  const idleTimeout = new IdleTimeout<FakeRelay>(clock, relays);
  idleTimeout.start(limits, {
    expired: (relay, reason) => {
      reasons.push(reason);
      relays.delete(relay);
    },
  });

  return { clock, relays: pair, reasons, idleTimeout };
}

describe("IdleTimeout", () => {
  test("start() sets no timer without a limit", () => {
    const { clock } = setUp({ idleTimeoutMs: 0, userTimeoutMs: 0 });
    expect(clock.pending).toBe(0);
  });

  test("terminates a relay once it has been idle for the limit, and not before", () => {
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

  test("measures the idle time from the last byte", () => {
    const { clock, relays } = setUp({ idleTimeoutMs: 1000, userTimeoutMs: 0 });
    clock.advance(900);
    relays[0].bytes = 1;
    clock.advance(900);
    expect(relays[0].isTerminated).toBe(false);
    clock.advance(600);
    expect(relays[0].isTerminated).toBe(true);
  });

  test("spares a relay that is not joined yet", () => {
    const { clock, relays } = setUp({ idleTimeoutMs: 1000, userTimeoutMs: 0 });
    relays[0].bytes = undefined;
    clock.advance(10_000);
    expect(relays[0].isTerminated).toBe(false);
  });

  test("terminates a relay whose client has vanished", () => {
    const { clock, relays, reasons } = setUp({ idleTimeoutMs: 0, userTimeoutMs: 1000 });
    relays[1].isVanished = true;
    clock.advance(250);
    expect([relays[0].isTerminated, relays[1].isTerminated]).toEqual([false, true]);
    expect(reasons).toEqual(["client_vanished"]);
  });

  test("setLimits() applies changed limits, and close() may be called twice", () => {
    const { clock, idleTimeout } = setUp({ idleTimeoutMs: 1000, userTimeoutMs: 1000 });
    idleTimeout.setLimits({ idleTimeoutMs: 2000, userTimeoutMs: 0 });
    expect(clock.pending).toBe(1);
    idleTimeout.setLimits({ idleTimeoutMs: 0, userTimeoutMs: 0 });
    expect(clock.pending).toBe(0);
    idleTimeout.close();
    idleTimeout.close();
  });
});
