const draw = new Uint32Array(1);

/** A number from 0 to 1, as likely as any other. */
export function random(): number {
  crypto.getRandomValues(draw);
  return draw[0]! / 2 ** 32;
}
