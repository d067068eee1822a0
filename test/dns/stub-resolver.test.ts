// Which server is asked what, and when, as Go does it. Servers, files and time
// are the test's; real ones are in test/os/dns.test.ts and test/e2e/dns.test.ts.
import { describe, expect, test } from "bun:test";
import { MAX_EXCHANGES } from "../../src/dns/stub-resolver.ts";
import {
  answer,
  type Asked,
  fails,
  scriptedResolver,
  settle,
  silent,
  zone,
} from "../support/scripted-dns.ts";

const RESOLV = "/etc/resolv.conf";
const NSSWITCH = "/etc/nsswitch.conf";
const HOSTS = "/etc/hosts";

const A = "10.0.0.1:53";
const B = "10.0.0.2:53";
const TWO = { [RESOLV]: "nameserver 10.0.0.1\nnameserver 10.0.0.2\n" };
const fine = zone({ "A h.test.": ["192.0.2.1"], "AAAA h.test.": ["2001:db8::1"] });
const FOUND = { value: { addresses: ["192.0.2.1", "2001:db8::1"], ttlSeconds: 60 } };

/** Runs a lookup to its end, a second at a time; returns its result and how long it took. */
async function timed<T>(
  clock: { now(): number; advance(ms: number): void },
  lookup: Promise<T>,
): Promise<[result: T, seconds: number]> {
  let result: T | undefined;
  const start = clock.now();
  void lookup.then((value) => {
    result = value;
  });
  for (let i = 0; i < 1000; i++) {
    await settle();
    if (result !== undefined) return [result, (clock.now() - start) / 1000];
    clock.advance(1000);
  }
  throw new Error("the lookup did not end");
}

describe("the servers", () => {
  test.each(["servfail", "refused", "notimp", "formerr"] as const)(
    "%s of the first leads to the second",
    async (rcode) => {
      const { dns, clock, resolver } = scriptedResolver({ [A]: fails(rcode), [B]: fine }, TWO);
      const [result, seconds] = await timed(clock, resolver.lookupHost("h.test"));
      expect([result, seconds]).toEqual([FOUND, 0]);
      expect(dns.log.toSorted()).toEqual([
        ...["10.0.0.1 A h.test.", "10.0.0.1 AAAA h.test."],
        ...["10.0.0.2 A h.test.", "10.0.0.2 AAAA h.test."],
      ]);
    },
  );

  test("silence of the first leads to the second after 5 s", async () => {
    const { clock, resolver } = scriptedResolver({ [A]: silent, [B]: fine }, TWO);
    expect(await timed(clock, resolver.lookupHost("h.test"))).toEqual([FOUND, 5]);
  });

  test("an error of the socket leads to the second", async () => {
    const refused = () => ({ code: "ECONNREFUSED" });
    const { clock, resolver } = scriptedResolver({ [A]: refused, [B]: fine }, TWO);
    expect(await timed(clock, resolver.lookupHost("h.test"))).toEqual([FOUND, 0]);
  });

  test("a lame referral leads to the second, an empty answer does not", async () => {
    const lame = (asked: Asked) => answer(asked, [], { flags: 0 });
    const first = scriptedResolver({ [A]: lame, [B]: fine }, TWO);
    expect(await first.resolver.lookupHost("h.test")).toEqual(FOUND);
    const authoritative = (asked: Asked) => answer(asked, [], { flags: 0x0400 });
    const second = scriptedResolver({ [A]: authoritative, [B]: fine }, TWO);
    expect(await second.resolver.lookupHost("h.test")).toEqual({ code: "ENOTFOUND" });
    expect(second.dns.log).toHaveLength(2);
  });

  test("a name that does not exist is not asked of the second", async () => {
    const { dns, resolver } = scriptedResolver({ [A]: zone({}), [B]: fine }, TWO);
    expect(await resolver.lookupHost("h.test")).toEqual({ code: "ENOTFOUND" });
    expect(dns.log).toEqual(["10.0.0.1 A h.test.", "10.0.0.1 AAAA h.test."]);
  });

  test("are tried twice each when all are silent, for 20 s in all", async () => {
    const { dns, clock, resolver } = scriptedResolver({}, TWO);
    const [result, seconds] = await timed(clock, resolver.lookupHost("h.test"));
    expect([result, seconds]).toEqual([{ code: "ETIMEOUT" }, 20]);
    expect(dns.log).toHaveLength(8);
    expect([dns.open, clock.pending]).toEqual([0, 0]);
  });

  test("timeout and attempts are resolv.conf's", async () => {
    const files = { [RESOLV]: `${TWO[RESOLV]}options timeout:2 attempts:3` };
    const { dns, clock, resolver } = scriptedResolver({}, files);
    expect((await timed(clock, resolver.lookupHost("h.test")))[1]).toBe(12);
    expect(dns.log).toHaveLength(12);
  });

  test("rotate begins each question with the next server", async () => {
    const files = { [RESOLV]: `${TWO[RESOLV]}options rotate single-request` };
    const { dns, resolver } = scriptedResolver({ [A]: fine, [B]: fine }, files);
    await resolver.lookupHost("h.test");
    await resolver.lookupHost("h.test");
    expect(dns.log).toEqual([
      ...["10.0.0.1 A h.test.", "10.0.0.2 AAAA h.test."],
      ...["10.0.0.1 A h.test.", "10.0.0.2 AAAA h.test."],
    ]);
  });

  test("one family that fails does not hide the other, which is a result at once with both", async () => {
    const half = (asked: Asked) =>
      asked.question.startsWith("AAAA") ? fails("servfail")(asked) : fine(asked);
    const { resolver } = scriptedResolver({ [A]: half, [B]: half }, TWO);
    expect(await resolver.lookupHost("h.test")).toEqual({
      value: { addresses: ["192.0.2.1"], ttlSeconds: 60 },
    });
  });

  test("a failure says more than that the other family has no record", async () => {
    const half = (asked: Asked) =>
      asked.question.startsWith("AAAA") ? answer(asked, []) : fails("servfail")(asked);
    const { resolver } = scriptedResolver({ [A]: half, [B]: half }, TWO);
    expect(await resolver.lookupHost("h.test")).toEqual({ code: "ESERVFAIL" });
  });

  test("A and AAAA are asked for together, with single-request one after the other", async () => {
    const parallel = scriptedResolver({ [A]: silent }, { [RESOLV]: "nameserver 10.0.0.1" });
    void parallel.resolver.lookupHost("h.test");
    await settle();
    expect(parallel.dns.log).toEqual(["10.0.0.1 A h.test.", "10.0.0.1 AAAA h.test."]);
    const files = { [RESOLV]: "nameserver 10.0.0.1\noptions single-request-reopen" };
    const single = scriptedResolver({ [A]: silent }, files);
    void single.resolver.lookupHost("h.test");
    await settle();
    expect(single.dns.log).toEqual(["10.0.0.1 A h.test."]);
  });
});

describe("the query", () => {
  const query = async (options: string) => {
    const files = { [RESOLV]: `nameserver 10.0.0.1\noptions ${options}` };
    const { dns, resolver } = scriptedResolver({ [A]: fine }, files);
    await resolver.lookupHost("h.test");
    return dns.asked[0]!;
  };

  test("has EDNS0 with 1232 bytes and asks for recursion", async () => {
    const { query: sent } = await query("edns0");
    expect(sent.additionals).toMatchObject([{ type: "OPT", udpPayloadSize: 1232 }]);
    expect([sent.id, sent.flag_rd, sent.flag_ad]).toEqual([4711, true, false]);
  });

  test("has the AD bit with trust-ad, and goes over TCP with use-vc", async () => {
    const sent = await query("trust-ad use-vc");
    expect([sent.query.flag_ad, sent.overTcp]).toEqual([true, true]);
  });

  test("is repeated over TCP when the answer was truncated", async () => {
    const truncates = (asked: Asked) =>
      asked.overTcp ? fine(asked) : answer(asked, ["192.0.2.9"], { flags: 0x0380 });
    const truncatesSome = (asked: Asked) =>
      asked.question.startsWith("A ") ? truncates(asked) : answer(asked, []);
    const { dns, resolver } = scriptedResolver({ [A]: truncatesSome, [B]: silent }, TWO);
    expect(await resolver.lookupHost("h.test")).toEqual({
      value: { addresses: ["192.0.2.1"], ttlSeconds: 60 },
    });
    expect(dns.log).toContain("10.0.0.1 tcp A h.test.");
  });

  test("has a time of its own for TCP, after which the next server is asked", async () => {
    const truncates = (asked: Asked) =>
      asked.overTcp ? "silent" : answer(asked, [], { flags: 0x0380 });
    const { clock, resolver } = scriptedResolver({ [A]: truncates, [B]: fine }, TWO);
    expect(await timed(clock, resolver.lookupHost("h.test"))).toEqual([FOUND, 5]);
  });
});

describe("answers that do not match", () => {
  const forged: [what: string, forge: (asked: Asked, right: Buffer) => Buffer][] = [
    ["another id", (_, right) => Buffer.concat([Uint8Array.of(0, 1), right.subarray(2)])],
    ["a question, no answer", (_, right) => {
      right[2]! &= 0x7f;
      return right;
    }],
    ["another name", (asked) => {
      const questions = [{ ...asked.query.questions![0]!, name: "other.test" }];
      return answer({ ...asked, query: { ...asked.query, questions } }, ["192.0.2.66"]);
    }],
    ["no question", (_, right) => right.subarray(0, 12).fill(0, 4)],
    ["nothing", () => Buffer.alloc(0)],
    ["half a header", (_, right) => right.subarray(0, 7)],
  ]; // prettier-ignore
  test.each(forged)("%s is not listened to while the right one may come", async (_, forge) => {
    const only = zone({ "A h.test.": ["192.0.2.1"] });
    const server = (asked: Asked) => [
      forge(asked, answer(asked, ["192.0.2.66"])),
      only(asked) as Buffer,
    ];
    const { dns, clock, resolver } = scriptedResolver(
      { [A]: server },
      { [RESOLV]: "nameserver 10.0.0.1" },
    );
    const [result, seconds] = await timed(clock, resolver.lookupHost("h.test"));
    expect([result, seconds]).toEqual([{ value: { addresses: ["192.0.2.1"], ttlSeconds: 60 } }, 0]);
    expect(dns.log).toHaveLength(2);
  });

  test("the case of the name in the answer does not matter", async () => {
    const loud = (asked: Asked) => {
      const questions = asked.query.questions!.map((each) => ({ ...each, name: "H.TEST" }));
      return answer({ ...asked, query: { ...asked.query, questions } }, ["192.0.2.1"]);
    };
    const { resolver } = scriptedResolver(
      { [A]: (asked) => (asked.question.startsWith("A ") ? loud(asked) : answer(asked, [])) },
      TWO,
    );
    expect(await resolver.lookupHost("h.test")).toMatchObject({
      value: { addresses: ["192.0.2.1"] },
    });
  });

  test("records that end before they say lead to the second server", async () => {
    const cut = (asked: Asked) => {
      const whole = fine(asked) as Buffer;
      return whole.subarray(0, whole.length - 2);
    };
    const { resolver } = scriptedResolver({ [A]: cut, [B]: fine }, TWO);
    expect(await resolver.lookupHost("h.test")).toEqual(FOUND);
    const both = scriptedResolver({ [A]: cut, [B]: cut }, TWO);
    expect(await both.resolver.lookupHost("h.test")).toEqual({ code: "EBADRESP" });
  });
});

describe("the search list", () => {
  const files = { [RESOLV]: "nameserver 10.0.0.1\nsearch a.test b.test" };

  test("is gone through for a short name, the name itself last", async () => {
    const server = zone({ "A h.b.test.": ["192.0.2.2"] });
    const { dns, resolver } = scriptedResolver({ [A]: server }, files);
    expect(await resolver.lookupHost("h")).toMatchObject({ value: { addresses: ["192.0.2.2"] } });
    expect(dns.log.filter((line) => line.includes(" A "))).toEqual([
      "10.0.0.1 A h.a.test.",
      "10.0.0.1 A h.b.test.",
    ]);
  });

  test("goes on after a failure, which is reported if no name is found", async () => {
    const server = (asked: Asked) =>
      (asked.question.includes(".a.test.") ? fails("servfail") : zone({}))(asked);
    const { dns, resolver } = scriptedResolver({ [A]: server }, files);
    expect(await resolver.lookupHost("h")).toEqual({ code: "ESERVFAIL" });
    expect(dns.log.at(-1)).toContain("AAAA h.");
  });

  test("applies to SRV names, after the name itself", async () => {
    const server = zone({ "SRV _etcd-client._tcp.etcd.b.test.": ["1 2 2379 m1.b.test"] }, 17);
    const { dns, resolver } = scriptedResolver({ [A]: server }, files);
    expect(await resolver.lookupSrv("_etcd-client._tcp.etcd")).toEqual({
      value: {
        records: [{ priority: 1, weight: 2, port: 2379, name: "m1.b.test." }],
        ttlSeconds: 17,
      },
    });
    expect(dns.log).toEqual([
      "10.0.0.1 SRV _etcd-client._tcp.etcd.",
      "10.0.0.1 SRV _etcd-client._tcp.etcd.a.test.",
      "10.0.0.1 SRV _etcd-client._tcp.etcd.b.test.",
    ]);
  });
});

describe("given servers", () => {
  test("are asked in order for the absolute name, and no file is read", async () => {
    const files = { ...TWO, [HOSTS]: "192.0.2.9 h", [RESOLV]: "search a.test\noptions timeout:1" };
    const servers = [
      { host: "10.0.0.8", port: 5353 },
      { host: "10.0.0.9", port: 53 },
    ];
    const own = zone({ "A h.": ["192.0.2.1"] });
    const { dns, clock, resolver, reads } = scriptedResolver({ "10.0.0.9:53": own }, files);
    const [result, seconds] = await timed(clock, resolver.lookupHost("h", servers));
    expect([result, seconds]).toEqual([{ value: { addresses: ["192.0.2.1"], ttlSeconds: 60 } }, 5]);
    expect([dns.log[0], reads]).toEqual(["10.0.0.8:5353 A h.", []]);
  });
});

describe("the sources of nsswitch.conf", () => {
  const files = { ...TWO, [HOSTS]: "192.0.2.9 h.test\n" };
  const lookup = async (sources: string, host = "h.test") => {
    const more = { [NSSWITCH]: `hosts: ${sources}` };
    const scene = scriptedResolver(
      { [A]: host === "h.test" ? fine : zone({}) },
      { ...files, ...more },
      { systemLookup: async (name) => ({ value: [`system of ${name}`] }) },
    );
    const result = await scene.resolver.lookupHost(host);
    return ["value" in result ? result.value.addresses[0] : result.code, scene.dns.log.length];
  };

  test.each<[sources: string, first: string, questions: number]>([
    ["files dns", "192.0.2.9", 0],
    ["dns files", "192.0.2.1", 2],
    ["dns", "192.0.2.1", 2],
    ["files", "192.0.2.9", 0],
    ["resolve [!UNAVAIL=return] dns", "system of h.test", 0],
  ])("%p: %p, %d questions to DNS", async (sources, first, questions) => {
    expect(await lookup(sources)).toEqual([first, questions]);
  });

  test("without an address in one of them the next is asked", async () => {
    expect(await lookup("files", "other.test")).toEqual(["ENOTFOUND", 0]);
    expect(await lookup("files dns", "other.test")).toEqual(["ENOTFOUND", 2]);
    const failing = scriptedResolver(
      { [A]: fails("refused"), [B]: fails("refused") },
      { ...files, [NSSWITCH]: "hosts: dns files" },
    );
    expect(await failing.resolver.lookupHost("h.test")).toMatchObject({
      value: { addresses: ["192.0.2.9"] },
    });
    expect(await failing.resolver.lookupHost("other.test")).toEqual({ code: "EREFUSED" });
  });

  test("options that only the C library knows leave host names to it, and SRV names here", async () => {
    const text = "nameserver 10.0.0.1\noptions inet6";
    const { resolver } = scriptedResolver(
      { [A]: zone({ "SRV s.test.": ["0 0 1 m.test"] }) },
      { [RESOLV]: text },
    );
    expect(await resolver.lookupHost("h.test")).toEqual({ code: "ESYSTEM" });
    expect(await resolver.lookupSrv("s.test")).toMatchObject({ value: { ttlSeconds: 60 } });
  });
});

describe("the files", () => {
  test("are looked at every 5 s, and read when they have changed", async () => {
    const { dns, clock, resolver, files, reads } = scriptedResolver(
      { [A]: fine, [B]: fine },
      { ...TWO },
    );
    await resolver.lookupHost("h.test");
    files[HOSTS] = "192.0.2.77 h.test";
    files[RESOLV] = "nameserver 10.0.0.2";
    clock.advance(4999);
    await resolver.lookupHost("h.test");
    expect(new Set(dns.log)).toEqual(new Set(["10.0.0.1 A h.test.", "10.0.0.1 AAAA h.test."]));
    clock.advance(1);
    expect(await resolver.lookupHost("h.test")).toMatchObject({
      value: { addresses: ["192.0.2.77"] },
    });
    delete files[HOSTS];
    clock.advance(5000);
    await resolver.lookupHost("h.test");
    expect(dns.log.at(-1)).toBe("10.0.0.2 AAAA h.test.");
    expect(reads).toEqual([RESOLV, RESOLV, HOSTS]);
  });

  test("no-reload keeps the first resolv.conf", async () => {
    const { dns, clock, resolver, files } = scriptedResolver(
      { [A]: fine },
      { [RESOLV]: "nameserver 10.0.0.1\noptions no-reload" },
    );
    await resolver.lookupHost("h.test");
    files[RESOLV] = "nameserver 10.0.0.2";
    clock.advance(60_000);
    await resolver.lookupHost("h.test");
    expect(dns.log.every((line) => line.startsWith("10.0.0.1 "))).toBe(true);
  });

  test("that hang delay one lookup by a second, and keep what was known", async () => {
    let isHanging = false;
    const text = { [RESOLV]: "nameserver 10.0.0.1", [HOSTS]: "192.0.2.9 h" } as Record<
      string,
      string
    >;
    const read = (path: string): Promise<string> => {
      if (isHanging) return new Promise(() => {});
      const found = text[path];
      return found === undefined
        ? Promise.reject(Object.assign(new Error(), { code: "ENOENT" }))
        : Promise.resolve(found);
    };
    const { clock, resolver } = scriptedResolver({}, {}, { files: { version: read, read } });
    await resolver.lookupHost("h");
    isHanging = true;
    clock.advance(5000);
    const known = { value: { addresses: ["192.0.2.9"], ttlSeconds: undefined } };
    // One second for each of the three files, one after the other.
    expect(await timed(clock, resolver.lookupHost("h"))).toEqual([known, 3]);
    expect(await timed(clock, resolver.lookupHost("h"))).toEqual([known, 0]);
  });
});

test("a file that cannot be read for a moment keeps what it said", async () => {
  let code: string | undefined;
  const read = async (path: string) => {
    if (code !== undefined) throw Object.assign(new Error(path), { code });
    if (path !== HOSTS) throw Object.assign(new Error(path), { code: "ENOENT" });
    return "192.0.2.9 h";
  };
  const { clock, resolver } = scriptedResolver({}, {}, { files: { version: read, read } });
  const addressOf = async () => {
    clock.advance(5000);
    const found = await resolver.lookupHost("h", [], AbortSignal.timeout(10_000));
    return "value" in found ? found.value.addresses[0] : found.code;
  };
  expect(await addressOf()).toBe("192.0.2.9");
  code = "EMFILE";
  expect(await addressOf()).toBe("192.0.2.9");
});

describe("a signal", () => {
  test("ends a lookup at once, wherever it is, and leaves nothing behind", async () => {
    const { dns, clock, resolver } = scriptedResolver({}, TWO);
    const controller = new AbortController();
    const lookups = [
      resolver.lookupHost("h.test", [], controller.signal),
      resolver.lookupSrv("s.test", [], controller.signal),
    ];
    await settle();
    clock.advance(5000);
    await settle();
    expect(dns.open).toBe(3);
    controller.abort();
    expect(await Promise.all(lookups)).toEqual([{ code: "ECANCELLED" }, { code: "ECANCELLED" }]);
    expect([dns.open, clock.pending, dns.log.length]).toEqual([0, 0, 6]);
  });
});

test(`at most ${MAX_EXCHANGES} exchanges are under way, and all names get their turn`, async () => {
  const { dns, clock, resolver } = scriptedResolver({ [A]: silent, [B]: fine }, TWO);
  const lookups = Promise.all(Array.from({ length: 40 }, () => resolver.lookupHost("h.test")));
  const [results] = await timed(clock, lookups);
  expect(results).toEqual(Array.from({ length: 40 }, () => FOUND));
  expect([dns.most, dns.open]).toEqual([MAX_EXCHANGES, 0]);
});
