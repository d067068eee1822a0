// Whatever DNS and etcd answer: endpoints that can be dialled, or an error that
// a user can read.
import { describe, expect, test } from "bun:test";
import { isDnsName, parseEndpoint } from "../../src/core/address.ts";
import { type EndpointSpec, labelOf } from "../../src/core/endpoint-spec.ts";
import { parseHealthResponse } from "../../src/resolver/active-health.ts";
import { parseMemberList } from "../../src/resolver/member-specs.ts";
import { SrvError, SrvSource } from "../../src/resolver/srv.ts";
import { oneOf, type Random, randomFrom, randomText, seed } from "../support/random-input.ts";

const COUNT = 10_000;
const SRV = { domain: "a.test", name: undefined, isInsecure: false };

const targets = {
  valid: ["m1.a.test", "M2.a.test.", ".", "", "10.0.0.1", "_x.a.test", "xn--bcher-kva.a.test"],
  tokens: [..."abz019-_.:/\\[]% \0\r\n", "a".repeat(64), "..", "::1", "\\000", "ü"],
};

const answers = {
  valid: [
    '{"members":[{"ID":"1","clientURLs":["http://10.0.0.1:2379","https://m.test:1"]}]}',
    '{"header":{},"members":[{"isLearner":true,"clientURLs":["http://a:1"]},{"clientURLs":[]}]}',
    '{"members":[{"clientURLs":["unix:///x","http://[::1]:2379",7,null]}]}',
    '{"health":"true"}',
  ],
  tokens: [
    ...'{}[]":,/.%@ \0',
    ...["null", "true", "1e999", "members", "clientURLs", "http://", "://", "__proto__", "health"],
  ],
};

function expectDialable(specs: readonly EndpointSpec[]): void {
  expect(specs.length).toBeGreaterThan(0);
  for (const spec of specs) {
    expect(parseEndpoint(labelOf(spec))).toEqual(spec.address);
    expect(spec.certificateNames.length).toBeGreaterThan(0);
  }
}

const anyPort = (random: Random) => oneOf(random, [0, 1, 80, 2379, 65_535]);

describe(`${COUNT} random answers (FUZZ_SEED=${seed})`, () => {
  test("SrvSource.find() gives endpoints that can be dialled, or an SrvError", async () => {
    let accepted = 0;
    for (let i = 0; i < COUNT; i++) {
      const random = randomFrom(seed + i);
      const source = new SrvSource(() =>
        Promise.resolve(
          Array.from({ length: random(4) }, () => ({
            name: randomText(random, targets),
            port: anyPort(random),
            priority: random(3),
            weight: random(3),
          })),
        ),
      );
      try {
        const specs = await source.find(SRV);
        expectDialable(specs);
        for (const { address } of specs) expect(isDnsName(address.host)).toBe(true);
        accepted++;
      } catch (error) {
        if (error instanceof SrvError && error.message.includes('"a.test"')) continue;
        throw new Error(`input ${i} of FUZZ_SEED=${seed}`, { cause: error });
      }
    }
    expect(accepted).toBeGreaterThan(COUNT / 20);
  });

  test("parseMemberList() and parseHealthResponse() give what can be used, or a plain Error", () => {
    let accepted = 0;
    for (let i = 0; i < COUNT; i++) {
      const random = randomFrom(seed + i);
      const text = randomText(random, answers);
      let value: unknown;
      try {
        parseHealthResponse(oneOf(random, [200, 503, 0]), text);
      } catch (error) {
        expect((error as Error).message.length).toBeLessThan(300);
      }
      try {
        value = JSON.parse(text);
      } catch {
        continue;
      }
      if (typeof value !== "object" || value === null) continue;
      try {
        expectDialable(parseMemberList(value, oneOf(random, ["127.0.0.1", "10.0.0.9"])));
        accepted++;
      } catch (error) {
        if ((error as Error).constructor === Error) continue;
        throw new Error(`input ${i} of FUZZ_SEED=${seed}: ${text}`, { cause: error });
      }
    }
    expect(accepted).toBeGreaterThan(COUNT / 100);
  });
});
