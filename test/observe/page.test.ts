// The page in a real browser, with a /status that a real gateway would need minutes
// to reach. test/e2e/page.test.ts tests the page of the compiled gateway.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"; // prettier-ignore
import { Closers } from "../support/gateway-command.ts";
import CHECKS from "../support/page-checks.js" with { type: "text" };
import { GRPC_CODE_NAMES } from "../../src/grpc-proxy/grpc-status.ts";
import { callFigure, pollNow, figure, MARKUP, PageScene, row } from "../support/page-scene.ts";
import { until } from "../support/peer.ts";
import { endpointStatus, fullGrpcProxyStatus, fullStatus, gatewayStatus, grpcProxyStatus, methodOf, processStatus, type Status, StatusStub, stubStatus } from "../support/status-stub.ts"; // prettier-ignore

setDefaultTimeout(30_000);

const closers = new Closers();
const scene = new PageScene();
beforeAll(() => scene.open());
afterAll(() => scene.close());
afterEach(async () => {
  await closers.close();
  await scene.check();
});

const stubOf = (status = stubStatus()) => closers.add(new StatusStub(status));

const SHOWN_SECTIONS = `Object.fromEntries(
  ["calls", "relays"].map((id) => [id, document.getElementById(id).checkVisibility()]),
)`;

describe("the status page", () => {
  test("computes rates from two responses, and none across a restart", async () => {
    const dials = { connected: 20, refused: 2, overtaken: 1, abandoned: 1 };
    const dialTimes = { boundsSeconds: [], counts: [], sumSeconds: 0.5 };
    const before = { active: 0, accepted: 90, bytesToServers: 0, bytesToClients: 0 };
    const address = "10.0.0.11:2379";
    const endpoints = [{ address, connections: 7, bytes: 0, dials: 10, dialSeconds: 0.3 }];

    const statusAt = (seconds: number) => {
      const mib = seconds * 1024 * 1024;
      return stubStatus({
        gateway: gatewayStatus({
          uptimeMs: 100_000 + seconds * 1000,
          accepted: 100 + 5 * seconds,
          bytesToServers: mib,
          bytesToClients: 2 * mib,
          endpoints: [
            endpointStatus({ bytesToServer: mib, bytesToClients: mib, dials, dialTimes }),
          ],
        }),
        process: processStatus({ cpuSeconds: seconds / 4 }),
        moments: [{ ageMs: (seconds + 2) * 1000, ...before, endpoints }],
      });
    };

    const stub = stubOf(statusAt(0));
    const page = await scene.show(stub.url);
    await page.shows(figure("Accepted"), /^100\n5\/s; /);
    await page.shows(figure("CPU"), /^–\n/);

    stub.status = statusAt(4);
    await pollNow(page);
    await page.shows(figure("Accepted"), /^120\n5\/s; /);
    await page.shows(figure("To servers"), /^1.0 MiB\/s\n4.0 MiB total$/);
    await page.shows(figure("To clients"), /^2.0 MiB\/s\n8.0 MiB total$/);
    await page.shows(figure("CPU"), /^25.0 %\n/);
    expect(await page.text(row(0, "td:nth-child(6)"))).toBe("2.0 MiB/s");
    expect(await page.text(row(0, "td:nth-child(7)"))).toBe("20 ms\nof 10 in 10 min; 2 refused");

    stub.status = stubStatus({
      gateway: gatewayStatus({ uptimeMs: 106_000, accepted: 500 }),
      process: processStatus({ startTimeSeconds: 9 }),
    });
    await pollNow(page);
    await page.shows(figure("Accepted"), /^500\n/);
    expect(await page.text(figure("Accepted"))).toStartWith("500\n–; ");
    await page.shows(figure("To servers"), /^–\n0 B total$/);
  });

  const failures: [what: string, respond: StatusStub["respond"], reason: string][] = [
    ["an error", () => new Response("", { status: 500 }), "the gateway returned HTTP 500"],
    ["no response", () => new Promise(() => {}), "no response within 3 seconds"],
    ["invalid JSON", () => new Response("<html>"), "is not valid JSON"],
  ];
  test.each(failures)("shows the reason for %s, and recovers", async (_, respond, reason) => {
    const stub = stubOf();
    stub.respond = respond;
    const page = await scene.show(stub.url);
    await page.shows("#lost", reason);
    await page.shows("#lost", /s ago: [^.]*\. Still retrying\.$/);

    stub.respond = () => Response.json(stub.status);
    await pollNow(page);
    await page.shows("#state", /^serving$/);
  });

  test("shows the calls of the gRPC proxy, and no relays", async () => {
    const statusAt = (seconds: number) =>
      stubStatus({
        gateway: grpcProxyStatus({
          uptimeMs: 100_000 + seconds * 1000,
          accepted: 7,
          ...{ calls: 4, waitingCalls: 1, sessions: 3 },
          methods: [
            methodOf("/etcdserverpb.Watch/Watch", 4, []),
            methodOf("/etcdserverpb.KV/Range", 1000 + 50 * seconds, [997 + 50 * seconds, 0, 2, 1]),
          ],
        }),
      });

    const stub = stubOf(statusAt(0));
    const page = await scene.show(stub.url);
    await page.shows(callFigure("New calls"), /^–\n1,004 total$/);
    expect(await page.text(figure("Accepted"))).toBe("7\n–");
    expect(await page.text(callFigure("Calls"))).toBe("4\nin progress");
    expect(await page.text(callFigure("Waiting calls"))).toStartWith("1\n");
    expect(await page.text(callFigure("Sessions"))).toStartWith("3\n");
    expect(await page.evaluate(SHOWN_SECTIONS)).toEqual({ calls: true, relays: false });

    stub.status = statusAt(4);
    await pollNow(page);
    await page.shows(callFigure("New calls"), /^50\/s\n1,204 total$/);
    expect(await page.text("#methods tbody")).toBe(
      [
        "etcdserverpb.KV/Range\t1,197 OK, 2 Unknown, 1 InvalidArgument",
        "etcdserverpb.Watch/Watch\t4 in progress",
      ].join("\n"),
    );
  });

  test("names every code of gRPC, and says that there was no call", async () => {
    const stub = stubOf(stubStatus({ gateway: grpcProxyStatus() }));
    const page = await scene.show(stub.url);
    await page.shows("#methods tbody", /^none yet/);

    const handled = GRPC_CODE_NAMES.map(() => 1);
    const methods = [methodOf("/a.B/C", handled.length, handled)];
    stub.status = stubStatus({ gateway: grpcProxyStatus({ methods }) });
    await pollNow(page);
    const counts = GRPC_CODE_NAMES.map((name) => `1 ${name}`);
    await page.shows("#methods tbody", `a.B/C\t${counts.join(", ")}`);
  });

  test("shows the relays of the gateway, and no calls", async () => {
    const page = await scene.show(stubOf().url);
    await page.shows("#state", /^serving$/);
    expect(await page.evaluate(SHOWN_SECTIONS)).toEqual({ calls: false, relays: true });
  });

  test("shows the time since the last response", async () => {
    const stub = stubOf();
    const page = await scene.show(stub.url);
    await page.shows("#sub", "up for 1m 40s");

    // Sets the page's clock `aheadMs` ahead.
    await page.evaluate(`{
      const Real = Date;
      window.aheadMs = 3600_000;
      Date = class extends Real {
        constructor() { super(Date.now()); }
        static now() { return Real.now() + window.aheadMs; }
      };
    }`);

    stub.status = stubStatus({ gateway: gatewayStatus({ uptimeMs: 200_000 }) });
    await pollNow(page);
    await page.shows("#sub", "up for 3m 20s");

    await page.evaluate(`window.aheadMs += 65_000`);
    stub.respond = () => new Response("", { status: 500 });
    await pollNow(page);
    await page.shows("#lost", / UTC, 1m [5-9]s ago: the gateway returned HTTP 500\./);
  });

  test("reloads when the gateway's version changes", async () => {
    const stub = stubOf();
    const page = await scene.show(stub.url);
    await page.shows("#sub", "version 1.2.3");
    stub.status = stubStatus({ process: processStatus({ version: "2.0.0" }) });
    await pollNow(page);
    await page.shows("#sub", "version 2.0.0");
    expect(page.requests.filter((request) => request === `${stub.url}/`)).toHaveLength(2);
  });

  test("does not poll while hidden, and polls at once when visible again", async () => {
    const stub = stubOf();
    const page = await scene.show(stub.url);
    await page.shows("#state", /^serving$/);

    await page.setVisible(false);
    const requests = page.requests.length;
    const other = await scene.show(stub.url);
    // By the other page's third poll, the hidden page would have polled again.
    await until(() => other.requests.length === 4, "the other page had polled three times");
    expect(page.requests).toHaveLength(requests);

    await page.setVisible(true);
    await until(() => page.requests.length > requests, "the page polled at once", 1000);
  });

  test("plots ten minutes, and shows the values at the time selected with the arrow keys", async () => {
    const page = await scene.show(stubOf(fullStatus("")).url);
    await page.shows("#state", /^serving$/);
    const points = `[...document.querySelectorAll(".line")].map((line) => line.getAttribute("d").split("L").length)`;
    // A gauge has 121 points: 120 samples and the current value. A rate has one fewer.
    const perEndpoint = [121, 120];
    const all = [121, 120, 120, 120, ...[1, 2, 3, 4].flatMap(() => perEndpoint)];
    expect(await page.evaluate<number[]>(points)).toEqual(all);

    expect(await page.text(row(2, ".state"))).toBe("unhealthy\nfor 1m 30s: HTTP 503");
    expect(await page.text(row(3, ".state"))).toBe("unresponsive\nfor 1m 30s: no answer in time");

    await page.shows("#plots figcaption", /990$/);
    await page.evaluate(`document.querySelector("#plots svg").focus()`);
    await page.press("ArrowLeft");
    await page.shows("#plots .axis", /5s ago$/);
    await page.shows("#plots figcaption", /5$/);
    await page.press("Tab");
    await page.shows("#plots .axis", /now$/);
  });

  test("makes every interactive part reachable with Tab, with a visible focus", async () => {
    const page = await scene.show(stubOf(fullStatus("")).url, { width: 1100, height: 900 });
    await page.shows("#state", /^serving$/);
    await page.evaluate(CHECKS);
    const expected = await page.evaluate<string[]>("tabStops()");

    const reached: { name: string; isVisible: boolean; isPortable: boolean }[] = [];
    const isNew = (name: string) => reached.every((other) => other.name !== name);
    for (;;) {
      await page.press("Tab");
      const focused = await page.evaluate<(typeof reached)[number] | undefined>("focused()");
      if (focused === undefined || !isNew(focused.name)) break;
      reached.push(focused);
      if (focused.name.startsWith("summary")) await page.press("Enter");
    }

    expect(expected.filter(isNew)).toEqual([]);
    // Three plots, endpoints, events, the configuration, five links.
    expect(reached).toHaveLength(11);
    expect(reached.filter(({ isVisible, isPortable }) => !isVisible || !isPortable)).toEqual([]);
    expect(await page.text("#config")).toContain("--endpoints");
  });

  describe.each(["light", "dark"] as const)("in %s mode", (scheme) => {
    const proxies: [name: string, width: number, status: Status][] = [320, 800, 1400].flatMap(
      (width) => [
        ["the gateway", width, fullStatus(MARKUP)],
        ["the gRPC proxy", width, fullGrpcProxyStatus(MARKUP)],
      ],
    );
    test.each(proxies)(
      "fits that of %s into %d pixels, with readable text",
      async (_, width, status) => {
        const stub = stubOf(status);
        const page = await scene.show(stub.url, { width, height: 800 });
        await page.prefer(scheme);
        await page.evaluate(`document.querySelector("details").open = true`);
        await page.shows("#state", /^serving$/);
        await page.evaluate(CHECKS);

        const check = async () => {
          type Contrast = { faint: string[]; measured: number };
          const { faint, measured } = await page.evaluate<Contrast>("measureContrast()");
          expect(faint).toEqual([]);
          expect(measured).toBeGreaterThan(200);
          expect(await page.evaluate<string[]>("overflowing()")).toEqual([]);
          expect(await page.evaluate<string[]>("brokenWords()")).toEqual([]);
        };

        await check();
        expect(await page.evaluate("window.hasRun")).toBeUndefined();

        const { gateway } = stub.status;
        stub.status = { ...stub.status, gateway: { ...gateway, draining: true } };
        await pollNow(page);
        await page.shows("#state", /^draining$/);
        await check();

        stub.respond = () => new Response("", { status: 500 });
        await pollNow(page);
        await page.shows("#state", /^disconnected$/);
        await check();
      },
    );
  });
});
