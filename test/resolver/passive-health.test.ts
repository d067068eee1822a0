import { describe, expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { PassiveHealth, type Probe } from "../../src/resolver/passive-health.ts";
import type { Endpoint } from "../../src/resolver/endpoint.ts";
import { Pool } from "../../src/resolver/pool.ts";
import { ManualClock } from "../support/manual-clock.ts";

const RETRY = 1000;

function setUp() {
  const clock = new ManualClock();
  const pool = new Pool("round-robin");
  pool.reconcile(["a:1", "b:1"].map(parseStaticEndpoint));
  const [a, b] = pool.endpoints as [Endpoint, Endpoint];
  const log: string[] = [];
  const probes: { endpoint: Endpoint; done: (error?: Error) => void; aborted: boolean }[] = [];
  const probe: Probe = (endpoint, done) => {
    const begun = { endpoint, done: (error?: Error) => done(error), aborted: false };
    probes.push(begun);
    return () => {
      begun.aborted = true;
    };
  };
  const health = new PassiveHealth(pool, clock, { probe }, RETRY);
  health.start({
    deactivated: ({ label }, error) => log.push(`deactivated ${label} ${error.message}`),
    activated: ({ label }) => log.push(`activated ${label}`),
    stillDown: ({ label }, error) => log.push(`stillDown ${label} ${error.message}`),
  });
  const fail = (endpoint: Endpoint) => health.markDown(endpoint, new Error("refused"), clock.now());
  return { clock, pool, a, b, log, probes, health, fail };
}

describe("PassiveHealth", () => {
  test("markDown() marks the endpoint down, and logs that once for any number of failed dials", () => {
    const { fail, a, log } = setUp();
    fail(a);
    fail(a);
    expect(a.isUp).toBe(false);
    expect(log).toEqual(["deactivated a:1 refused"]);
  });

  test("markDown() ignores a failure that began before the endpoint came up", () => {
    const { health, clock, fail, a, probes, log } = setUp();
    fail(a);
    clock.advance(RETRY);
    probes[0]!.done();
    health.markDown(a, new Error("late"), RETRY - 1);
    expect(a.isUp).toBe(true);
    expect(log).toEqual(["deactivated a:1 refused", "activated a:1"]);
  });

  test("markDown() starts a probe every retry delay until the endpoint is up", () => {
    const { clock, fail, a, probes, log } = setUp();
    fail(a);
    clock.advance(RETRY - 1);
    expect(probes).toHaveLength(0);
    clock.advance(1);
    expect(probes).toHaveLength(1);
    probes[0]!.done(new Error("still refused"));
    clock.advance(RETRY);
    expect(probes).toHaveLength(2);
    probes[1]!.done();
    expect(a.isUp).toBe(true);
    expect(log).toEqual([
      "deactivated a:1 refused",
      "stillDown a:1 still refused",
      "activated a:1",
    ]);
    expect(clock.pending).toBe(0);
  });

  test("a failed probe replaces the reason why the endpoint is down", () => {
    const { clock, fail, a, probes } = setUp();
    fail(a);
    expect(a.downReason).toBe("refused");
    clock.advance(RETRY);
    probes[0]!.done(new Error("certificate has expired"));
    expect(a.downReason).toBe("certificate has expired");
    clock.advance(RETRY);
    probes[1]!.done();
    expect(a.downReason).toBeUndefined();
  });

  test("markDown() starts a separate timer for each endpoint", () => {
    const { clock, fail, a, b, probes } = setUp();
    fail(a);
    clock.advance(RETRY / 2);
    fail(b);
    clock.advance(RETRY / 2);
    expect(probes.map(({ endpoint }) => endpoint)).toEqual([a]);
    clock.advance(RETRY / 2);
    expect(probes.map(({ endpoint }) => endpoint)).toEqual([a, b]);
  });

  test("probeNow() probes at once instead of at the timer, and all callers share one probe", () => {
    const { health, fail, a, probes, log } = setUp();
    fail(a);
    const outcomes: (Error | undefined)[] = [];
    for (let i = 0; i < 3; i++) health.probeNow(a, (error) => outcomes.push(error));
    expect(probes).toHaveLength(1);
    probes[0]!.done();
    expect(outcomes).toEqual([undefined, undefined, undefined]);
    expect(log).toEqual(["deactivated a:1 refused", "activated a:1"]);
  });

  test("probeNow() of an endpoint that is up calls back at once without a probe", () => {
    const { health, a, probes } = setUp();
    let calls = 0;
    health.probeNow(a, () => calls++);
    expect([calls, probes.length]).toEqual([1, 0]);
  });

  test("probeNow() logs no failure, and leaves the timer running", () => {
    const { health, clock, fail, a, probes, log } = setUp();
    fail(a);
    const outcomes: (string | undefined)[] = [];
    health.probeNow(a, (error) => outcomes.push(error?.message));
    probes[0]!.done(new Error("no"));
    expect(outcomes).toEqual(["no"]);
    expect(log).toEqual(["deactivated a:1 refused"]);
    clock.advance(RETRY);
    expect(probes).toHaveLength(2);
  });

  test("probeNow() starts the probe that the timer then joins", () => {
    const { health, clock, fail, a, probes, log } = setUp();
    fail(a);
    health.probeNow(a, () => {});
    clock.advance(RETRY);
    expect(probes).toHaveLength(1);
    probes[0]!.done(new Error("slow no"));
    expect(log).toEqual(["deactivated a:1 refused", "stillDown a:1 slow no"]);
    clock.advance(RETRY);
    expect(probes).toHaveLength(2);
  });

  test("forget() stops the probe and the timer, calls back with an error, and logs nothing", () => {
    const { health, clock, pool, fail, a, b, probes, log } = setUp();
    fail(a);
    clock.advance(RETRY);
    const outcomes: (string | undefined)[] = [];
    health.probeNow(a, (error) => outcomes.push(error?.message));
    pool.reconcile([b.spec]);
    health.forget(a);
    expect(outcomes).toEqual(["a:1 was removed"]);
    expect(probes.map(({ aborted }) => aborted)).toEqual([true]);
    expect(log).toEqual(["deactivated a:1 refused"]);
    expect(clock.pending).toBe(0);
  });

  test("markDown() ignores an endpoint that has left", () => {
    const { clock, pool, fail, a, b, log } = setUp();
    pool.reconcile([b.spec]);
    fail(a);
    expect([log.length, clock.pending]).toEqual([0, 0]);
  });

  test("setRetryDelay() applies the new delay at once, with one timer per endpoint", () => {
    const { health, clock, fail, a, probes } = setUp();
    fail(a);
    health.setRetryDelay(10);
    clock.advance(10);
    expect(probes).toHaveLength(1);
    health.setRetryDelay(20);
    probes[0]!.done(new Error("no"));
    expect(clock.pending).toBe(1);
  });

  test("close() aborts probes and clears timers, also twice", () => {
    const { health, clock, fail, a, b, probes } = setUp();
    fail(a);
    fail(b);
    health.probeNow(a, () => {});
    health.close();
    health.close();
    expect(probes.map(({ aborted }) => aborted)).toEqual([true]);
    expect(clock.pending).toBe(0);
  });
});
