// Failover with scripted dials and a manual clock: no socket is opened.
import { describe, expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { DialError } from "../../src/net/dial-error.ts";
import { HedgeBudget, MAX_HEDGES } from "../../src/net/race.ts";
import type { Endpoint } from "../../src/resolver/endpoint.ts";
import { Failover } from "../../src/resolver/failover.ts";
import { PassiveHealth, type Probe } from "../../src/resolver/passive-health.ts";
import { Pool } from "../../src/resolver/pool.ts";
import { ManualClock } from "../support/manual-clock.ts";

const ATTEMPT_DELAY = 250;

class Connection {
  isTerminated = false;
  terminate(): void {
    this.isTerminated = true;
  }
}

interface ScriptedDial {
  readonly host: string;
  isAborted: boolean;
  connect(): Connection;
  fail(code?: string): void;
}

function setUp(hosts: readonly string[], { attemptDelayMs = ATTEMPT_DELAY } = {}) {
  const clock = new ManualClock();
  const pool = new Pool("round-robin");
  pool.reconcile(hosts.map((host) => parseStaticEndpoint(`${host}:1`)));
  const dials: ScriptedDial[] = [];
  const probes = new Map<string, (error: Error | undefined) => void>();
  const log: string[] = [];
  const probe: Probe = (endpoint, done) => {
    probes.set(endpoint.address.host, done);
    return () => probes.delete(endpoint.address.host);
  };
  const health = new PassiveHealth(pool, clock, { probe }, 60_000);
  health.start({
    deactivated: ({ address }, error) => log.push(`down ${address.host}: ${error.message}`),
    activated: ({ address }) => log.push(`up ${address.host}`),
    stillDown: () => {},
  });
  const hedgeBudget = new HedgeBudget();
  let refresh: PromiseWithResolvers<void> | undefined;
  const cluster = {
    pool,
    health,
    hasDiscovery: false,
    refresh: () => (refresh = Promise.withResolvers<void>()).promise,
    dialer: {
      hedgeBudget,
      dial(endpoint: Endpoint, listener: DialListener) {
        const dial: ScriptedDial = {
          host: endpoint.address.host,
          isAborted: false,
          connect() {
            const connection = new Connection();
            listener.connected(connection);
            return connection;
          },
          fail: (code = "ECONNREFUSED") => listener.failed(new DialError("dial", code)),
        };
        dials.push(dial);
        return () => {
          dial.isAborted = true;
        };
      },
    },
  };
  const outcomes: string[] = [];
  const failover = new Failover<Connection>(
    { cluster, clock, attemptDelayMs: () => attemptDelayMs },
    {
      connected: (_, { address }) => outcomes.push(`connected ${address.host}`),
      failed: (error) => outcomes.push(`failed ${error?.code ?? "no endpoint"}`),
    },
  );
  const endpoint = (host: string) => pool.endpoints.find((e) => e.address.host === host)!;
  const dialled = () => dials.map(({ host }) => host).join("");
  const refreshed = async () => {
    refresh!.resolve();
    await refresh!.promise;
    await Promise.resolve();
  };
  return { clock, pool, health, cluster, dials, probes, log, outcomes, failover, hedgeBudget, endpoint, dialled, refreshed }; // prettier-ignore
}

interface DialListener {
  connected(connection: Connection): void;
  failed(error: DialError): void;
}

describe("Failover", () => {
  test("dials the next endpoint when one refuses, and marks that one down", () => {
    const { failover, dials, log, outcomes, dialled, endpoint, clock } = setUp(["a", "b"]);
    failover.start();
    dials[0]!.fail();
    expect([dialled(), log]).toEqual(["ab", ["down a: dial: connection refused"]]);
    dials[1]!.connect();
    expect(outcomes).toEqual(["connected b"]);
    expect([endpoint("a").connections, endpoint("b").connections]).toEqual([0, 1]);
    // The retry timer of the endpoint that is down.
    expect(clock.pending).toBe(1);
  });

  test("dials the next endpoint as well after the attempt delay, and uses the first that connects", () => {
    const { failover, dials, outcomes, dialled, clock, hedgeBudget, endpoint } = setUp(["a", "b"]);
    failover.start();
    clock.advance(ATTEMPT_DELAY - 1);
    expect(dialled()).toBe("a");
    clock.advance(1);
    expect([dialled(), hedgeBudget.inUse]).toEqual(["ab", 1]);
    dials[1]!.connect();
    expect([outcomes, dials[0]!.isAborted, hedgeBudget.inUse]).toEqual([["connected b"], true, 0]);
    expect(endpoint("a").dialStatistics.outcomes.overtaken).toBe(1);
    expect([endpoint("a").connections, clock.pending]).toEqual([0, 0]);
  });

  test("marks an endpoint down that was overtaken three times in a row", () => {
    const { pool, cluster, clock, dials, log } = setUp(["a", "b"]);
    const listener = { connected: () => {}, failed: () => {} };
    for (let i = 0; i < 3; i++) {
      expect(log).toEqual([]);
      const failover = new Failover<Connection>(
        { cluster, clock, attemptDelayMs: () => ATTEMPT_DELAY },
        listener,
      );
      failover.start();
      // Round robin puts each endpoint first in turn. Failovers that begin with b do not count.
      if (dials.at(-1)!.host === "b") {
        dials.at(-1)!.connect();
        i--;
        continue;
      }
      clock.advance(ATTEMPT_DELAY);
      dials.at(-1)!.connect();
    }
    expect(log).toEqual(["down a: dial tcp a:1: no answer 3 times in a row while others answered"]);
    expect(pool.pick(new Set())!.address.host).toBe("b");
  });

  test("fails when every endpoint refuses and there is no discovery", () => {
    const { failover, dials, outcomes, clock } = setUp(["a", "b"]);
    failover.start();
    dials[0]!.fail();
    dials[1]!.fail();
    expect(outcomes).toEqual(["failed no endpoint"]);
    clock.advance(ATTEMPT_DELAY);
    expect(outcomes).toHaveLength(1);
  });

  test("probes endpoints that are down, and dials the first that accepts", () => {
    const { failover, health, dials, probes, outcomes, endpoint, dialled } = setUp(["a", "b"]);
    for (const host of ["a", "b"]) health.markDown(endpoint(host), new Error("down"), 0);
    failover.start();
    expect([dialled(), [...probes.keys()]]).toEqual(["", ["a", "b"]]);
    probes.get("b")!(undefined);
    expect(dialled()).toBe("b");
    dials[0]!.connect();
    expect(outcomes).toEqual(["connected b"]);
  });

  test("waits for one refresh of discovery, then tries every endpoint again", async () => {
    const { failover, cluster, dials, probes, outcomes, dialled, refreshed } = setUp(["a"]);
    cluster.hasDiscovery = true;
    failover.start();
    dials[0]!.fail();
    expect(outcomes).toEqual([]);
    await refreshed();
    // The endpoint is down, so it is probed first.
    probes.get("a")!(undefined);
    expect(dialled()).toBe("aa");
    dials[1]!.fail();
    expect(outcomes).toEqual(["failed no endpoint"]);
  });

  test("waits at most a second for the refresh", () => {
    const { failover, cluster, dials, outcomes, clock, probes } = setUp(["a"]);
    cluster.hasDiscovery = true;
    failover.start();
    dials[0]!.fail();
    clock.advance(999);
    expect([outcomes, probes.size]).toEqual([[], 0]);
    clock.advance(1);
    probes.get("a")!(new Error("refused"));
    expect(outcomes).toEqual(["failed no endpoint"]);
  });

  test("marks no endpoint down for a lack of descriptors", () => {
    const { failover, dials, outcomes, log } = setUp(["a", "b"]);
    failover.start();
    dials[0]!.fail("EMFILE");
    expect([outcomes, log]).toEqual([["failed EMFILE"], []]);
  });

  test("closes a connection to an endpoint that has left the pool, and dials the next", () => {
    const { failover, pool, dials, outcomes, dialled } = setUp(["a", "b"]);
    failover.start();
    pool.reconcile([parseStaticEndpoint("b:1")]);
    expect(dials[0]!.connect().isTerminated).toBe(true);
    expect([dialled(), outcomes]).toEqual(["ab", []]);
  });

  test("dials an endpoint in worse health after another, not alongside it", () => {
    const { failover, pool, dials, dialled, clock } = setUp(["a", "b", "c"]);
    const pick = pool.pick.bind(pool);
    expect(pick(new Set())!.address.host).toBe("a");
    pool.setHealth(pool.endpoints[1]!, "unhealthy", { at: 0 });
    pool.setHealth(pool.endpoints[2]!, "unresponsive", { at: 0 });
    failover.start();
    clock.advance(ATTEMPT_DELAY);
    expect(dialled()).toBe("a");
    dials[0]!.fail();
    expect(dialled()).toBe("ab");
    dials[1]!.fail();
    expect(dialled()).toBe("abc");
  });

  test("dials an endpoint in equal health alongside another while none is healthy", () => {
    const { failover, pool, dialled, clock } = setUp(["a", "b"]);
    for (const endpoint of pool.endpoints) pool.setHealth(endpoint, "unhealthy", { at: 0 });
    failover.start();
    clock.advance(ATTEMPT_DELAY);
    expect(dialled()).toBe("ab");
  });

  test("aborts its oldest dial when other clients use every hedge", () => {
    const { failover, dials, hedgeBudget, clock, endpoint } = setUp(["a", "b"]);
    for (let i = 0; i < MAX_HEDGES; i++) hedgeBudget.tryAcquire();
    failover.start();
    clock.advance(ATTEMPT_DELAY);
    expect([dials[0]!.isAborted, dials[1]!.isAborted]).toEqual([true, false]);
    expect(endpoint("a").dialStatistics.outcomes.abandoned).toBe(1);
    expect(hedgeBudget.inUse).toBe(MAX_HEDGES);
  });

  test("abort() aborts every dial, clears the timer and does not call the listener", () => {
    const { failover, dials, outcomes, clock, endpoint, hedgeBudget } = setUp(["a", "b"]);
    failover.start();
    clock.advance(ATTEMPT_DELAY);
    failover.abort();
    expect(dials.map(({ isAborted }) => isAborted)).toEqual([true, true]);
    expect([endpoint("a").connections, endpoint("b").connections]).toEqual([0, 0]);
    expect([clock.pending, hedgeBudget.inUse, outcomes]).toEqual([0, 0, []]);
  });

  test("never dials two endpoints at once with an attempt delay of 0", () => {
    const { failover, dialled, clock } = setUp(["a", "b"], { attemptDelayMs: 0 });
    failover.start();
    clock.advance(60_000);
    expect([dialled(), clock.pending]).toEqual(["a", 0]);
  });
});
