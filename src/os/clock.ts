import type { Clock } from "../core/clock.ts";
import { PresentClock } from "./present-clock.ts";

/** The machine's monotonic clock, absences included. Its timers do not keep the process alive. */
export const rawClock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  soon: (callback) => void setImmediate(callback),
};

const present = new PresentClock(rawClock);

/**
 * The clock of what waits for peers: the time in which this process ran. While
 * it is stopped (SIGSTOP, a frozen cgroup, a suspended machine) this clock
 * stands still, and what peers did meanwhile is delivered before a timer fires.
 */
export const systemClock: Clock = {
  now: () => present.now(),
  after: (ms, callback) => present.after(ms, callback),
  soon: rawClock.soon,
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
