import { describe, expect, test } from "bun:test";
import type { HostPort } from "../../src/core/address.ts";
import { type EndpointSpec, labelOf, parseStaticEndpoint } from "../../src/core/endpoint-spec.ts";
import {
  EndpointVerifier,
  type VerifierEvents,
  type Verify,
} from "../../src/resolver/endpoint-verifier.ts";
import { DnsCache } from "../../src/resolver/dns-cache.ts";
import { ManualClock } from "../support/manual-clock.ts";

const OWN = "127.0.0.99";

const eventsInto = (log: string[]): VerifierEvents => ({
  rejected: (spec, why) => log.push(`rejected ${labelOf(spec)}: ${why}`),
  unresolved: (spec, why) => log.push(`unresolved ${labelOf(spec)}: ${why}`),
});

function setUp() {
  const addresses: Record<string, string[]> = {};
  const certificates: Record<string, string> = {}; // by address: the code of what is wrong
  const verified: [address: HostPort, names: readonly string[]][] = [];
  const log: string[] = [];
  let most = 0;
  let running = 0;
  let gate: Promise<void> | undefined;
  const names = new DnsCache((host) => {
    const found = addresses[host];
    if (found !== undefined) return Promise.resolve(found);
    return Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }));
  }, new ManualClock());
  const isSelf = (address: string) => address === OWN;
  const verify: Verify = async (address, certificateNames) => {
    most = Math.max(most, ++running);
    const code = certificates[address.host];
    await (gate ?? Bun.sleep(0));
    running--;
    verified.push([address, certificateNames]);
    if (code !== undefined) throw Object.assign(new Error(code), { code });
  };
  const verifier = new EndpointVerifier(names, isSelf, verify, new ManualClock());
  verifier.start(eventsInto(log), () => {});
  const verifyAll = async (endpoints: string[], mustVerify = false) => {
    const specs = endpoints.map((text): EndpointSpec => {
      const spec = parseStaticEndpoint(text);
      return { ...spec, certificateNames: [spec.address.host, "a.test"] };
    });
    return verifier.verifyAll(specs, mustVerify);
  };
  /** `until`: what the handshakes that begin now wait for. */
  const labels = async (endpoints: string[], mustVerify = false, until?: Promise<void>) => {
    gate = until;
    return (await verifyAll(endpoints, mustVerify)).map(labelOf);
  };
  return { addresses, certificates, verified, log, verifier, verifyAll, labels, most: () => most };
}

describe("without verification", () => {
  test("admits in the order given, without a handshake", async () => {
    const { labels, verified, log } = setUp();
    expect(await labels(["10.0.0.2:1", "10.0.0.1:1"])).toEqual(["10.0.0.2:1", "10.0.0.1:1"]);
    expect([verified, log]).toEqual([[], []]);
  });

  test("keeps a name that does not resolve, and logs it once", async () => {
    const { labels, log } = setUp();
    expect(await labels(["m.test:1", "10.0.0.1:1"])).toEqual(["m.test:1", "10.0.0.1:1"]);
    await labels(["m.test:1", "10.0.0.1:1"]);
    expect(log).toEqual(["unresolved m.test:1: ENOTFOUND"]);
  });

  test("never admits the gateway itself, not even by name, and logs it once", async () => {
    const { addresses, labels, log } = setUp();
    addresses["me.test"] = ["10.0.0.1", OWN];
    for (let i = 0; i < 2; i++)
      expect(await labels([`${OWN}:1`, "me.test:1", "10.0.0.2:1"])).toEqual(["10.0.0.2:1"]);
    const why = `it resolves to ${OWN}, this process's own listen address`;
    expect(log).toEqual([`rejected ${OWN}:1: ${why}`, `rejected me.test:1: ${why}`]);
  });
});

describe("with verification", () => {
  test("admits an endpoint with exactly the addresses that pass verification", async () => {
    const { addresses, certificates, verifyAll, log } = setUp();
    addresses["m.test"] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    certificates["10.0.0.2"] = "CERT_HAS_EXPIRED";
    const [spec] = await verifyAll(["m.test:1"], true);
    expect([...spec!.verifiedAddresses!]).toEqual(["10.0.0.1", "10.0.0.3"]);
    expect(log).toEqual(["rejected m.test:1: 10.0.0.2: its certificate has expired"]);
  });

  test("verifies the endpoint's certificate names, at its port", async () => {
    const { labels, verified } = setUp();
    await labels(["10.0.0.1:7"], true);
    expect(verified).toEqual([[{ host: "10.0.0.1", port: 7 }, ["10.0.0.1", "a.test"]]]);
  });

  test("verifies each address of an endpoint that stays once", async () => {
    const { addresses, certificates, verifyAll, labels, verified } = setUp();
    addresses["m.test"] = ["10.0.0.1"];
    await labels(["m.test:1"], true);
    await labels(["m.test:1"], true);
    expect(verified).toHaveLength(1);
    addresses["m.test"] = ["10.0.0.2"];
    certificates["10.0.0.2"] = "DEPTH_ZERO_SELF_SIGNED_CERT";
    expect(await verifyAll(["m.test:1"], true)).toEqual([]);
    delete certificates["10.0.0.2"];
    const [spec] = await verifyAll(["m.test:1"], true);
    expect([...spec!.verifiedAddresses!]).toEqual(["10.0.0.1", "10.0.0.2"]);
  });

  test("retries an endpoint that failed, and logs each reason once", async () => {
    const { certificates, labels, log } = setUp();
    certificates["10.0.0.1"] = "ECONNREFUSED";
    for (let i = 0; i < 3; i++) expect(await labels(["10.0.0.1:1"], true)).toEqual([]);
    certificates["10.0.0.1"] = "ERR_SSL_WRONG_VERSION_NUMBER";
    expect(await labels(["10.0.0.1:1"], true)).toEqual([]);
    delete certificates["10.0.0.1"];
    expect(await labels(["10.0.0.1:1"], true)).toEqual(["10.0.0.1:1"]);
    expect(log).toEqual([
      "rejected 10.0.0.1:1: connection refused",
      "rejected 10.0.0.1:1: it does not speak TLS",
    ]);
  });

  test("verifies an endpoint again that left and came back", async () => {
    const { verifier, verifyAll, labels, verified } = setUp();
    await labels(["10.0.0.1:1", "10.0.0.2:1"], true);
    verifier.keepOnly(await verifyAll(["10.0.0.2:1"], true));
    await labels(["10.0.0.1:1", "10.0.0.2:1"], true);
    expect(verified.map(([{ host }]) => host)).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.1"]);
  });

  test("does not verify a name that does not resolve", async () => {
    const { labels, log } = setUp();
    expect(await labels(["m.test:1"], true)).toEqual([]);
    expect(log).toEqual(["rejected m.test:1: it does not resolve (ENOTFOUND)"]);
  });

  test("keeps verified addresses while DNS does not answer", async () => {
    const { addresses, labels } = setUp();
    addresses["m.test"] = ["10.0.0.1"];
    await labels(["m.test:1"], true);
    delete addresses["m.test"];
    expect(await labels(["m.test:1"], true)).toEqual(["m.test:1"]);
  });

  test("makes at most 16 handshakes at a time", async () => {
    const { labels, verified, most } = setUp();
    const all = Array.from({ length: 64 }, (_, i) => `10.0.0.${i}:1`);
    expect(await labels(all, true)).toEqual(all);
    expect([verified.length, most()]).toEqual([64, 16]);
  });

  test("invalidate() makes the next call verify all endpoints again", async () => {
    const { verifier, labels, verified } = setUp();
    await labels(["10.0.0.1:1"], true);
    verifier.invalidate();
    await labels(["10.0.0.1:1"], true);
    await labels(["10.0.0.1:1"], true);
    expect(verified).toHaveLength(2);
  });

  test("after invalidate(), drops an endpoint whose certificate fails, but not one that cannot be reached", async () => {
    const { verifier, certificates, labels } = setUp();
    const both = ["10.0.0.1:1", "10.0.0.2:1"];
    await labels(both, true);
    verifier.invalidate();
    certificates["10.0.0.1"] = "ETIMEDOUT";
    certificates["10.0.0.2"] = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
    expect(await labels(both, true)).toEqual(["10.0.0.1:1"]);
    certificates["10.0.0.1"] = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
    expect(await labels(both, true)).toEqual([]);
  });

  test("a success that was in progress at invalidate() does not count", async () => {
    const { verifier, certificates, labels } = setUp();
    const first = labels(["10.0.0.1:1"], true);
    for (let i = 0; i < 10; i++) await Promise.resolve();
    verifier.invalidate();
    await first;
    certificates["10.0.0.1"] = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
    expect(await labels(["10.0.0.1:1"], true)).toEqual([]);
  });

  test("a failure that was in progress at invalidate() does not undo a later success", async () => {
    const { verifier, certificates, verified, labels, verifyAll } = setUp();
    const late = Promise.withResolvers<void>();
    certificates["10.0.0.1"] = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
    const [spec] = await verifyAll(["10.0.0.1:1"]);
    const first = labels(["10.0.0.1:1"], true, late.promise);
    for (let i = 0; i < 10; i++) await Promise.resolve();
    verifier.invalidate();
    delete certificates["10.0.0.1"];
    expect(await labels(["10.0.0.1:1"], true)).toEqual(["10.0.0.1:1"]);
    late.resolve();
    await first;
    expect(verifier.stillVerified(spec!)?.verifiedAddresses).toEqual(new Set(["10.0.0.1"]));
    await labels(["10.0.0.1:1"], true);
    expect(verified).toHaveLength(2);
  });
});

describe("a name that is silent while another resolves", () => {
  const silentScene = () => {
    const clock = new ManualClock();
    const silent = Promise.withResolvers<readonly string[]>();
    let late = 0;
    const log: string[] = [];
    const names = new DnsCache(() => silent.promise, clock);
    const isSelf = () => false;
    const verifier = new EndpointVerifier(names, isSelf, () => Promise.resolve(), clock);
    verifier.start(eventsInto(log), () => late++);
    const specs = ["10.0.0.1:1", "m.test:1"].map(parseStaticEndpoint);
    const verifyAll = async (mustVerify: boolean) =>
      (await verifier.verifyAll(specs, mustVerify)).map(labelOf);
    return { clock, silent, log, verifyAll, late: () => late };
  };

  test.each<[mustVerify: boolean, first: string[], line: string]>([
    [true, ["10.0.0.1:1"], "rejected m.test:1: it does not resolve (ETIMEDOUT)"],
    [false, ["10.0.0.1:1", "m.test:1"], "unresolved m.test:1: ETIMEDOUT"],
  ])(
    "is waited for a second (verified: %p), and admitted once it has resolved",
    async (mustVerify, first, line) => {
      const { clock, silent, log, verifyAll, late } = silentScene();
      const admitted = verifyAll(mustVerify);
      clock.advance(1000);
      expect([await admitted, log, late()]).toEqual([first, [line], 0]);
      silent.resolve(["10.0.0.2"]);
      await Bun.sleep(0);
      expect(late()).toBe(1);
      expect(await verifyAll(mustVerify)).toEqual(["10.0.0.1:1", "m.test:1"]);
      expect([late(), clock.pending]).toEqual([1, 0]);
    },
  );
});
