import { describe, expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { parseHealthUrl } from "../../src/core/health-url.ts";
import type { Endpoint } from "../../src/resolver/endpoint.ts";
import { type HealthAnswer, ActiveHealth, judgeAnswer } from "../../src/resolver/active-health.ts";
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
  const silent = new Set<string>();
  const asked: string[] = [];
  const log: string[] = [];
  const limits = { intervalMs: INTERVAL, rise: 2, fall: 3 };
  let gate: Promise<void> | undefined;
  const checks = new ActiveHealth({
    pool,
    clock,
    random: () => 0.5,
    limits: () => limits,
    ask: async ({ address: { host } }) => {
      asked.push(host);
      await gate;
      if (silent.has(host)) return { state: "unresponsive", reason: "no answer" };
      return ill.has(host) ? { state: "unhealthy", reason: "HTTP 503" } : { state: "healthy" };
    },
    events: {
      healthChanged: ({ label }, answer) => log.push(inWords(label, answer)),
      stillFailing: () => {},
    },
  });
  const turn = async (ms = INTERVAL) => {
    clock.advance(ms);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  const hold = (promise: Promise<void> | undefined) => {
    gate = promise;
  };
  const picks = () => [1, 2, 3, 4].map(() => pool.pick(NONE)!.address.host).join("");
  return { clock, pool, specs, ill, silent, asked, log, limits, checks, turn, hold, picks };
}

const inWords = (label: string, answer: HealthAnswer) =>
  `${answer.state} ${label}${"reason" in answer ? `: ${answer.reason}` : ""}`;

describe("ActiveHealth", () => {
  test("an endpoint is unhealthy after `fall` failures in a row, and gets no clients", async () => {
    const { checks, turn, ill, log, picks } = setUp();
    ill.add("a");
    checks.sync();
    await turn(0);
    await turn();
    expect([log, picks()]).toEqual([[], "abab"]);
    await turn();
    expect([log, picks()]).toEqual([["unhealthy a:1: HTTP 503"], "bbbb"]);
  });

  test("a check that passes in between restarts the count", async () => {
    const { checks, turn, ill, log } = setUp();
    checks.sync();
    for (const isIll of [true, true, false, true, true, false]) {
      if (isIll) ill.add("a");
      else ill.delete("a");
      await turn();
    }
    expect(log).toEqual([]);
  });

  test("an endpoint is healthy again after `rise` checks that pass", async () => {
    const { checks, turn, ill, log, picks } = setUp();
    ill.add("a");
    checks.sync();
    for (let i = 0; i < 3; i++) await turn();
    ill.clear();
    await turn();
    expect(picks()).toBe("bbbb");
    await turn();
    expect(log).toEqual(["unhealthy a:1: HTTP 503", "healthy a:1"]);
    expect(picks()).toBe("abab");
  });

  test("while no endpoint is healthy, all that answer are used", async () => {
    const { checks, pool, turn, ill, picks } = setUp();
    ill.add("a").add("b");
    checks.sync();
    for (let i = 0; i < 3; i++) await turn();
    expect([picks(), pool.hasHealthy]).toEqual(["abab", false]);
  });

  test("while no endpoint is healthy, one that answers comes before one that does not", async () => {
    const { checks, pool, turn, ill, silent, log, picks } = setUp(["a", "b", "c"]);
    silent.add("a");
    ill.add("b").add("c");
    checks.sync();
    for (let i = 0; i < 3; i++) await turn();
    expect(log.toSorted()).toEqual([
      "unhealthy b:1: HTTP 503",
      "unhealthy c:1: HTTP 503",
      "unresponsive a:1: no answer",
    ]);
    expect(picks()).toBe("bcbc");
    const [a, b, c] = pool.endpoints as [Endpoint, Endpoint, Endpoint];
    expect(pool.pick(new Set([b, c]))).toBe(a);
    expect(pool.pick(new Set([b, c]), "unhealthy")).toBeUndefined();
  });

  test("an unresponsive endpoint that answers an error is unhealthy after `rise` answers", async () => {
    const { checks, turn, ill, silent, log } = setUp(["a"]);
    silent.add("a");
    checks.sync();
    for (let i = 0; i < 3; i++) await turn();
    silent.clear();
    ill.add("a");
    await turn();
    expect(log).toHaveLength(1);
    await turn();
    expect(log).toEqual(["unresponsive a:1: no answer", "unhealthy a:1: HTTP 503"]);
    silent.add("a");
    for (let i = 0; i < 3; i++) await turn();
    expect(log.at(-1)).toBe("unresponsive a:1: no answer");
  });

  test("better and worse answers in alternation change no state", async () => {
    const { checks, turn, ill, silent, log } = setUp(["a"]);
    ill.add("a");
    checks.sync();
    for (let i = 0; i < 3; i++) await turn();
    for (let i = 0; i < 6; i++) {
      ill.clear();
      silent.clear();
      if (i % 2 === 0) silent.add("a");
      await turn();
    }
    expect(log).toEqual(["unhealthy a:1: HTTP 503"]);
  });

  test("pool.hasPassing: the latest check of a healthy endpoint passed", async () => {
    const { checks, pool, turn, ill } = setUp(["a"]);
    checks.sync();
    expect(pool.hasPassing).toBe(false);
    await turn(0);
    expect(pool.hasPassing).toBe(true);
    ill.add("a");
    await turn();
    expect([pool.hasHealthy, pool.hasPassing]).toEqual([true, false]);
    ill.clear();
    await turn();
    expect(pool.hasPassing).toBe(true);
    pool.setUp(pool.endpoints[0]!, false, { at: 0 });
    await turn();
    pool.setUp(pool.endpoints[0]!, true, { at: 0 });
    expect(pool.hasPassing).toBe(false);
  });

  test("a client that tried every healthy endpoint goes to the others, but not beside a dial", async () => {
    const { checks, pool, turn, ill } = setUp();
    ill.add("a");
    checks.sync();
    for (let i = 0; i < 3; i++) await turn();
    const [a, b] = pool.endpoints as [Endpoint, Endpoint];
    expect(pool.pick(new Set([b]))).toBe(a);
    expect(pool.pick(new Set([b]), "healthy")).toBeUndefined();
  });

  test("checks of one endpoint never overlap", async () => {
    const { checks, turn, asked, hold } = setUp(["a"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    checks.sync();
    checks.sync();
    for (let i = 0; i < 5; i++) await turn();
    expect(asked).toEqual(["a"]);
    resolve();
    await turn(0);
    await turn();
    expect(asked).toEqual(["a", "a"]);
  });

  test("asks each interval, and twice as often while checks contradict the state", async () => {
    const { checks, turn, ill, asked, log } = setUp(["a"]);
    checks.sync();
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
    checks.sync();
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
    pool.setUp(pool.endpoints[0]!, false, { at: 0 });
    checks.sync();
    await turn(0);
    await turn();
    expect(asked).toEqual(["b", "b"]);
  });

  test("endpoints that are added are asked, those that have left are not", async () => {
    const { checks, pool, specs, turn, asked } = setUp();
    checks.sync();
    await turn(0);
    pool.reconcile([specs[1]!, parseStaticEndpoint("c:1")]);
    checks.sync();
    await turn(0);
    asked.length = 0;
    await turn();
    expect(asked.toSorted()).toEqual(["b", "c"]);
  });

  test("switched off, all are healthy and no timer is left", async () => {
    const { checks, clock, turn, ill, limits, picks } = setUp();
    ill.add("a");
    checks.sync();
    for (let i = 0; i < 3; i++) await turn();
    limits.intervalMs = 0;
    checks.sync();
    expect([picks(), clock.pending]).toEqual(["abab", 0]);
  });

  test("close() stops all, also twice, and a late answer changes nothing", async () => {
    const { checks, clock, turn, hold, ill, log } = setUp(["a"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    ill.add("a");
    hold(promise);
    checks.sync();
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
  ])("takes %i %p for healthy", (status, body) => {
    expect(judgeAnswer(status, body)).toEqual({ state: "healthy" });
  });

  test.each<[number, string, string]>([
    [200, '{"health":"false"}', 'the answer is {"health":"false"}'],
    [
      200,
      '{"health":false,"reason":"ALARM NOSPACE"}',
      'the answer is {"health":false,"reason":"ALARM NOSPACE"}',
    ],
    [503, '{"health":"false"}', 'HTTP 503: {"health":"false"}'],
    [503, "[-]data_corruption failed", "HTTP 503: [-]data_corruption failed"],
    [404, "404 page not found\n", "HTTP 404: 404 page not found"],
    [301, "", "HTTP 301"],
  ])("takes %i %p for unhealthy", (status, body, reason) => {
    expect(judgeAnswer(status, body)).toEqual({ state: "unhealthy", reason });
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
