/** Time as an argument, so that a test owns it. */
export interface Clock {
  /** Milliseconds since an arbitrary moment; never goes back. */
  now(): number;
  /** Runs `callback` once after `ms`; the function returned forgets it. */
  after(ms: number, callback: () => void): () => void;
  /** Runs `callback` once, after the events that wait now. */
  soon(callback: () => void): void;
}

/** Resolves after `ms`, or as soon as one of `others` does; leaves no timer behind. */
export async function pause(
  clock: Clock,
  ms: number,
  ...others: Promise<unknown>[]
): Promise<void> {
  const { promise: isTime, resolve } = Promise.withResolvers<void>();
  const cancelTimer = clock.after(ms, resolve);
  await Promise.race([isTime, ...others]);
  cancelTimer();
}
