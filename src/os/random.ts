// The source of random numbers, which the rest of the program takes as an argument.
const draw = new Uint32Array(1);

/** Returns a uniformly distributed number from 0 (included) to 1 (excluded). */
export function random(): number {
  crypto.getRandomValues(draw);
  return draw[0]! / 2 ** 32;
}
