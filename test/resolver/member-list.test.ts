// Responses that a real etcd does not give on demand. The others are tested in test/e2e.
import { describe, expect, test } from "bun:test";
import { labelOf, parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import { parseMemberList } from "../../src/resolver/member-specs.ts";
import { MemberList, type MemberRequest } from "../../src/resolver/member-list.ts";
import { type Lookup, DnsCache } from "../../src/resolver/dns-cache.ts";
import type { Clock } from "../../src/core/clock.ts";
import { ManualClock } from "../support/manual-clock.ts";

const member = (...clientURLs: unknown[]) => ({ ID: "1", name: "m", clientURLs });
const list = (...members: unknown[]) => ({ header: {}, members });
const ONE = list(member("http://10.0.0.1:2379"));

interface SentRequest extends MemberRequest {
  /** `address:port` that the request was sent to. */
  readonly at: string;
}

type ScriptedAnswer = { status?: number; body: unknown } | Error;

/** A member list whose requests are answered by `answer`. */
function cluster(
  answer: (request: SentRequest) => ScriptedAnswer | Promise<ScriptedAnswer>,
  clock: Clock = new ManualClock(),
  lookup: Lookup = () => Promise.reject(new Error("no names here")),
) {
  const requests: SentRequest[] = [];
  const names = new DnsCache(lookup, new ManualClock());
  const isSelf = (address: string) => address === "127.0.0.99";
  const members = new MemberList(names, isSelf, clock, async (spec, address, memberRequest) => {
    const request = { ...memberRequest, at: `${address}:${spec.address.port}` };
    requests.push(request);
    const response = await answer(request);
    if (response instanceof Error) throw response;
    const { status = 200, body } = response;
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return { status, body: text };
  });
  const ask = async (endpoints: string[], credentials?: { user: string; password: string }) => {
    const config = { credentials, dialTimeoutMs: 1000 };
    const answer = await members.ask(endpoints.map(parseStaticEndpoint), config);
    return answer.members.map(labelOf);
  };
  return { ask, requests, members };
}

describe("parseMemberList()", () => {
  const rows: [what: string, answer: unknown, labels: string[]][] = [
    ["every client URL", list(member("http://a:1", "https://b:2"), member("http://c:3")), ["a:1", "b:2", "c:3"]],
    ["no learners", list({ ...member("http://a:1"), isLearner: true }, member("http://b:2")), ["b:2"]],
    ["no members that have not started", list({ ID: "1", peerURLs: ["http://x:1"] }, member("http://b:2")), ["b:2"]],
    ["no Unix sockets", list(member("unix:///run/etcd.sock", "http://b:2")), ["b:2"]],
    ["only values that are URLs", list(member(7, null, "", "b", "http://b:2")), ["b:2"]],
    ["only values that are members", list(null, 7, "x", [], member("http://b:2")), ["b:2"]],
    ["no loopback addresses of another machine", list(member("http://localhost:2379", "http://127.0.0.1:2379", "http://[::1]:1", "http://0.0.0.0:1", "http://b:2")), ["b:2"]],
  ]; // prettier-ignore
  test.each(rows)("returns %s", (_, answer, labels) => {
    expect(parseMemberList(answer, "10.0.0.9").map(labelOf)).toEqual(labels);
  });

  test("returns loopback addresses if the queried address is loopback", () => {
    expect(parseMemberList(list(member("http://localhost:1")), "127.0.0.1").map(labelOf)).toEqual([
      "localhost:1",
    ]);
  });

  test("keeps the scheme, and sets the host as certificate name", () => {
    expect(parseMemberList(list(member("https://b.test:2")), "10.0.0.9")).toMatchObject([
      { scheme: "https", certificateNames: ["b.test"], origin: "member list" },
    ]);
  });

  test.each([[{}], [{ members: {} }], [{ members: "x" }], [[]]])("rejects %j", (answer) => {
    expect(() => parseMemberList(answer, "10.0.0.9")).toThrow("the answer is not a member list");
  });

  test.each([list(), list(member()), list(member("unix:///x"))])("rejects %j", (answer) => {
    expect(() => parseMemberList(answer, "10.0.0.9")).toThrow(
      "no member advertises an address that can be dialled",
    );
  });
});

describe("MemberList.ask()", () => {
  test("queries the next endpoint as well when one is silent, and each endpoint once", async () => {
    const clock = new ManualClock();
    const { ask, requests } = cluster(
      ({ at }) => (at.endsWith(":2") ? { body: ONE } : new Promise(() => {})),
      clock,
    );
    const answer = ask(["10.0.0.1:1", "10.0.0.1:1", "10.0.0.2:2"]);
    for (let i = 0; i < 10; i++) await Promise.resolve();
    expect(requests.map(({ at }) => at)).toEqual(["10.0.0.1:1"]);
    clock.advance(1000);
    expect(await answer).toEqual(["10.0.0.1:2379"]);
    expect(clock.pending).toBe(0);
  });

  test("requests a linearizable list, and returns the first answer", async () => {
    const { ask, requests } = cluster(() => ({ body: ONE }));
    expect(await ask(["10.0.0.1:1", "10.0.0.2:2"])).toEqual(["10.0.0.1:2379"]);
    expect(requests).toEqual([
      { at: "10.0.0.1:1", path: "/v3/cluster/member/list", body: { linearizable: true } },
    ]);
  });

  test("queries the addresses of a name in turn, with the delay of a dial", async () => {
    const clock = new ManualClock();
    const lookup = () => Promise.resolve(["::1", "10.0.0.1", "10.0.0.2"]);
    const { ask, requests } = cluster(
      ({ at }) => {
        if (at === "::1:1") return Object.assign(new Error("x"), { code: "ECONNREFUSED" });
        return at === "10.0.0.1:1" ? new Promise(() => {}) : { body: ONE };
      },
      clock,
      lookup,
    );
    const answer = ask(["etcd.test:1"]);
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(requests.map(({ at }) => at)).toEqual(["::1:1", "10.0.0.1:1"]);
    clock.advance(250);
    expect(await answer).toEqual(["10.0.0.1:2379"]);
    expect(clock.pending).toBe(0);
  });

  test("rejects with the answer of each address of a name", async () => {
    const refused = Object.assign(new Error("x"), { code: "ECONNREFUSED" });
    const lookup = () => Promise.resolve(["::1", "10.0.0.1"]);
    const { ask } = cluster(
      ({ at }) => (at === "::1:1" ? refused : { status: 404, body: "" }),
      new ManualClock(),
      lookup,
    );
    await expect(ask(["etcd.test:1"])).rejects.toThrow(
      "etcd.test:1: ::1: connection refused, 10.0.0.1: HTTP 404",
    );
  });

  const unusable: [what: string, answer: { status?: number; body: unknown } | Error, why: string][] = [
    ["an error page", { status: 404, body: "404 page not found\n" }, "HTTP 404: 404 page not found"],
    ["etcd's refusal", { status: 403, body: { message: "etcdserver: permission denied", code: 7 } }, "HTTP 403: etcdserver: permission denied"],
    ["something other than JSON", { body: "<html>" }, "HTTP 200: <html>"],
    ["an empty list", { body: list() }, "no member advertises an address that can be dialled"],
    ["an empty body", { body: "" }, "HTTP 200"],
    ["a refused connection", Object.assign(new Error("x"), { code: "ECONNREFUSED" }), "connection refused"],
    ["a certificate of an unknown authority", Object.assign(new Error("x"), { code: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" }), "its certificate is signed by an unknown authority"],
  ]; // prettier-ignore
  test.each(unusable)("skips an endpoint that returns %s", async (_, answer) => {
    const { ask } = cluster(({ at }) => (at === "10.0.0.1:1" ? answer : { body: ONE }));
    expect(await ask(["10.0.0.1:1", "10.0.0.2:2"])).toEqual(["10.0.0.1:2379"]);
  });

  test.each(unusable)(
    "rejects with the reasons of all endpoints after %s",
    async (_, answer, why) => {
      const { ask } = cluster(() => answer);
      await expect(ask(["10.0.0.1:1", "10.0.0.2:2"])).rejects.toThrow(
        `10.0.0.1:1: ${why}; 10.0.0.2:2: ${why}`,
      );
    },
  );

  test("never queries the gateway itself, nor a name without an address", async () => {
    const { ask, requests } = cluster(() => ({ body: ONE }));
    await expect(ask(["127.0.0.99:1", "unknown.test:1"])).rejects.toThrow(
      "127.0.0.99:1: none of its addresses may be dialled; unknown.test:1: does not resolve",
    );
    expect(requests).toEqual([]);
  });
});

describe("MemberList.ask() with credentials", () => {
  const credentials = { user: "root", password: "secret" };
  const login = "/v3/auth/authenticate";

  test("gets a token once and reuses it", async () => {
    const { ask, requests } = cluster(({ path }) =>
      path === login ? { body: { token: "t1" } } : { body: ONE },
    );
    await ask(["10.0.0.1:1"], credentials);
    await ask(["10.0.0.1:1"], credentials);
    expect(requests.map(({ path, token }) => [path, token])).toEqual([
      [login, undefined],
      ["/v3/cluster/member/list", "t1"],
      ["/v3/cluster/member/list", "t1"],
    ]);
    expect(requests[0]!.body).toEqual({ name: "root", password: "secret" });
  });

  test("gets a new token, once, when etcd rejects the old one as invalid", async () => {
    let valid = "t1";
    const { ask, requests } = cluster(({ path, token }) => {
      if (path === login) return { body: { token: valid } };
      if (token === valid) return { body: ONE };
      return { status: 401, body: { message: "etcdserver: invalid auth token", code: 16 } };
    });
    await ask(["10.0.0.1:1"], credentials);
    valid = "t2";
    expect(await ask(["10.0.0.1:1"], credentials)).toEqual(["10.0.0.1:2379"]);
    expect(requests.filter(({ path }) => path === login)).toHaveLength(2);
  });

  test("does not retry forever when every token is rejected", async () => {
    const { ask, requests } = cluster(({ path }) =>
      path === login
        ? { body: { token: "t-1234" } }
        : { status: 401, body: { message: "etcdserver: invalid auth token", code: 16 } },
    );
    await expect(ask(["10.0.0.1:1"], credentials)).rejects.toThrow("invalid auth token");
    await expect(ask(["10.0.0.1:1"], credentials)).rejects.toThrow("invalid auth token");
    expect(requests.length).toBeLessThanOrEqual(6);
  });

  test("sends no token if the cluster has no authentication", async () => {
    const { ask, requests } = cluster(({ path }) =>
      path === login
        ? { status: 400, body: { message: "etcdserver: authentication is not enabled", code: 9 } }
        : { body: ONE },
    );
    expect(await ask(["10.0.0.1:1"], credentials)).toEqual(["10.0.0.1:2379"]);
    expect(requests.at(-1)!.token).toBe("");
  });

  test("gets a token when authentication is enabled later", async () => {
    let isEnabled = false;
    const { ask, requests } = cluster(({ path, token }) => {
      if (path !== login && (!isEnabled || token === "t1")) return { body: ONE };
      if (path === login && isEnabled) return { body: { token: "t1" } };
      return path === login
        ? { status: 412, body: { message: "etcdserver: authentication is not enabled", code: 9 } }
        : { status: 400, body: { message: "etcdserver: user name is empty", code: 3 } };
    });
    await ask(["10.0.0.1:1"], credentials);
    isEnabled = true;
    expect(await ask(["10.0.0.1:1"], credentials)).toEqual(["10.0.0.1:2379"]);
    expect(requests.at(-1)!.token).toBe("t1");
  });

  test("gets a new token after any error of etcd with the old one", async () => {
    let valid = "t-0001";
    const { ask } = cluster(({ path, token }) => {
      if (path === login) return { body: { token: valid } };
      if (token === valid) return { body: ONE };
      return {
        status: 400,
        body: { message: "etcdserver: revision of auth store is old", code: 3 },
      };
    });
    await ask(["10.0.0.1:1"], credentials);
    valid = "t-0002";
    expect(await ask(["10.0.0.1:1"], credentials)).toEqual(["10.0.0.1:2379"]);
  });

  test.each(["a\r\nb", "", " ", "\u0000", "ü"])("rejects the token %j", async (token) => {
    const { ask, requests } = cluster(({ path }) => ({ body: path === login ? { token } : ONE }));
    await expect(ask(["10.0.0.1:1"], credentials)).rejects.toThrow("it returned no usable token");
    expect(requests).toHaveLength(1);
  });

  test("does not quote an answer that contains the password", async () => {
    const { ask } = cluster(({ body }) => ({ status: 404, body: JSON.stringify(body) }));
    await expect(ask(["10.0.0.1:1"], credentials)).rejects.toThrow(/^10.0.0.1:1: HTTP 404$/);
  });

  test("limits the quoted length of an answer", async () => {
    const { ask } = cluster(() => ({ status: 500, body: { message: "x".repeat(1 << 20) } }));
    const error = await ask(["10.0.0.1:1"]).catch((failure: Error) => failure);
    expect((error as Error).message.length).toBeLessThan(300);
  });

  test("quotes why the password was rejected, without the password", async () => {
    const { ask } = cluster(() => ({
      status: 400,
      body: { message: "etcdserver: authentication failed, invalid user ID or password", code: 3 },
    }));
    const error: Error = await ask(["10.0.0.1:1"], credentials).then(
      () => new Error("no failure"),
      (failure) => failure,
    );
    expect(error.message).toContain("invalid user ID or password");
    expect(error.message).not.toContain("secret");
  });
});
