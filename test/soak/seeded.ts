// What follows from the seed: what each conversation does, and the two byte
// streams that it carries. No two conversations have the same bytes at the same
// place, so bytes that went to the wrong connection are wrong bytes.
import { type Random, randomFrom } from "../support/random-input.ts";

// A prime: no power of two, as buffers are, repeats in step with it.
const PERIOD_BYTES = 1_048_573;

/** The most that `streamBytes` gives at once. */
export const MAX_CHUNK_BYTES = 1 << 20;

const pattern = makePattern();

export type Direction = "request" | "reply";

/** Where in the pattern the stream of a conversation begins. */
export function streamStart(seed: number, number: number, direction: Direction): number {
  return randomOf(seed, 2 * number + (direction === "request" ? 0 : 1))(PERIOD_BYTES);
}

/** Bytes of the endless stream that begins at `start`, from `offset` on; a view, not a copy. */
export function streamBytes(start: number, offset: number, length: number): Uint8Array {
  const from = (start + offset) % PERIOD_BYTES;
  return pattern.subarray(from, from + Math.min(length, MAX_CHUNK_BYTES));
}

/** The generator of conversation `number`: what one takes does not move another. */
export function randomOf(seed: number, number: number): Random {
  return randomFrom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b));
}

/** A whole number from `low` to `high`, each power of two between them as likely as the next. */
export function sizeBetween(random: Random, low: number, high: number): number {
  const exponent = random(1 << 20) / (1 << 20);
  return Math.round(low * (high / low) ** exponent);
}

/** Numerical Recipes' generator, with its beginning repeated behind its end. */
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
