// The stub resolver's queries, their order and their timing, which match Go's. Servers,
// files and time are simulated; test/os/dns.test.ts and test/e2e/dns.test.ts use real ones.
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

/** Advances the clock in steps of one second until the lookup ends. Returns the result and the duration. */
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

describe("lookupHost() with two servers", () => {
  test.each(["servfail", "refused", "notimp", "formerr"] as const)(
    "queries the second server after %s from the first",
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

  test("queries the second server after 5 s without an answer from the first", async () => {
    const { clock, resolver } = scriptedResolver({ [A]: silent, [B]: fine }, TWO);
    expect(await timed(clock, resolver.lookupHost("h.test"))).toEqual([FOUND, 5]);
  });

  test("queries the second server after a socket error", async () => {
    const refused = () => ({ code: "ECONNREFUSED" });
    const { clock, resolver } = scriptedResolver({ [A]: refused, [B]: fine }, TWO);
    expect(await timed(clock, resolver.lookupHost("h.test"))).toEqual([FOUND, 0]);
  });

  test("queries the second server after a lame referral, but not after an empty answer", async () => {
    const lame = (asked: Asked) => answer(asked, [], { flags: 0 });
    const first = scriptedResolver({ [A]: lame, [B]: fine }, TWO);
    expect(await first.resolver.lookupHost("h.test")).toEqual(FOUND);
    const authoritative = (asked: Asked) => answer(asked, [], { flags: 0x0400 });
    const second = scriptedResolver({ [A]: authoritative, [B]: fine }, TWO);
    expect(await second.resolver.lookupHost("h.test")).toEqual({ code: "ENOTFOUND" });
    expect(second.dns.log).toHaveLength(2);
  });

  test("does not query the second server for a name that does not exist", async () => {
    const { dns, resolver } = scriptedResolver({ [A]: zone({}), [B]: fine }, TWO);
    expect(await resolver.lookupHost("h.test")).toEqual({ code: "ENOTFOUND" });
    expect(dns.log).toEqual(["10.0.0.1 A h.test.", "10.0.0.1 AAAA h.test."]);
  });

  test("fails after two attempts at each server, which take 20 s, if none answers", async () => {
    const { dns, clock, resolver } = scriptedResolver({}, TWO);
    const [result, seconds] = await timed(clock, resolver.lookupHost("h.test"));
    expect([result, seconds]).toEqual([{ code: "ETIMEOUT" }, 20]);
    expect(dns.log).toHaveLength(8);
    expect([dns.open, clock.pending]).toEqual([0, 0]);
  });

  test("uses the options timeout and attempts of resolv.conf", async () => {
    const files = { [RESOLV]: `${TWO[RESOLV]}options timeout:2 attempts:3` };
    const { dns, clock, resolver } = scriptedResolver({}, files);
    expect((await timed(clock, resolver.lookupHost("h.test")))[1]).toBe(12);
    expect(dns.log).toHaveLength(12);
  });

  test("starts each question with the next server with the option rotate", async () => {
    const files = { [RESOLV]: `${TWO[RESOLV]}options rotate single-request` };
    const { dns, resolver } = scriptedResolver({ [A]: fine, [B]: fine }, files);
    await resolver.lookupHost("h.test");
    await resolver.lookupHost("h.test");
    expect(dns.log).toEqual([
      ...["10.0.0.1 A h.test.", "10.0.0.2 AAAA h.test."],
      ...["10.0.0.1 A h.test.", "10.0.0.2 AAAA h.test."],
    ]);
  });

  test("returns the addresses of one family if the query for the other fails", async () => {
    const half = (asked: Asked) =>
      asked.question.startsWith("AAAA") ? fails("servfail")(asked) : fine(asked);
    const { resolver } = scriptedResolver({ [A]: half, [B]: half }, TWO);
    expect(await resolver.lookupHost("h.test")).toEqual({
      value: { addresses: ["192.0.2.1"], ttlSeconds: 60 },
    });
  });

  test("returns the failure of one family if the other has no records", async () => {
    const half = (asked: Asked) =>
      asked.question.startsWith("AAAA") ? answer(asked, []) : fails("servfail")(asked);
    const { resolver } = scriptedResolver({ [A]: half, [B]: half }, TWO);
    expect(await resolver.lookupHost("h.test")).toEqual({ code: "ESERVFAIL" });
  });

  test("queries A and AAAA concurrently, and one after the other with single-request", async () => {
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

  test("uses EDNS0 with 1232 bytes and requests recursion", async () => {
    const { query: sent } = await query("edns0");
    expect(sent.additionals).toMatchObject([{ type: "OPT", udpPayloadSize: 1232 }]);
    expect([sent.id, sent.flag_rd, sent.flag_ad]).toEqual([4711, true, false]);
  });

  test("has the AD bit with trust-ad, and is sent over TCP with use-vc", async () => {
    const sent = await query("trust-ad use-vc");
    expect([sent.query.flag_ad, sent.overTcp]).toEqual([true, true]);
  });

  test("is repeated over TCP after a truncated answer", async () => {
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

  test("has a separate timeout over TCP, after which the next server is queried", async () => {
    const truncates = (asked: Asked) =>
      asked.overTcp ? "silent" : answer(asked, [], { flags: 0x0380 });
    const { clock, resolver } = scriptedResolver({ [A]: truncates, [B]: fine }, TWO);
    expect(await timed(clock, resolver.lookupHost("h.test"))).toEqual([FOUND, 5]);
  });
});

describe("lookupHost() with an answer that does not match", () => {
  const forged: [what: string, forge: (asked: Asked, right: Buffer) => Buffer][] = [
    ["another id", (_, right) => Buffer.concat([Uint8Array.of(0, 1), right.subarray(2)])],
    ["a query instead of an answer", (_, right) => {
      right[2]! &= 0x7f;
      return right;
    }],
    ["another name", (asked) => {
      const questions = [{ ...asked.query.questions![0]!, name: "other.test" }];
      return answer({ ...asked, query: { ...asked.query, questions } }, ["192.0.2.66"]);
    }],
    ["an answer without a question", (_, right) => right.subarray(0, 12).fill(0, 4)],
    ["an empty datagram", () => Buffer.alloc(0)],
    ["half a header", (_, right) => right.subarray(0, 7)],
  ]; // prettier-ignore
  test.each(forged)("ignores %s and waits for the right answer", async (_, forge) => {
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

  test("accepts an answer whose name differs only in case", async () => {
    const upperCase = (asked: Asked) => {
      const questions = asked.query.questions!.map((each) => ({ ...each, name: "H.TEST" }));
      return answer({ ...asked, query: { ...asked.query, questions } }, ["192.0.2.1"]);
    };
    const { resolver } = scriptedResolver(
      { [A]: (asked) => (asked.question.startsWith("A ") ? upperCase(asked) : answer(asked, [])) },
      TWO,
    );
    expect(await resolver.lookupHost("h.test")).toMatchObject({
      value: { addresses: ["192.0.2.1"] },
    });
  });

  test("queries the second server after an answer with a truncated record", async () => {
    const truncated = (asked: Asked) => {
      const whole = fine(asked) as Buffer;
      return whole.subarray(0, whole.length - 2);
    };
    const { resolver } = scriptedResolver({ [A]: truncated, [B]: fine }, TWO);
    expect(await resolver.lookupHost("h.test")).toEqual(FOUND);
    const both = scriptedResolver({ [A]: truncated, [B]: truncated }, TWO);
    expect(await both.resolver.lookupHost("h.test")).toEqual({ code: "EBADRESP" });
  });
});

describe("the search list", () => {
  const files = { [RESOLV]: "nameserver 10.0.0.1\nsearch a.test b.test" };

  test("is applied to a short name, in order, before the name itself", async () => {
    const server = zone({ "A h.b.test.": ["192.0.2.2"] });
    const { dns, resolver } = scriptedResolver({ [A]: server }, files);
    expect(await resolver.lookupHost("h")).toMatchObject({ value: { addresses: ["192.0.2.2"] } });
    expect(dns.log.filter((line) => line.includes(" A "))).toEqual([
      "10.0.0.1 A h.a.test.",
      "10.0.0.1 A h.b.test.",
    ]);
  });

  test("is continued after a failure, which is returned if no name is found", async () => {
    const server = (asked: Asked) =>
      (asked.question.includes(".a.test.") ? fails("servfail") : zone({}))(asked);
    const { dns, resolver } = scriptedResolver({ [A]: server }, files);
    expect(await resolver.lookupHost("h")).toEqual({ code: "ESERVFAIL" });
    expect(dns.log.at(-1)).toContain("AAAA h.");
  });

  test("is applied to SRV names, after the name itself", async () => {
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

describe("lookupHost() with given servers", () => {
  test("queries them in order for the absolute name, and reads no file", async () => {
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
  ])("%p lead to the address %p with %d queries", async (sources, first, questions) => {
    expect(await lookup(sources)).toEqual([first, questions]);
  });

  test("are used in order until one has an address", async () => {
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

  test("are left to the C library for hosts, but not for SRV records, if resolv.conf has an unknown option", async () => {
    const text = "nameserver 10.0.0.1\noptions inet6";
    const { resolver } = scriptedResolver(
      { [A]: zone({ "SRV s.test.": ["0 0 1 m.test"] }) },
      { [RESOLV]: text },
    );
    expect(await resolver.lookupHost("h.test")).toEqual({ code: "ESYSTEM" });
    expect(await resolver.lookupSrv("s.test")).toMatchObject({ value: { ttlSeconds: 60 } });
  });
});

describe("the system files", () => {
  test("are checked every 5 s, and read after a change", async () => {
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

  test("are not read again if resolv.conf has the option no-reload", async () => {
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

  test("delay one lookup by a second each if they hang, and keep their last contents", async () => {
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
    // The three files are checked one after the other, for one second each.
    expect(await timed(clock, resolver.lookupHost("h"))).toEqual([known, 3]);
    expect(await timed(clock, resolver.lookupHost("h"))).toEqual([known, 0]);
  });
});

test("lookupHost() keeps the last contents of a file that temporarily cannot be read", async () => {
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

describe("the signal of a lookup", () => {
  test("ends the lookup at once, and leaves no exchange or timer open", async () => {
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

test(`lookupHost() runs at most ${MAX_EXCHANGES} exchanges at once, and ends for every name`, async () => {
  const { dns, clock, resolver } = scriptedResolver({ [A]: silent, [B]: fine }, TWO);
  const lookups = Promise.all(Array.from({ length: 40 }, () => resolver.lookupHost("h.test")));
  const [results] = await timed(clock, lookups);
  expect(results).toEqual(Array.from({ length: 40 }, () => FOUND));
  expect([dns.most, dns.open]).toEqual([MAX_EXCHANGES, 0]);
});
