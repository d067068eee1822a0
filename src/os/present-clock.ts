// A clock that counts only the time in which the process ran. After an absence (SIGSTOP, a
// frozen cgroup, a suspended machine, a blocked event loop) an ordinary timer would fire
// before the queued events, and time out peers that answered in time.
import { type Clock, noTimer } from "../core/clock.ts";

// Interval of the checks for an absence while timers are pending.
const TICK_MS = 500;

// A timer that is later than this was held up by an absence. Shorter delays are those of a
// busy event loop.
const LATE_MS = 50;

// The longest extension of a timer after absences: enough for a peer to answer a request
// that is sent now, and negligible for timers of hours.
const MAX_GRACE_MS = 5000;

interface Timer {
  readonly callback: () => void;
  /** Whether it counts as pending: until its callback or its cancellation. */
  isPending: boolean;
  /** On the underlying clock. */
  dueAt: number;
  /** The clock's `#absentMs` when the timer was set or last extended. */
  absentMs: number;
  /** By how much the timer may still be extended. */
  graceMs: number;
  cancel: () => void;
}

export class PresentClock implements Pick<Clock, "now" | "after"> {
  readonly #clock: Clock;
  /** The total of all absences. */
  #absentMs = 0;
  /** The last reading of the underlying clock. */
  #lastReading: number;
  /** When the next tick is due, on the underlying clock. */
  #tickAt = Number.POSITIVE_INFINITY;
  #pendingTimers = 0;
  #cancelTick = () => {};

  /** `clock` is the machine's clock. It is the only source of time and timers. */
  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastReading = clock.now();
  }

  now(): number {
    const now = this.#clock.now();
    if (now > this.#tickAt + LATE_MS) this.#addAbsence(now);
    this.#lastReading = now;
    return now - this.#absentMs;
  }

  after(ms: number, callback: () => void): () => void {
    this.now();
    const timer: Timer = {
      callback,
      isPending: true,
      dueAt: this.#lastReading + ms,
      absentMs: this.#absentMs,
      graceMs: Math.min(ms, MAX_GRACE_MS),
      cancel: noTimer,
    };
    this.#addTimer();
    this.#arm(timer, ms);
    return () => {
      timer.cancel();
      this.#release(timer);
    };
  }

  #arm(timer: Timer, ms: number): void {
    timer.cancel = this.#clock.after(ms, () => {
      this.now();
      const lateMs = this.#lastReading - timer.dueAt;
      // `lateMs` covers an absence that no tick detected, during a timer shorter than a tick.
      const missedMs = Math.max(this.#absentMs - timer.absentMs, lateMs);
      const graceMs = missedMs > LATE_MS ? Math.min(missedMs, timer.graceMs) : 0;
      if (graceMs > 0) {
        timer.graceMs -= graceMs;
        timer.absentMs = this.#absentMs;
        timer.dueAt = this.#lastReading + graceMs;
        this.#arm(timer, graceMs);
      } else if (lateMs > LATE_MS) this.#fireAfterEvents(timer);
      else this.#fire(timer);
    });
  }

  /** Fires a late timer that cannot be extended, after the events that are queued now. */
  #fireAfterEvents(timer: Timer): void {
    let isCancelled = false;
    timer.cancel = () => {
      isCancelled = true;
    };
    const fire = () => {
      if (!isCancelled) this.#fire(timer);
    };
    // The first immediate runs before Bun polls for events, the second after it.
    this.#clock.soon(() => this.#clock.soon(fire));
  }

  #fire(timer: Timer): void {
    this.#release(timer);
    timer.callback();
  }

  /** Adds the time since the last reading, or since the missed tick if that was later. */
  #addAbsence(now: number): void {
    this.#absentMs += now - Math.max(this.#lastReading, this.#tickAt);
    this.#tickAt = now + TICK_MS;
  }

  #addTimer(): void {
    if (this.#pendingTimers++ === 0) this.#tick();
  }

  #release(timer: Timer): void {
    if (!timer.isPending) return;
    timer.isPending = false;
    if (--this.#pendingTimers > 0) return;
    this.#cancelTick();
    this.#tickAt = Number.POSITIVE_INFINITY;
  }

  #tick(): void {
    this.now();
    this.#tickAt = this.#lastReading + TICK_MS;
    this.#cancelTick = this.#clock.after(TICK_MS, () => this.#tick());
  }
}
