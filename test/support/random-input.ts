// Random texts for parsers: noise, and valid texts with a few slips in them.
// The seed stands in every failure; FUZZ_SEED repeats a run.

export const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** A whole number from 0 to `below` - 1. */
export type Random = (below: number) => number;

/** mulberry32: small, seeded, good enough to choose a slip of the hand. */
export function randomFrom(start: number): Random {
  let state = start;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export interface Samples {
  /** Texts that the parser accepts. At least one. */
  readonly valid: readonly string[];
  /** What the parser's grammar is made of. */
  readonly tokens: readonly string[];
}

/** A third is noise; the rest is a valid text that was hurt up to four times. */
export function randomText(random: Random, samples: Samples): string {
  if (random(3) === 0) return repeat(random(30), () => anyToken(random, samples));
  let text = oneOf(random, samples.valid);
  for (let slips = random(5); slips > 0; slips--) text = hurt(text, random, samples);
  return text;
}

export function oneOf<T>(random: Random, choices: readonly T[]): T {
  return choices[random(choices.length)]!;
}

/** Calls `check` with `count` random texts, and says which one it did not like. */
export function fuzz(count: number, samples: Samples, check: (text: string) => void): void {
  fuzzWith(count, (random) => randomText(random, samples), check);
}

/** As `fuzz()`, with an input of any kind. */
export function fuzzWith<T>(
  count: number,
  make: (random: Random) => T,
  check: (input: T) => void,
): void {
  for (let i = 0; i < count; i++) {
    // A generator of its own for each input: what one takes does not move the next.
    const input = make(randomFrom(seed + i));
    try {
      check(input);
    } catch (error) {
      const what = `input ${i} of FUZZ_SEED=${seed}, ${JSON.stringify(input)}`;
      throw new Error(`${what}: ${String(error)}`, { cause: error });
    }
  }
}

function hurt(text: string, random: Random, samples: Samples): string {
  const at = random(text.length + 1);
  const end = at + random(Math.min(12, text.length - at) + 1);
  switch (random(6)) {
    case 0:
      return text.slice(0, at) + text.slice(end);
    case 1:
      return text.slice(0, end) + text.slice(at);
    case 2:
      return text.slice(0, at) + text.slice(at, end).toUpperCase() + text.slice(end);
    case 3:
      return text.slice(0, at) + oneOf(random, samples.valid).slice(random(20));
    default:
      return text.slice(0, at) + anyToken(random, samples) + text.slice(random(2) ? at : end);
  }
}

function anyToken(random: Random, { tokens }: Samples): string {
  if (random(4) > 0) return oneOf(random, tokens);
  // One in four is any character at all: half of them ASCII, else even half a surrogate pair.
  return String.fromCharCode(random(random(2) ? 128 : 65_536));
}

function repeat(times: number, make: () => string): string {
  return Array.from({ length: times }, make).join("");
}
