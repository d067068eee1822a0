// Limits concurrency: calls above the limit wait in order of arrival.

/** Returns a function that runs `work` once fewer than `limit` of its calls are running. */
export function limiter(limit: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;

  return async (work) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running++;
    try {
      return await work();
    } finally {
      // The next call takes over this call's place.
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}
