// What a start waits for. Time and the answers of DNS are the test's.
import { describe, expect, test } from "bun:test";
import { parseStaticEndpoint, labelOf } from "../../src/core/endpoint-spec.ts";
import type { GatewayConfig } from "../../src/core/gateway-config.ts";
import { UsageError } from "../../src/core/usage-error.ts";
import { EndpointCheck } from "../../src/resolver/endpoint-check.ts";
import { StartError } from "../../src/core/start-error.ts";
import { DnsCache } from "../../src/resolver/dns-cache.ts";
import { LocalGateway } from "../support/local-gateway.ts";
import { ManualClock } from "../support/manual-clock.ts";

const OWN = "127.0.0.99";

function setUp(endpoints: readonly string[], more: Partial<GatewayConfig> = {}) {
  const clock = new ManualClock();
  const lookups: Record<string, PromiseWithResolvers<readonly string[]>> = {};
  const lookup = (host: string) => {
    lookups[host] = Promise.withResolvers();
    return lookups[host].promise;
  };
  const names = new DnsCache(lookup, clock);
  const log: string[] = [];
  const check = new EndpointCheck(clock, (address) => address === OWN, {
    unresolved: (spec, why) => log.push(`unresolved ${labelOf(spec)}: ${why}`),
    isOwnAddress: (spec) => log.push(`own ${labelOf(spec)}`),
  });
  const config: GatewayConfig = {
    ...new LocalGateway([]).config,
    endpoints: endpoints.map(parseStaticEndpoint),
    ...more,
  };
  let outcome: unknown = "waiting";
  const start = () =>
    void check.check(config, names).then(
      () => (outcome = "passed"),
      (error: unknown) => (outcome = error),
    );
  const fail = (host: string, code: string) =>
    lookups[host]!.reject(Object.assign(new Error(code), { code }));
  start();
  return { clock, lookups, log, check, config, fail, names, start, outcome: () => outcome };
}

const settle = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

describe("EndpointCheck.check()", () => {
  test("resolves 250 ms after the first endpoint has resolved", async () => {
    const { clock, lookups, log, outcome, fail } = setUp(["a:1", "b:1"]);
    clock.advance(5000);
    lookups["a"]!.resolve(["10.0.0.1"]);
    await settle();
    clock.advance(249);
    await settle();
    expect(outcome()).toBe("waiting");
    clock.advance(1);
    await settle();
    expect([outcome(), log, clock.pending]).toEqual(["passed", [], 0]);
    fail("b", "ETIMEOUT");
    await settle();
    expect(log).toEqual(["unresolved b:1: ETIMEOUT"]);
  });

  test("resolves at once when every lookup has ended, and logs names that do not resolve", async () => {
    const { lookups, log, outcome, fail, clock } = setUp(["10.0.0.1:1", "a:1"]);
    fail("a", "ENOTFOUND");
    await settle();
    expect([outcome(), log]).toEqual(["passed", ["unresolved a:1: ENOTFOUND"]]);
    expect([Object.keys(lookups), clock.pending]).toEqual([["a"], 0]);
  });

  test("waits without a timeout while no name resolves, then rejects with all names", async () => {
    const { clock, outcome, fail, log } = setUp(["a:1", "b:1"]);
    fail("a", "ENOTFOUND");
    clock.advance(3_600_000);
    await settle();
    expect(outcome()).toBe("waiting");
    fail("b", "ETIMEOUT");
    await settle();
    expect(outcome()).toBeInstanceOf(StartError);
    expect((outcome() as Error).message).toBe(
      'Cannot resolve any of --endpoints: "a:1" (ENOTFOUND), "b:1" (ETIMEOUT)',
    );
    expect(log).toEqual([]);
  });

  test("rejects an endpoint that is the gateway itself, or logs it if a lookup shows it later", async () => {
    const early = setUp(["10.0.0.1:1", "a:1"]);
    early.lookups["a"]!.resolve([OWN]);
    await settle();
    // DNS may correct it, so another start may succeed.
    expect(early.outcome()).toBeInstanceOf(StartError);
    const literal = setUp([`${OWN}:1`]);
    await settle();
    expect(literal.outcome()).toBeInstanceOf(UsageError);
    const late = setUp(["10.0.0.1:1", "a:1"]);
    late.clock.advance(0);
    await settle();
    late.clock.advance(250);
    await settle();
    expect(late.outcome()).toBe("passed");
    late.lookups["a"]!.resolve([OWN]);
    await settle();
    expect(late.log).toEqual(["own a:1"]);
  });

  test("logs nothing for a configuration that was replaced, nor after close()", async () => {
    const { clock, log, check, config, fail, names } = setUp(["10.0.0.1:1", "a:1"]);
    await settle();
    clock.advance(250);
    await settle();
    const other = { ...config, endpoints: [parseStaticEndpoint("10.0.0.1:1")] };
    await check.check(other, names);
    fail("a", "ETIMEOUT");
    await settle();
    expect(log).toEqual([]);

    const closed = setUp(["10.0.0.1:1", "a:1"]);
    await settle();
    closed.clock.advance(250);
    await settle();
    closed.check.close();
    closed.fail("a", "ECANCELLED");
    await settle();
    expect(closed.log).toEqual([]);
  });

  test("with SRV, does not wait for --endpoints, which may all lack an address", async () => {
    const srv = { domain: "a.test", name: undefined, isInsecure: true };
    const { clock, outcome, log, fail } = setUp(["a:1"], { srv });
    await settle();
    clock.advance(250);
    await settle();
    expect(outcome()).toBe("passed");
    fail("a", "ETIMEOUT");
    await settle();
    expect(log).toEqual([]);
  });
});
