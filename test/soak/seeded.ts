// Derives everything from the seed: what each conversation does, and the two byte
// streams that it carries. Streams start at random places in one pattern, so bytes
// on the wrong connection are found to be wrong.
import { type Random, randomFrom } from "../support/random-input.ts";

// A prime, so that the pattern never repeats in step with a buffer size.
const PERIOD_BYTES = 1_048_573;

/** Limit of the bytes that `streamBytes` returns at once. */
export const MAX_CHUNK_BYTES = 1 << 20;

const pattern = makePattern();

export type Direction = "request" | "reply";

/** Returns the offset in the pattern at which a conversation's stream starts. */
export function streamStart(seed: number, number: number, direction: Direction): number {
  return randomOf(seed, 2 * number + (direction === "request" ? 0 : 1))(PERIOD_BYTES);
}

/** Returns the endless stream that starts at `start`, from `offset` on; a view, not a copy. */
export function streamBytes(start: number, offset: number, length: number): Uint8Array {
  const from = (start + offset) % PERIOD_BYTES;
  return pattern.subarray(from, from + Math.min(length, MAX_CHUNK_BYTES));
}

/** Returns the generator of conversation `number`, independent of all others. */
export function randomOf(seed: number, number: number): Random {
  return randomFrom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b));
}

/** Returns an integer from `low` to `high`; each power of two between them is equally likely. */
export function sizeBetween(random: Random, low: number, high: number): number {
  const exponent = random(1 << 20) / (1 << 20);
  return Math.round(low * (high / low) ** exponent);
}

/** Fills the pattern with Numerical Recipes' generator. Its start is repeated after its end. */
function makePattern(): Uint8Array {
  const bytes = new Uint8Array(PERIOD_BYTES + MAX_CHUNK_BYTES);
  let state = 1;
  for (let i = 0; i < PERIOD_BYTES; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  bytes.copyWithin(PERIOD_BYTES, 0, MAX_CHUNK_BYTES);
  return bytes;
}
