// Go's duration syntax, read and written as Go's time package does it.
// Timers take milliseconds; nanoseconds exist only inside this file.

const NANOSECONDS: Record<string, bigint> = {
  ns: 1n,
  us: 1_000n,
  "\u00b5s": 1_000n, // micro sign
  "\u03bcs": 1_000n, // Greek mu
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

const MAX_NANOSECONDS = 2n ** 63n - 1n;

const TERM = /^(\d*)(\.\d*)?([^\d.]*)/;

/**
 * Parses a Go duration such as `1m0s`, `300ms`, `-1.5h` or `0` and returns
 * milliseconds, with fractions down to a nanosecond.
 *
 * @throws {RangeError} whose message is only the fact ("missing unit"); the
 *   caller adds the flag and the value.
 * @see Go's time.ParseDuration
 */
export function parseDuration(text: string): number {
  const negative = text.startsWith("-");
  let rest = /^[+-]/.test(text) ? text.slice(1) : text;
  if (rest === "0") return 0;
  if (rest === "") throw new RangeError("not a duration");
  let total = 0n;
  while (rest !== "") {
    const [term, whole = "", fraction = "", unit = ""] = TERM.exec(rest)!;
    if (whole === "" && fraction.length < 2) throw new RangeError("not a duration");
    if (unit === "") throw new RangeError("missing unit");
    const scale = NANOSECONDS[unit];
    if (scale === undefined) throw new RangeError(`unknown unit "${unit}"`);
    total += BigInt(whole) * scale + fractionOf(fraction.slice(1), scale);
    if (total > MAX_NANOSECONDS) throw new RangeError("longer than 292 years");
    rest = rest.slice(term.length);
  }
  const ms = Number(total) / 1e6;
  return negative ? -ms : ms;
}

/**
 * Multiplies the digits after the decimal point by `scale` with Go's rounding:
 * digits that do not fit into 63 bits are ignored, the product is truncated.
 * @see Go's time.leadingFraction
 */
function fractionOf(digits: string, scale: bigint): bigint {
  let value = 0n;
  let divisor = 1;
  for (const digit of digits) {
    const next = value * 10n + BigInt(digit);
    if (next > MAX_NANOSECONDS) break;
    value = next;
    divisor *= 10;
  }
  return BigInt(Math.trunc(Number(value) * (Number(scale) / divisor)));
}

/**
 * Formats milliseconds as Go's Duration.String does: `1m0s`, `300ms`, `1.5s`.
 * Below a millisecond the units are `µs` and `ns`.
 */
export function formatDuration(ms: number): string {
  const nanoseconds = Math.round(Math.abs(ms) * 1e6);
  if (nanoseconds === 0) return "0s";
  const sign = ms < 0 ? "-" : "";
  if (nanoseconds < 1e3) return `${sign}${nanoseconds}ns`;
  if (nanoseconds < 1e6) return `${sign}${nanoseconds / 1e3}\u00b5s`;
  if (nanoseconds < 1e9) return `${sign}${nanoseconds / 1e6}ms`;
  const minutes = Math.floor(nanoseconds / 60e9);
  const fixed = ((nanoseconds - minutes * 60e9) / 1e9).toFixed(9);
  const seconds = `${fixed.replace(/\.?0+$/, "")}s`;
  if (minutes === 0) return sign + seconds;
  if (minutes < 60) return `${sign}${minutes}m${seconds}`;
  return `${sign}${Math.floor(minutes / 60)}h${minutes % 60}m${seconds}`;
}
