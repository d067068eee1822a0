/** Time as an argument, so that tests control it. */
export interface Clock {
  /** Returns milliseconds since an arbitrary moment; never goes back. */
  now(): number;
  /** Runs `callback` once after `ms`. The function returned cancels it. */
  after(ms: number, callback: () => void): () => void;
  /** Runs `callback` once, after the events that are already queued. */
  soon(callback: () => void): void;
}

/** Cancels nothing: stands in for a timer that is not set. */
export function noTimer(): void {}

export interface PauseOptions {
  /** Ends the pause when it aborts. */
  readonly signal?: AbortSignal;
  /** Ends the pause when it resolves. */
  readonly until?: Promise<unknown>;
}

/** Resolves after `ms`, or earlier if an option says so. Leaves no timer. */
export async function pause(
  clock: Clock,
  ms: number,
  { signal, until }: PauseOptions = {},
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const cancelTimer = clock.after(ms, end);
  signal?.addEventListener("abort", end);
  if (signal?.aborted) end();
  try {
    await Promise.race([promise, ...(until === undefined ? [] : [until])]);
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", end);
  }
}
