import { describe, expect, test } from "bun:test";
import { parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { parseHealthUrl } from "../../src/core/health-url.ts";
import type { Endpoint } from "../../src/resolver/endpoint.ts";
import {
  type CheckHealth,
  type HealthResult,
  ActiveHealth,
  parseHealthResponse,
} from "../../src/resolver/active-health.ts";
import { Pool } from "../../src/resolver/pool.ts";
import { ManualClock } from "../support/manual-clock.ts";

const INTERVAL = 1000;
// The interval while results differ from the state.
const EDGE = INTERVAL / 2;
const NONE: ReadonlySet<Endpoint> = new Set();

function setUp(hosts = ["a", "b"]) {
  const clock = new ManualClock();
  const pool = new Pool("round-robin");
  const specs = hosts.map((host) => parseStaticEndpoint(`${host}:1`));
  pool.reconcile(specs);
  const failing = new Set<string>();
  const silent = new Set<string>();
  const requests: string[] = [];
  const log: string[] = [];
  const limits = { intervalMs: INTERVAL, rise: 2, fall: 3 };
  let blocked: Promise<void> | undefined;
  const ask: CheckHealth = async ({ address: { host } }) => {
    requests.push(host);
    await blocked;
    if (silent.has(host)) return { state: "unresponsive", reason: "no answer" };
    return failing.has(host) ? { state: "unhealthy", reason: "HTTP 503" } : { state: "healthy" };
  };
  const checks = new ActiveHealth(pool, clock, ask, () => 0.5);
  const start = () =>
    checks.start(limits, {
      healthChanged: ({ label }, answer) => log.push(describeAnswer(label, answer)),
      stillFailing: () => {},
    });
  const tick = async (ms = INTERVAL) => {
    clock.advance(ms);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  const block = (promise: Promise<void> | undefined) => {
    blocked = promise;
  };
  const picks = () => [1, 2, 3, 4].map(() => pool.pick(NONE)!.address.host).join("");
  return {
    clock,
    pool,
    specs,
    failing,
    silent,
    requests,
    log,
    limits,
    checks,
    start,
    tick,
    block,
    picks,
  };
}

const describeAnswer = (label: string, answer: HealthResult) =>
  `${answer.state} ${label}${"reason" in answer ? `: ${answer.reason}` : ""}`;

describe("ActiveHealth", () => {
  test("marks an endpoint unhealthy after `fall` consecutive failures, and it gets no clients", async () => {
    const { start, tick, failing, log, picks } = setUp();
    failing.add("a");
    start();
    await tick(0);
    await tick();
    expect([log, picks()]).toEqual([[], "abab"]);
    await tick();
    expect([log, picks()]).toEqual([["unhealthy a:1: HTTP 503"], "bbbb"]);
  });

  test("restarts the count of failures when a check passes", async () => {
    const { start, tick, failing, log } = setUp();
    start();
    for (const isFailing of [true, true, false, true, true, false]) {
      if (isFailing) failing.add("a");
      else failing.delete("a");
      await tick();
    }
    expect(log).toEqual([]);
  });

  test("marks an endpoint healthy again after `rise` consecutive checks that pass", async () => {
    const { start, tick, failing, log, picks } = setUp();
    failing.add("a");
    start();
    for (let i = 0; i < 3; i++) await tick();
    failing.clear();
    await tick();
    expect(picks()).toBe("bbbb");
    await tick();
    expect(log).toEqual(["unhealthy a:1: HTTP 503", "healthy a:1"]);
    expect(picks()).toBe("abab");
  });

  test("leaves all unhealthy endpoints in use while none is healthy", async () => {
    const { start, pool, tick, failing, picks } = setUp();
    failing.add("a").add("b");
    start();
    for (let i = 0; i < 3; i++) await tick();
    expect([picks(), pool.hasHealthy]).toEqual(["abab", false]);
  });

  test("ranks unhealthy endpoints before unresponsive ones while none is healthy", async () => {
    const { start, pool, tick, failing, silent, log, picks } = setUp(["a", "b", "c"]);
    silent.add("a");
    failing.add("b").add("c");
    start();
    for (let i = 0; i < 3; i++) await tick();
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

  test("marks an unresponsive endpoint unhealthy after `rise` answers that are errors", async () => {
    const { start, tick, failing, silent, log } = setUp(["a"]);
    silent.add("a");
    start();
    for (let i = 0; i < 3; i++) await tick();
    silent.clear();
    failing.add("a");
    await tick();
    expect(log).toHaveLength(1);
    await tick();
    expect(log).toEqual(["unresponsive a:1: no answer", "unhealthy a:1: HTTP 503"]);
    silent.add("a");
    for (let i = 0; i < 3; i++) await tick();
    expect(log.at(-1)).toBe("unresponsive a:1: no answer");
  });

  test("changes no state while better and worse results alternate", async () => {
    const { start, tick, failing, silent, log } = setUp(["a"]);
    failing.add("a");
    start();
    for (let i = 0; i < 3; i++) await tick();
    for (let i = 0; i < 6; i++) {
      failing.clear();
      silent.clear();
      if (i % 2 === 0) silent.add("a");
      await tick();
    }
    expect(log).toEqual(["unhealthy a:1: HTTP 503"]);
  });

  test("sets pool.hasPassing while the latest check of a healthy endpoint passed", async () => {
    const { start, pool, tick, failing } = setUp(["a"]);
    start();
    expect(pool.hasPassing).toBe(false);
    await tick(0);
    expect(pool.hasPassing).toBe(true);
    failing.add("a");
    await tick();
    expect([pool.hasHealthy, pool.hasPassing]).toEqual([true, false]);
    failing.clear();
    await tick();
    expect(pool.hasPassing).toBe(true);
    pool.setUp(pool.endpoints[0]!, false, { at: 0 });
    await tick();
    pool.setUp(pool.endpoints[0]!, true, { at: 0 });
    expect(pool.hasPassing).toBe(false);
  });

  test("leaves unhealthy endpoints to clients that tried all healthy ones, unless one is being dialled", async () => {
    const { start, pool, tick, failing } = setUp();
    failing.add("a");
    start();
    for (let i = 0; i < 3; i++) await tick();
    const [a, b] = pool.endpoints as [Endpoint, Endpoint];
    expect(pool.pick(new Set([b]))).toBe(a);
    expect(pool.pick(new Set([b]), "healthy")).toBeUndefined();
  });

  test("never checks an endpoint twice at the same time", async () => {
    const { checks, start, tick, requests, block } = setUp(["a"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    block(promise);
    start();
    checks.sync();
    for (let i = 0; i < 5; i++) await tick();
    expect(requests).toEqual(["a"]);
    resolve();
    await tick(0);
    await tick();
    expect(requests).toEqual(["a", "a"]);
  });

  test("checks at each interval, and twice as often while results differ from the state", async () => {
    const { start, tick, failing, requests, log } = setUp(["a"]);
    start();
    await tick(0);
    await tick(INTERVAL - 1);
    expect(requests).toHaveLength(1);
    failing.add("a");
    await tick(1);
    expect(requests).toHaveLength(2);
    await tick(EDGE);
    await tick(EDGE);
    expect([requests.length, log]).toEqual([4, ["unhealthy a:1: HTTP 503"]]);
    await tick(EDGE);
    expect(requests).toHaveLength(4);
    failing.clear();
    await tick(EDGE);
    await tick(EDGE);
    expect(log.at(-1)).toBe("healthy a:1");
  });

  test("counts the duration of a check as part of the interval", async () => {
    const { start, clock, tick, requests, block } = setUp(["a"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    block(promise);
    start();
    clock.advance(INTERVAL * 0.75);
    resolve();
    await tick(0);
    await tick(INTERVAL * 0.25 - 1);
    expect(requests).toHaveLength(1);
    await tick(1);
    expect(requests).toHaveLength(2);
  });

  test("does not check an endpoint that is down", async () => {
    const { start, pool, tick, requests } = setUp();
    pool.setUp(pool.endpoints[0]!, false, { at: 0 });
    start();
    await tick(0);
    await tick();
    expect(requests).toEqual(["b", "b"]);
  });

  test("sync() starts checks of added endpoints, and stops those of removed ones", async () => {
    const { checks, start, pool, specs, tick, requests } = setUp();
    start();
    await tick(0);
    pool.reconcile([specs[1]!, parseStaticEndpoint("c:1")]);
    checks.sync();
    await tick(0);
    requests.length = 0;
    await tick();
    expect(requests.toSorted()).toEqual(["b", "c"]);
  });

  test("restart() with an interval of 0 makes all endpoints healthy and clears the timers", async () => {
    const { checks, start, clock, tick, failing, limits, picks } = setUp();
    failing.add("a");
    start();
    for (let i = 0; i < 3; i++) await tick();
    checks.restart({ ...limits, intervalMs: 0 });
    expect([picks(), clock.pending]).toEqual(["abab", 0]);
  });

  test("restart() checks at once, and forgets which checks have passed; not after close()", async () => {
    const { checks, start, clock, pool, requests, limits, tick } = setUp(["a"]);
    start();
    await tick(0);
    expect(pool.hasPassing).toBe(true);
    checks.restart(limits);
    expect([pool.hasPassing, requests]).toEqual([false, ["a", "a"]]);
    await tick(0);
    expect([pool.hasPassing, clock.pending]).toEqual([true, 1]);
    checks.close();
    checks.restart(limits);
    expect([clock.pending, requests.length]).toEqual([0, 2]);
  });

  test("close() stops all checks, also twice, and ignores a late result", async () => {
    const { checks, start, clock, tick, block, failing, log } = setUp(["a"]);
    const { promise, resolve } = Promise.withResolvers<void>();
    failing.add("a");
    block(promise);
    start();
    checks.close();
    checks.close();
    resolve();
    await tick();
    expect([clock.pending, log]).toEqual([0, []]);
  });
});

describe("parseHealthResponse()", () => {
  test.each([
    [200, '{"health":"true"}'],
    [200, '{"health":true}'],
    [200, '{"health":"true","reason":""}'],
    [200, "ok"],
    [200, ""],
  ])("returns healthy for %i %p", (status, body) => {
    expect(parseHealthResponse(status, body)).toEqual({ state: "healthy" });
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
  ])("returns unhealthy for %i %p", (status, body, reason) => {
    expect(parseHealthResponse(status, body)).toEqual({ state: "unhealthy", reason });
  });
});

describe("parseHealthUrl()", () => {
  test.each<[string, ReturnType<typeof parseHealthUrl>]>([
    ["http://{host}:2381/health", { scheme: "http", port: 2381, path: "/health" }],
    ["https://{host}:{port}/readyz", { scheme: "https", port: undefined, path: "/readyz" }],
    ["HTTPS://{host}", { scheme: "https", port: 443, path: "/" }],
    ["http://{host}/a?b=c", { scheme: "http", port: 80, path: "/a?b=c" }],
  ])("parses %p", (text, url) => {
    expect(parseHealthUrl(text)).toEqual(url);
  });

  test.each([
    ["{host}:2381", "not a URL"],
    ["ftp://{host}/", "not a URL"],
    ["http://10.0.0.1:2381/health", 'its host is "10.0.0.1", not {host}'],
    ["http://{host}:0/", 'port "0"'],
    ["http://{host}:70000/", 'port "70000"'],
    ["http://{host}:x/", "not a URL"],
  ])("rejects %p", (text, fact) => {
    expect(() => parseHealthUrl(text)).toThrow(fact);
  });
});
