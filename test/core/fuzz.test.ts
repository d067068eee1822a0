// For any input, the parsers of core/ return a sound value or throw a RangeError with
// a message of their own.
import { describe, expect, test } from "bun:test";
import { isIP } from "node:net";
import {
  formatHostPort,
  type HostPort,
  isDnsName,
  parseEndpoint,
  parseListenAddress,
} from "../../src/core/address.ts";
import { formatDuration, parseDuration } from "../../src/core/duration.ts";
import { fuzz, type Samples, seed } from "../support/random-input.ts";

const COUNT = 10_000;

const addresses: Samples = {
  valid: [
    "127.0.0.1:2379",
    ":23790",
    "etcd-0.etcd.default.svc.cluster.local:2379",
    "http://user:secret@h.example.com.:2379/path?query#fragment",
    "[::1]:2379",
    "https://[fe80::1%25eth0]:65535",
    "[::ffff:10.0.0.1]:0",
    "unix:///run/etcd.sock",
  ],
  tokens: [..."0123456789abcxyz.:-_%[]/@#?, ", "://", "http://", "%25", "65536", "::"],
};

const UNITS = ["ns", "us", "\u00b5s", "\u03bcs", "ms", "s", "m", "h"];
const durations: Samples = {
  valid: ["1m0s", "300ms", "-1.5h", "0", "+.5s", "2562047h47m16.854775807s", "1h2m3s4ms5us6ns"],
  tokens: [..."0123456789.+-", ...UNITS, "9223372036854775807", "e", " ", "d"],
};

/** Returns the parsed value, or undefined if the parser rejects it with its own message. */
function tryParse<T>(parse: (text: string) => T, text: string): T | undefined {
  try {
    return parse(text);
  } catch (error) {
    expect((error as Error).constructor).toBe(RangeError);
    // The engine throws RangeErrors too: "Maximum call stack size exceeded", "Invalid count".
    expect((error as Error).message).toMatch(
      /^(missing|port |a Unix|an IPv6|brackets|too many colons|"[^]*" is not|not a duration|unknown unit|longer)/,
    );
    return undefined;
  }
}

function expectAddress({ host, port }: HostPort, leastPort: number): void {
  expect(Number.isInteger(port) && port >= leastPort && port <= 65_535).toBe(true);
  expect(isIP(host) > 0 || (isDnsName(host) && !/^[\d.]+$/.test(host))).toBe(true);
}

describe(`${COUNT} random texts (FUZZ_SEED=${seed})`, () => {
  test("parseEndpoint() returns an address that survives a round trip, or throws a RangeError", () => {
    let accepted = 0;
    fuzz(COUNT, addresses, (text) => {
      const endpoint = tryParse(parseEndpoint, text);
      if (endpoint === undefined) return;
      accepted++;
      expectAddress(endpoint, 1);
      expect(parseEndpoint(formatHostPort(endpoint))).toEqual(endpoint);
    });
    expect(accepted).toBeGreaterThan(COUNT / 20);
  });

  test("parseListenAddress() returns an address that survives a round trip, or throws a RangeError", () => {
    let accepted = 0;
    fuzz(COUNT, addresses, (text) => {
      const address = tryParse(parseListenAddress, text);
      if (address === undefined) return;
      accepted++;
      // Without a host it is every address.
      expectAddress(address.host === "" ? { ...address, host: "::" } : address, 0);
      expect(parseListenAddress(formatHostPort(address))).toEqual(address);
    });
    expect(accepted).toBeGreaterThan(COUNT / 20);
  });

  test("parseDuration() accepts Go's grammar and nothing else", () => {
    const term = `(\\d+\\.?\\d*|\\.\\d+)(${UNITS.join("|")})`;
    const grammar = new RegExp(`^[+-]?(0|(${term})+)$`);
    let accepted = 0;
    fuzz(COUNT, durations, (text) => {
      const ms = tryParse(parseDuration, text);
      const isLong = ms === undefined && grammar.test(text) && Math.abs(sumOf(text)) > 9.2e12;
      expect(ms !== undefined || isLong).toBe(grammar.test(text));
      if (ms === undefined) return;
      accepted++;
      expect(Math.abs(ms)).toBeLessThanOrEqual(2 ** 63 / 1e6);
      // Go truncates each fraction to nanoseconds.
      const slack = text.length * 1e-6 + Math.abs(ms) * 1e-12;
      expect(Math.abs(ms - sumOf(text))).toBeLessThanOrEqual(slack);
      if (Math.abs(ms) < 2 ** 31)
        expect(Math.abs(parseDuration(formatDuration(ms)) - ms)).toBeLessThanOrEqual(1e-6);
    });
    expect(accepted).toBeGreaterThan(COUNT / 20);
  });
});

/** Computes the milliseconds independently, without validation. */
function sumOf(text: string): number {
  const scale = [1e-6, 1e-3, 1e-3, 1e-3, 1, 1e3, 60e3, 3600e3];
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/([\d.]+)([^\d.]+)/g))
    sum += Number(number) * scale[UNITS.indexOf(unit!)]!;
  return text.startsWith("-") ? -sum : sum;
}
