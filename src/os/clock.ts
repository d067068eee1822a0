import type { Clock } from "../core/clock.ts";

/** The machine's monotonic clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  soon: (callback) => void setImmediate(callback),
};

/** For a command that waits: unlike the clock's timers it keeps the process alive. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

let origin = performance.timeOrigin;

/**
 * Milliseconds since 1970 with microseconds as fraction, for the log. Follows
 * a clock that is set or a machine that slept, which performance.now() does not.
 */
export function wallClock(): number {
  const ms = origin + performance.now();
  const drift = Date.now() - ms;
  if (Math.abs(drift) < 2) return ms; // Date.now() has no fraction
  origin += drift;
  return ms + drift;
}
