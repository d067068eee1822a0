import { describe, expect, test } from "bun:test";
import { labelOf } from "../../src/core/endpoint-spec.ts";
import { serviceNames, type SrvRecord, SrvSource } from "../../src/resolver/srv.ts";

const SRV = { domain: "a.test", name: undefined, isInsecure: false };
const SECURE = "_etcd-client-ssl._tcp.a.test";
const PLAIN = "_etcd-client._tcp.a.test";

const record = (name: string, rest: Partial<SrvRecord> = {}): SrvRecord => ({
  name,
  port: 2379,
  priority: 10,
  weight: 5,
  ...rest,
});

/** A DNS server of which a test says what it answers: records, or the code of an error. */
class Dns {
  readonly answers: Record<string, readonly SrvRecord[] | string> = {};
  readonly source = new SrvSource((name) => {
    const answer = this.answers[name] ?? "ENOTFOUND";
    if (typeof answer !== "string") return Promise.resolve(answer);
    return Promise.reject(Object.assign(new Error(answer), { code: answer }));
  });

  async labels(): Promise<string[]> {
    return (await this.source.find(SRV)).map(labelOf);
  }
}

describe("serviceNames()", () => {
  test("returns etcd's names, with and without --discovery-srv-name", () => {
    expect(serviceNames(SRV)).toEqual({ https: SECURE, http: PLAIN });
    expect(serviceNames({ ...SRV, name: "b" })).toEqual({
      https: "_etcd-client-ssl-b._tcp.a.test",
      http: "_etcd-client-b._tcp.a.test",
    });
  });
});

describe("SrvSource.find()", () => {
  test("returns the union of both services, each with its scheme and rank", async () => {
    const dns = new Dns();
    dns.answers[SECURE] = [record("m1.a.test", { priority: 1, weight: 7 })];
    dns.answers[PLAIN] = [record("m2.a.test", { port: 2380 })];
    const specs = await dns.source.find(SRV);
    expect(specs).toMatchObject([
      { address: { host: "m1.a.test", port: 2379 }, scheme: "https", priority: 1, weight: 7 },
      { address: { host: "m2.a.test", port: 2380 }, scheme: "http", priority: 10, weight: 5 },
    ]);
    expect(specs.map(({ origin }) => origin)).toEqual(["SRV", "SRV"]);
  });

  test("returns one service's endpoints if the other has no name", async () => {
    const dns = new Dns();
    dns.answers[PLAIN] = [record("m1.a.test")];
    expect(await dns.labels()).toEqual(["m1.a.test:2379"]);
  });

  test.each<[target: string, label: string, names: string[]]>([
    ["m1.a.test.", "m1.a.test:2379", ["m1.a.test", "a.test"]],
    ["M1.A.Test", "m1.a.test:2379", ["m1.a.test", "a.test"]],
    ["a.test", "a.test:2379", ["a.test", "a.test"]],
    ["m1.b.test", "m1.b.test:2379", ["a.test"]],
    ["nota.test", "nota.test:2379", ["a.test"]],
  ])("takes target %p as %s, whose certificate must hold one of %j", async (name, label, names) => {
    const dns = new Dns();
    dns.answers[SECURE] = [record(name)];
    const [spec] = await dns.source.find(SRV);
    expect([labelOf(spec!), spec!.certificateNames]).toEqual([label, names]);
  });

  test.each<[what: string, record: SrvRecord]>([
    ["port 0", record("m2.a.test", { port: 0 })],
    ['the target "."', record(".")],
    ["the empty target", record("")],
    ["a target that is not a name", record("m 2.a.test")],
    ["a target of 254 characters", record(`${"a.".repeat(126)}ab`)],
  ])("leaves out %s", async (_, bad) => {
    const dns = new Dns();
    dns.answers[PLAIN] = [record("m1.a.test"), bad];
    expect(await dns.labels()).toEqual(["m1.a.test:2379"]);
  });

  test.each<[code: string | SrvRecord[], fact: string]>([
    ["ENOTFOUND", "no such name, or it has no SRV record"],
    ["ENODATA", "no such name, or it has no SRV record"],
    [[], "no such name, or it has no SRV record"],
    [[record(".")], 'its record says that there is no such service (target ".")'],
    [[record("m1.a.test", { port: 0 })], "no record has a usable target and port"],
    ["EREFUSED", "the DNS server refused to answer"],
    ["ESERVFAIL", "the DNS server failed (SERVFAIL)"],
    ["ETIMEOUT", "the DNS server did not answer in time"],
    ["ECANCELLED", "the lookup was cancelled"],
    ["ENEW", "ENEW"],
  ])("names both services and why, of %p", async (answer, fact) => {
    const dns = new Dns();
    dns.answers[SECURE] = answer;
    dns.answers[PLAIN] = answer;
    await expect(dns.source.find(SRV)).rejects.toThrow(
      `Cannot discover endpoints by --discovery-srv "a.test": "${SECURE}": ${fact}; "${PLAIN}": ${fact}`,
    );
  });

  test.each(["ESERVFAIL", "EREFUSED", "ETIMEOUT", "EBADRESP"])(
    "keeps what a service said last while only that one fails by %s",
    async (code) => {
      const dns = new Dns();
      dns.answers[SECURE] = [record("m1.a.test")];
      dns.answers[PLAIN] = [record("m2.a.test")];
      await dns.labels();
      dns.answers[SECURE] = code;
      expect(await dns.labels()).toEqual(["m1.a.test:2379", "m2.a.test:2379"]);
    },
  );

  test("drops a service's last answer when its name no longer exists", async () => {
    const dns = new Dns();
    dns.answers[SECURE] = [record("m1.a.test")];
    dns.answers[PLAIN] = [record("m2.a.test")];
    await dns.labels();
    dns.answers[SECURE] = "ENOTFOUND";
    expect(await dns.labels()).toEqual(["m2.a.test:2379"]);
  });

  test("after a failure, does not bring back endpoints that an earlier answer removed", async () => {
    const dns = new Dns();
    dns.answers[SECURE] = [record("m1.a.test")];
    dns.answers[PLAIN] = [record("m2.a.test")];
    await dns.labels();
    dns.answers[SECURE] = "ENOTFOUND";
    await dns.labels();
    dns.answers[SECURE] = "ESERVFAIL";
    expect(await dns.labels()).toEqual(["m2.a.test:2379"]);
  });

  test("rejects when both fail, even after an earlier answer", async () => {
    const dns = new Dns();
    dns.answers[PLAIN] = [record("m2.a.test")];
    await dns.labels();
    dns.answers[PLAIN] = "ESERVFAIL";
    await expect(dns.labels()).rejects.toThrow("SERVFAIL");
  });
});
