import type { Clock } from "../config/clock.ts";

/** The machine's monotonic clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Milliseconds since 1970 with microseconds as fraction, for the log. */
export function wallClock(): number {
  return performance.timeOrigin + performance.now();
}
