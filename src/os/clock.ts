// The clocks and timers of the process. Only this file uses setTimeout, performance.now
// and Date.now.
import type { Clock } from "../core/clock.ts";
import { PresentClock } from "./present-clock.ts";

/**
 * The machine's monotonic clock, which also counts time in which the process was stopped.
 * Its timers do not keep the process alive.
 */
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
 * The clock for timeouts of peers. It counts only the time in which the process ran:
 * while the process is stopped (SIGSTOP, a frozen cgroup, a suspended machine) the
 * clock stands still. Afterwards the peers' queued events are delivered before any
 * timer fires.
 */
export const systemClock: Clock = {
  now: () => present.now(),
  after: (ms, callback) => present.after(ms, callback),
  soon: rawClock.soon,
};

/** Resolves after `ms`. Unlike the timers of the clocks, it keeps the process alive. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

let origin = performance.timeOrigin;

/**
 * Returns milliseconds since 1970, with a fraction of microseconds, for the log. Unlike
 * performance.now(), it stays right when the system clock is set or the machine was
 * suspended.
 */
export function wallClock(): number {
  const ms = origin + performance.now();
  const drift = Date.now() - ms;
  if (Math.abs(drift) < 2) return ms; // Date.now() has no fraction
  origin += drift;
  return ms + drift;
}
