// How much of one kind may be under way at the same time; the rest waits its turn.

/** Returns a function that runs `work` when fewer than `most` of its calls are under way. */
export function limiter(most: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;

  return async (work) => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await work();
    } finally {
      // The next one takes this one's place.
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
