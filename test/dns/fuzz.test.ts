// Random answers of DNS servers and random files: each lookup and each parser returns a
// result. None throws, and none loops endlessly.
import { describe, expect, test } from "bun:test";
import * as packet from "dns-packet";
import { findHost, parseHosts } from "../../src/dns/hosts-file.ts";
import { readAddress, readAnswer, readSrv } from "../../src/dns/message.ts";
import { parseNsswitch } from "../../src/dns/nsswitch.ts";
import { parseResolvConf } from "../../src/dns/resolv-conf.ts";
import { fuzz, type Random, randomFrom, seed } from "../support/random-input.ts";
import { scriptedResolver, settle, zone } from "../support/scripted-dns.ts";

const COUNT = 10_000;
const ID = 4711;
const RESOLV = { "/etc/resolv.conf": "nameserver 10.0.0.1\nsearch a.test\noptions attempts:1" };
const SERVER = "10.0.0.1:53";

const record = (type: string, data: unknown) =>
  ({ type, name: "h.test", ttl: 60, data }) as packet.Answer;

/** Creates a valid answer with random records. */
function validAnswer(random: Random, type: "A" | "AAAA" | "SRV"): Buffer {
  const target = { priority: 1, weight: 2, port: 2379, target: "m1.h.test" };
  const own = {
    A: record("A", "192.0.2.1"),
    AAAA: record("AAAA", "2001:db8::1"),
    SRV: record("SRV", target),
  };
  const others = [record("CNAME", "other.test"), record("TXT", "text"), record("NS", "ns.test")];
  return packet.encode({
    type: "response",
    id: ID,
    flags: packet.RECURSION_AVAILABLE,
    questions: [{ type, name: "h.test" }],
    answers: Array.from({ length: 1 + random(4) }, () =>
      random(3) === 0 ? others[random(3)]! : own[type],
    ),
    authorities: random(2) === 0 ? [others[2]!] : [],
    additionals: [{ type: "OPT", name: ".", udpPayloadSize: 1232 } as unknown as packet.Answer],
  });
}

/** Damages a message: changes, removes or repeats bytes, or replaces them by random pointers. */
function damaged(message: Buffer, random: Random): Buffer {
  let bytes = Buffer.from(message);
  for (let changes = random(6); changes > 0; changes--) {
    const at = random(bytes.length || 1);
    const kind = random(6);
    if (kind === 0) bytes = bytes.subarray(0, at);
    else if (kind === 1)
      bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(at + 1))]);
    else if (kind === 2 && at + 1 < bytes.length)
      bytes.writeUInt16BE(0xc000 | random(bytes.length), at);
    else if (kind === 3 && at + 1 < bytes.length)
      bytes.writeUInt16BE([0, 0xff, 0xffff, 12][random(4)]!, at);
    else if (at < bytes.length) bytes[at] = random(256);
  }
  return bytes;
}

function noise(random: Random): Buffer {
  return Buffer.from(Array.from({ length: random(600) }, () => random(256)));
}

describe(`${COUNT} random answers (FUZZ_SEED=${seed})`, () => {
  test("readAnswer(), readAddress() and readSrv() never throw or read past the end", () => {
    const counts = { ignored: 0, malformed: 0, records: 0 };
    for (let i = 0; i < COUNT; i++) {
      const random = randomFrom(seed + i);
      const type = (["A", "AAAA", "SRV"] as const)[random(3)]!;
      const bytes = random(10) === 0 ? noise(random) : damaged(validAnswer(random, type), random);
      try {
        const message = readAnswer(bytes, ID, { name: "h.test.", type });
        if (message === undefined) counts.ignored++;
        else if (message.isMalformed) counts.malformed++;
        for (const each of message?.answers ?? []) {
          expect(each.at + each.length).toBeLessThanOrEqual(bytes.length);
          readAddress(bytes, each);
          if (readSrv(bytes, each) !== undefined) counts.records++;
        }
      } catch (error) {
        throw new Error(`input ${i} of FUZZ_SEED=${seed}: ${bytes.toString("hex")}`, {
          cause: error,
        });
      }
    }
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(COUNT / 50);
  });

  test("lookupHost() and lookupSrv() end with a result, whatever arrives over UDP and TCP", async () => {
    for (let i = 0; i < COUNT / 10; i++) {
      const random = randomFrom(seed + i);
      const { clock, resolver, dns } = scriptedResolver(
        {
          [SERVER]: ({ query, overTcp }) => {
            const { type } = query.questions![0]! as { type: "A" | "AAAA" | "SRV" };
            const answer = () => damaged(validAnswer(random, type), random);
            if (overTcp) return random(2) === 0 ? noise(random) : answer();
            return Array.from({ length: 1 + random(3) }, answer);
          },
        },
        RESOLV,
      );
      const lookups = Promise.all([resolver.lookupHost("h.test"), resolver.lookupSrv("h.test")]);
      let results: readonly object[] | undefined;
      void lookups.then((found) => {
        results = found;
      });
      for (let waits = 0; results === undefined && waits < 20; waits++) {
        await settle();
        clock.advance(5000);
      }
      if (results === undefined) throw new Error(`input ${i} of FUZZ_SEED=${seed} did not end`);
      for (const result of results) expect("value" in result || "code" in result).toBe(true);
      expect([dns.open, clock.pending]).toEqual([0, 0]);
    }
  });
});

describe("a message with a long chain of pointers", () => {
  /** Creates the longest chain of pointers that fits, and records whose names all lead through it. */
  function pointerChain(): Buffer {
    const bytes = Buffer.alloc(65_535);
    const question = packet.encode({
      type: "response",
      id: ID,
      flags: packet.RECURSION_AVAILABLE,
      questions: [{ type: "SRV", name: "h.test" }],
    });
    question.copy(bytes);
    bytes.writeUInt16BE(2000, 6);
    let at = question.length;
    // A TXT record, whose data is the chain.
    at = bytes.writeUInt16BE(0xc00c, at);
    bytes.writeUInt16BE(16, at);
    const links = 7000;
    bytes.writeUInt16BE(links * 2, at + 8);
    at += 10;
    for (let i = 0; i < links; i++) at = bytes.writeUInt16BE(0xc000 | (i === 0 ? 12 : at - 2), at);
    const last = at - 2;
    while (at + 20 < bytes.length) {
      at = bytes.writeUInt16BE(0xc000 | last, at);
      bytes.writeUInt16BE(33, at);
      bytes.writeUInt16BE(8, at + 8);
      at = bytes.writeUInt16BE(0xc000 | last, at + 16);
    }
    return bytes;
  }

  test("readSrv() rejects each name without following the chain to its end", () => {
    const bytes = pointerChain();
    const message = readAnswer(bytes, ID, { name: "h.test.", type: "SRV" })!;
    expect(message.answers.length).toBeGreaterThan(1000);
    const start = performance.now();
    // A name with more than ten pointers is malformed, as in Go.
    expect(message.answers.map((each) => readSrv(bytes, each)).filter(Boolean)).toEqual([]);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe(`${COUNT} random files (FUZZ_SEED=${seed})`, () => {
  const tokens = [..." \t\r\n#;:.[]!=%\0", "nameserver ", "options ", "ndots:", "999999999", "::1"];

  test("parseResolvConf() always returns valid servers, times and names", () => {
    const valid = [
      "nameserver 10.0.0.1\nsearch a.test b.test\noptions ndots:2 timeout:3 attempts:4 rotate\n",
      "domain a.test\nnameserver fe80::1%lo\n; comment\noptions use-vc inet6",
    ];
    fuzz(COUNT, { valid, tokens }, (text) => {
      const { servers, timeoutMs, attempts, ndots, search } = parseResolvConf(text, "h.test");
      expect(servers.length >= 1 && servers.length <= 3).toBe(true);
      expect(timeoutMs >= 1000 && timeoutMs < 2 ** 31 && attempts >= 1).toBe(true);
      expect(ndots >= 0 && ndots <= 15 && search.every((each) => each.endsWith("."))).toBe(true);
    });
  });

  test("parseNsswitch() and parseHosts() never throw", () => {
    const valid = [
      "hosts: files mdns4_minimal [NOTFOUND=return] dns [!UNAVAIL=return] myhostname\n",
      "127.0.0.1 localhost h.test # comment\n::1\tlocalhost\n",
    ];
    fuzz(COUNT, { valid, tokens }, (text) => {
      for (const { name } of parseNsswitch(text) ?? []) expect(name).not.toContain(" ");
      for (const name of ["localhost", "h.test"])
        for (const address of findHost(parseHosts(text), name) ?? []) expect(address).not.toBe("");
    });
  });
});

test("lookupSrv() accepts the answers of a scripted zone()", async () => {
  const server = zone({ "SRV s.test.": ["1 2 3 m.test"] });
  const { resolver } = scriptedResolver({ [SERVER]: server }, RESOLV);
  expect(await resolver.lookupSrv("s.test")).toMatchObject({ value: { ttlSeconds: 60 } });
});
