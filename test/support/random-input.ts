// Random inputs for parsers: noise, and valid inputs with a few mutations. Every failure
// names the seed; FUZZ_SEED repeats a run.

export const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** Returns an integer from 0 to `below` - 1. */
export type Random = (below: number) => number;

/** Returns the generator mulberry32, which is small, seeded, and good enough for mutations. */
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
  /** Inputs that the parser accepts. At least one. */
  readonly valid: readonly string[];
  /** The tokens of the parser's grammar. */
  readonly tokens: readonly string[];
}

/** Returns noise in one of three calls, else a valid input with up to four mutations. */
export function randomText(random: Random, samples: Samples): string {
  if (random(3) === 0) return repeat(random(30), () => anyToken(random, samples));
  let text = oneOf(random, samples.valid);
  for (let left = random(5); left > 0; left--) text = mutate(text, random, samples);
  return text;
}

export function oneOf<T>(random: Random, choices: readonly T[]): T {
  return choices[random(choices.length)]!;
}

/** Calls `check` with `count` random inputs; a failure names the input. */
export function fuzz(count: number, samples: Samples, check: (text: string) => void): void {
  fuzzWith(count, (random) => randomText(random, samples), check);
}

/** Like `fuzz()`, for inputs of any type. */
export function fuzzWith<T>(
  count: number,
  make: (random: Random) => T,
  check: (input: T) => void,
): void {
  for (let i = 0; i < count; i++) {
    // Each input has its own generator, so that a change of one does not affect the next.
    const input = make(randomFrom(seed + i));
    try {
      check(input);
    } catch (error) {
      const what = `input ${i} of FUZZ_SEED=${seed}, ${JSON.stringify(input)}`;
      throw new Error(`${what}: ${String(error)}`, { cause: error });
    }
  }
}

function mutate(text: string, random: Random, samples: Samples): string {
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
  // One in four is an arbitrary UTF-16 code unit, half of these ASCII.
  return String.fromCharCode(random(random(2) ? 128 : 65_536));
}

function repeat(times: number, make: () => string): string {
  return Array.from({ length: times }, make).join("");
}
