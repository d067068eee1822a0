import { describe, expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/config/endpoint-spec.ts";
import { parseHealthUrl } from "../../src/config/health-url.ts";
import type { Endpoint } from "../../src/resolver/endpoint.ts";
import { HealthChecks, judgeAnswer } from "../../src/resolver/health-checks.ts";
import { Pool } from "../../src/resolver/pool.ts";
import { ManualClock } from "../support/manual-clock.ts";

const INTERVAL = 1000;
// While checks speak against the state.
const EDGE = INTERVAL / 2;
const NONE: ReadonlySet<Endpoint> = new Set();

function setUp(hosts = ["a", "b"]) {
  const clock = new ManualClock();
  const pool = new Pool("round-robin");
  const specs = hosts.map((host) => parseStaticEndpoint(`${host}:1`));
  pool.reconcile(specs);
  const ill = new Set<string>();
  const asked: string[] = [];
  const log: string[] = [];
  const limits = { intervalMs: INTERVAL, rise: 2, fall: 3 };
  let gate: Promise<void> | undefined;
  const checks = new HealthChecks({
    pool,
    clock,
    chance: () => 0.5,
    limits: () => limits,
    ask: async ({ address: { host } }) => {
      asked.push(host);
      await gate;
      if (ill.has(host)) throw new Error("HTTP 503");
    },
    onUnhealthy: ({ label }, error) => log.push(`unhealthy ${label}: ${error.message}`),
    onHealthy: ({ label }) => log.push(`healthy ${label}`),
  });
  const turn = async (ms = INTERVAL) => {
    clock.advance(ms);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  const hold = (promise: Promise<void> | undefined) => {
    gate = promise;
  };
  const picks = () => [1, 2, 3, 4].map(() => pool.pick(NONE)!.address.host).join("");
  return { clock, pool, specs, ill, asked, log, limits, checks, turn, hold, picks };
}

describe("HealthChecks", () => {
  test("an endpoint is unhealthy after so many failures in a row, and gets no clients", async () => {
    const { checks, turn, ill, log, picks } = setUp();
    ill.add("a");
    checks.follow();
    await turn(0);
    await turn();
    expect([log, picks()]).toEqual([[], "abab"]);
    await turn();
    expect([log, picks()]).toEqual([["unhealthy a:1: HTTP 503"], "bbbb"]);
  });

  test("a check that passes in between begins the count anew", async () => {
    const { checks, turn, ill, log } = setUp();
    checks.follow();
    for (const isIll of [true, true, false, true, true, false]) {
      if (isIll) ill.add("a");
      else ill.delete("a");
      await turn();
    }
    expect(log).toEqual([]);
  });

  test("it is healthy again after so many that pass", async () => {
    const { checks, turn, ill, log, picks } = setUp();
    ill.add("a");
    checks.follow();
    for (let i = 0; i < 3; i++) await turn();
    ill.clear();
    await turn();
    expect(picks()).toBe("bbbb");
    await turn();
    expect(log).toEqual(["unhealthy a:1: HTTP 503", "healthy a:1"]);
    expect(picks()).toBe("abab");
  });

  test("where all are unhealthy, all are used", async () => {
    const { checks, pool, turn, ill, picks } = setUp();
    ill.add("a").add("b");
    checks.follow();
    for (let i = 0; i < 3; i++) await turn();
    expect([picks(), pool.hasHealthy]).toEqual(["abab", false]);
  });

  test("a client that tried all healthy ones goes to the others, but not beside a dial", async () => {
    const { checks, pool, turn, ill } = setUp();
    ill.add("a");
    checks.follow();
    for (let i = 0; i < 3; i++) await turn();
    const [a, b] = pool.endpoints as [Endpoint, Endpoint];
    expect(pool.pick(new Set([b]))).toBe(a);
    expect(pool.pick(new Set([b]), true)).toBeUndefined();
  });

  test("checks of one endpoint never overlap", async () => {
    const { checks, turn, asked, hold } = setUp(["a"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    checks.follow();
    checks.follow();
    for (let i = 0; i < 5; i++) await turn();
    expect(asked).toEqual(["a"]);
    resolve();
    await turn(0);
    await turn();
    expect(asked).toEqual(["a", "a"]);
  });

  test("asks each interval, and each half of one while its state is in question", async () => {
    const { checks, turn, ill, asked, log } = setUp(["a"]);
    checks.follow();
    await turn(0);
    await turn(INTERVAL - 1);
    expect(asked).toHaveLength(1);
    ill.add("a");
    await turn(1);
    expect(asked).toHaveLength(2);
    await turn(EDGE);
    await turn(EDGE);
    expect([asked.length, log]).toEqual([4, ["unhealthy a:1: HTTP 503"]]);
    await turn(EDGE);
    expect(asked).toHaveLength(4);
    ill.clear();
    await turn(EDGE);
    await turn(EDGE);
    expect(log.at(-1)).toBe("healthy a:1");
  });

  test("the time that an answer took counts as part of the interval", async () => {
    const { checks, clock, turn, asked, hold } = setUp(["a"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    checks.follow();
    clock.advance(INTERVAL * 0.75);
    resolve();
    await turn(0);
    await turn(INTERVAL * 0.25 - 1);
    expect(asked).toHaveLength(1);
    await turn(1);
    expect(asked).toHaveLength(2);
  });

  test("an endpoint that is down is not asked", async () => {
    const { checks, pool, turn, asked } = setUp();
    pool.setUp(pool.endpoints[0]!, false);
    checks.follow();
    await turn(0);
    await turn();
    expect(asked).toEqual(["b", "b"]);
  });

  test("endpoints that come are asked, those that have left are not", async () => {
    const { checks, pool, specs, turn, asked } = setUp();
    checks.follow();
    await turn(0);
    pool.reconcile([specs[1]!, parseStaticEndpoint("c:1")]);
    checks.follow();
    await turn(0);
    asked.length = 0;
    await turn();
    expect(asked.toSorted()).toEqual(["b", "c"]);
  });

  test("switched off, all are healthy and no timer is left", async () => {
    const { checks, clock, turn, ill, limits, picks } = setUp();
    ill.add("a");
    checks.follow();
    for (let i = 0; i < 3; i++) await turn();
    limits.intervalMs = 0;
    checks.follow();
    expect([picks(), clock.pending]).toEqual(["abab", 0]);
  });

  test("close() stops all, also twice, and a late answer changes nothing", async () => {
    const { checks, clock, turn, hold, ill, log } = setUp(["a"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    ill.add("a");
    hold(promise);
    checks.follow();
    checks.close();
    checks.close();
    resolve();
    await turn();
    expect([clock.pending, log]).toEqual([0, []]);
  });
});

describe("judgeAnswer()", () => {
  test.each([
    [200, '{"health":"true"}'],
    [200, '{"health":true}'],
    [200, '{"health":"true","reason":""}'],
    [200, "ok"],
    [200, ""],
  ])("takes %i %p for well", (status, body) => {
    expect(() => judgeAnswer(status, body)).not.toThrow();
  });

  test.each<[number, string, string]>([
    [200, '{"health":"false"}', 'it says: {"health":"false"}'],
    [200, '{"health":false,"reason":"ALARM NOSPACE"}', "ALARM NOSPACE"],
    [503, '{"health":"false"}', 'HTTP 503: {"health":"false"}'],
    [503, "[-]data_corruption failed", "HTTP 503: [-]data_corruption failed"],
    [404, "404 page not found\n", "HTTP 404: 404 page not found"],
    [301, "", "HTTP 301"],
  ])("takes %i %p for not well", (status, body, why) => {
    expect(() => judgeAnswer(status, body)).toThrow(why);
  });
});

describe("parseHealthUrl()", () => {
  test.each<[string, ReturnType<typeof parseHealthUrl>]>([
    ["http://{host}:2381/health", { scheme: "http", port: 2381, path: "/health" }],
    ["https://{host}:{port}/readyz", { scheme: "https", port: undefined, path: "/readyz" }],
    ["HTTPS://{host}", { scheme: "https", port: 443, path: "/" }],
    ["http://{host}/a?b=c", { scheme: "http", port: 80, path: "/a?b=c" }],
  ])("reads %p", (text, url) => {
    expect(parseHealthUrl(text)).toEqual(url);
  });

  test.each([
    ["{host}:2381", "not a URL"],
    ["ftp://{host}/", "not a URL"],
    ["http://10.0.0.1:2381/health", 'its host is "10.0.0.1", not {host}'],
    ["http://{host}:0/", 'port "0"'],
    ["http://{host}:70000/", 'port "70000"'],
    ["http://{host}:x/", "not a URL"],
  ])("refuses %p", (text, fact) => {
    expect(() => parseHealthUrl(text)).toThrow(fact);
  });
});
