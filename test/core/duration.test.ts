import { describe, expect, test } from "bun:test";
import { formatDuration, parseDuration } from "../../src/core/duration.ts";

const HOUR = 3_600_000;

describe("parseDuration()", () => {
  // From Go's time_test.go, parseDurationTests.
  const accepted: [text: string, ms: number][] = [
    ["0", 0],
    ["5s", 5000],
    ["30s", 30_000],
    ["1478s", 1_478_000],
    ["-5s", -5000],
    ["+5s", 5000],
    ["-0", 0],
    ["+0", 0],
    ["5.0s", 5000],
    ["5.6s", 5600],
    ["5.s", 5000],
    [".5s", 500],
    ["1.0s", 1000],
    ["1.00s", 1000],
    ["1.004s", 1004],
    ["1.0040s", 1004],
    ["100.00100s", 100_001],
    ["10ns", 0.00001],
    ["11us", 0.011],
    ["12\u00b5s", 0.012],
    ["12\u03bcs", 0.012],
    ["13ms", 13],
    ["14s", 14_000],
    ["15m", 900_000],
    ["16h", 16 * HOUR],
    ["3h30m", 3.5 * HOUR],
    ["10.5s4m", 250_500],
    ["-2m3.4s", -123_400],
    ["1h2m3s4ms5us6ns", HOUR + 123_004.005006],
    ["39h9m14.425s", 39 * HOUR + 554_425],
    ["0.3333333333333333333h", 1_200_000],
    ["0.100000000000000000000h", 360_000],
    ["0.9223372036854775807h", 3_320_413.933267],
    ["1m0s", 60_000],
    ["1h15m30.5s", 4_530_500],
  ];
  test.each(accepted)("parses %p as %p ms", (text, ms) => {
    expect(parseDuration(text)).toBeCloseTo(ms, 6);
  });

  const rejected: [text: string, fact: string][] = [
    ["", "not a duration"],
    ["3", "missing unit"],
    ["123", "missing unit"],
    ["-", "not a duration"],
    ["+", "not a duration"],
    ["s", "not a duration"],
    [".", "not a duration"],
    ["-.", "not a duration"],
    [".s", "not a duration"],
    ["+.s", "not a duration"],
    ["1d", 'unknown unit "d"'],
    ["\x85\x85", "not a duration"],
    ["1 s", 'unknown unit " s"'],
    ["1S", 'unknown unit "S"'],
    ["1h-5m", 'unknown unit "h-"'],
    ["--5s", "not a duration"],
    ["1e3s", 'unknown unit "e"'],
    ["9223372036854775808ns", "longer than 292 years"],
    ["9223372036854775.808us", "longer than 292 years"],
    ["3000000h", "longer than 292 years"],
  ];
  test.each(rejected)("rejects %p: %s", (text, fact) => {
    expect(() => parseDuration(text)).toThrow(new RangeError(fact));
  });
});

describe("formatDuration()", () => {
  // From Go's time_test.go, durationTests.
  const rows: [ms: number, text: string][] = [
    [0, "0s"],
    [0.000001, "1ns"],
    [0.0011, "1.1\u00b5s"],
    [2.2, "2.2ms"],
    [3300, "3.3s"],
    [245_000, "4m5s"],
    [245_001, "4m5.001s"],
    [18_367_001, "5h6m7.001s"],
    [480_000.000001, "8m0.000000001s"],
    [60_000, "1m0s"],
    [HOUR, "1h0m0s"],
    [-1500, "-1.5s"],
  ];
  test.each(rows)("formats %p ms as %p", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  test("is the inverse of parseDuration() for 1000 seeded values", () => {
    let seed = 20_261_121;
    for (let i = 0; i < 1000; i++) {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      const ms = seed % (100 * HOUR);
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }
  });
});
