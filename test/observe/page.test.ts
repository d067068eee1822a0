// The page in a real browser, with a /status that says what a real gateway would
// take minutes to say. test/e2e/page.test.ts has it from the compiled gateway.
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"; // prettier-ignore
import { Closers } from "../support/gateway-command.ts";
import CHECKS from "../support/page-checks.js" with { type: "text" };
import { askNow, figure, MARKUP, PageScene, row } from "../support/page-scene.ts";
import { until } from "../support/peer.ts";
import { endpointStatus, fullStatus, gatewayStatus, processStatus, StatusStub, stubStatus } from "../support/status-stub.ts"; // prettier-ignore

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

describe("the page", () => {
  test("tells rates from two answers, and none across a restart", async () => {
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
    await askNow(page);
    await page.shows(figure("Accepted"), /^120\n5\/s; /);
    await page.shows(figure("To servers"), /^1.0 MiB\/s\n4.0 MiB in all$/);
    await page.shows(figure("To clients"), /^2.0 MiB\/s\n8.0 MiB in all$/);
    await page.shows(figure("CPU"), /^25.0 %\n/);
    expect(await page.text(row(0, "td:nth-child(6)"))).toBe("2.0 MiB/s");
    expect(await page.text(row(0, "td:nth-child(7)"))).toBe("20 ms\nof 10 in 10 min; 2 refused");
    stub.status = stubStatus({
      gateway: gatewayStatus({ uptimeMs: 106_000, accepted: 500 }),
      process: processStatus({ startTimeSeconds: 9 }),
    });
    await askNow(page);
    await page.shows(figure("Accepted"), /^500\n/);
    expect(await page.text(figure("Accepted"))).toStartWith("500\n–; ");
    await page.shows(figure("To servers"), /^–\n0 B in all$/);
  });

  const failures: [what: string, answer: StatusStub["answer"], why: string][] = [
    ["an error", () => new Response("", { status: 500 }), "it answered 500"],
    ["no answer", () => new Promise(() => {}), "no answer within 3 seconds"],
    ["no JSON", () => new Response("<html>"), "is not valid JSON"],
  ];
  test.each(failures)("says what is wrong when it gets %s", async (_, answer, why) => {
    const stub = stubOf();
    stub.answer = answer;
    const page = await scene.show(stub.url);
    await page.shows("#lost", why);
    await page.shows("#lost", /s ago: [^.]*\. This page goes on asking\.$/);
    stub.answer = () => Response.json(stub.status);
    await askNow(page);
    await page.shows("#state", /^serving$/);
  });

  test("counts the time without contact from the last answer", async () => {
    const stub = stubOf();
    const page = await scene.show(stub.url);
    await page.shows("#sub", "up for 1m 40s");
    // The page's clock, so many milliseconds ahead.
    await page.evaluate(`{
      const Real = Date;
      window.aheadMs = 3600_000;
      Date = class extends Real {
        constructor() { super(Date.now()); }
        static now() { return Real.now() + window.aheadMs; }
      };
    }`);
    stub.status = stubStatus({ gateway: gatewayStatus({ uptimeMs: 200_000 }) });
    await askNow(page);
    await page.shows("#sub", "up for 3m 20s");
    await page.evaluate(`window.aheadMs += 65_000`);
    stub.answer = () => new Response("", { status: 500 });
    await askNow(page);
    await page.shows("#lost", / UTC, 1m [5-9]s ago: it answered 500\./);
  });

  test("comes anew from a gateway of another version", async () => {
    const stub = stubOf();
    const page = await scene.show(stub.url);
    await page.shows("#sub", "version 1.2.3");
    stub.status = stubStatus({ process: processStatus({ version: "2.0.0" }) });
    await askNow(page);
    await page.shows("#sub", "version 2.0.0");
    expect(page.requests.filter((asked) => asked === `${stub.url}/`)).toHaveLength(2);
  });

  test("asks nothing while it is hidden, and at once when it is seen again", async () => {
    const stub = stubOf();
    const page = await scene.show(stub.url);
    await page.shows("#state", /^serving$/);
    await page.setVisible(false);
    const asked = page.requests.length;
    const other = await scene.show(stub.url);
    // The other page's third time comes when a round of the hidden one would long be over.
    await until(() => other.requests.length === 4, "the other page had asked three times");
    expect(page.requests).toHaveLength(asked);
    await page.setVisible(true);
    await until(() => page.requests.length > asked, "it asked at once", 1000);
  });

  test("draws ten minutes, and tells of the moment that is chosen with the arrow keys", async () => {
    const page = await scene.show(stubOf(fullStatus("")).url);
    await page.shows("#state", /^serving$/);
    const points = `[...document.querySelectorAll(".line")].map((line) => line.getAttribute("d").split("L").length)`;
    // A gauge has a point for each of 120 samples and for now, a rate one fewer.
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

  test("lets every part be reached with Tab, and shows where one is", async () => {
    const page = await scene.show(stubOf(fullStatus("")).url, { width: 1100, height: 900 });
    await page.shows("#state", /^serving$/);
    await page.evaluate(CHECKS);
    const wanted = await page.evaluate<string[]>("mustBeReached()");
    const reached: { name: string; isSeen: boolean; isForAll: boolean }[] = [];
    const isNew = (name: string) => reached.every((other) => other.name !== name);
    for (;;) {
      await page.press("Tab");
      const at = await page.evaluate<(typeof reached)[number] | undefined>("focused()");
      if (at === undefined || !isNew(at.name)) break;
      reached.push(at);
      if (at.name.startsWith("summary")) await page.press("Enter");
    }
    expect(wanted.filter(isNew)).toEqual([]);
    // Three plots, endpoints, events, the configuration, five links.
    expect(reached).toHaveLength(11);
    expect(reached.filter(({ isSeen, isForAll }) => !isSeen || !isForAll)).toEqual([]);
    expect(await page.text("#config")).toContain("--endpoints");
  });

  describe.each(["light", "dark"] as const)("in the %s", (scheme) => {
    test.each([320, 800, 1400])("fits into %d pixels, and can be read", async (width) => {
      const stub = stubOf(fullStatus(MARKUP));
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
      await askNow(page);
      await page.shows("#state", /^draining$/);
      await check();
      stub.answer = () => new Response("", { status: 500 });
      await askNow(page);
      await page.shows("#state", /^lost contact$/);
      await check();
    });
  });
});
