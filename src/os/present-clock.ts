// Time in which the process was present. After an absence (SIGSTOP, a frozen
// cgroup, a suspended machine, an event loop that was blocked) a timer would
// fire before the events that waited with it, and blame peers that answered in time.
import type { Clock } from "../core/clock.ts";

// How often an absence is looked for while timers wait.
const BEAT_MS = 500;

// A timer that is later than this was kept from firing. Below it are the delays
// of an event loop that is merely busy.
const LATE_MS = 50;

// How much of an absence a timer gives back at most: enough for a peer to answer
// what it is asked now, and no delay for timers that wait for hours.
const MAX_GRACE_MS = 5000;

interface Timer {
  readonly callback: () => void;
  /** Called once, before the callback or when the timer is cancelled. */
  readonly forget: () => void;
  /** On the clock below. */
  dueAt: number;
  /** `#absentMs` when it was set. */
  absentMs: number;
  /** How much it may still be put off. */
  graceMs: number;
  cancel: () => void;
}

export class PresentClock implements Pick<Clock, "now" | "after"> {
  readonly #clock: Clock;
  #absentMs = 0;
  /** The latest time that has been given out, on the clock below. */
  #seenAt: number;
  #beatAt = Number.POSITIVE_INFINITY;
  #timers = 0;
  #cancelBeat = () => {};

  /** `clock` is the machine's own. */
  constructor(clock: Clock) {
    this.#clock = clock;
    this.#seenAt = clock.now();
  }

  now(): number {
    const now = this.#clock.now();
    if (now > this.#beatAt + LATE_MS) this.#noteAbsence(now);
    this.#seenAt = now;
    return now - this.#absentMs;
  }

  after(ms: number, callback: () => void): () => void {
    this.now();
    let isPending = true;
    const timer: Timer = {
      callback,
      forget: () => {
        if (isPending) this.#leave();
        isPending = false;
      },
      dueAt: this.#seenAt + ms,
      absentMs: this.#absentMs,
      graceMs: Math.min(ms, MAX_GRACE_MS),
      cancel: () => {},
    };
    this.#enter();
    this.#arm(timer, ms);
    return () => {
      timer.cancel();
      timer.forget();
    };
  }

  #arm(timer: Timer, ms: number): void {
    timer.cancel = this.#clock.after(ms, () => {
      this.now();
      const lateMs = this.#seenAt - timer.dueAt;
      // The absence that was noticed, or that of a timer shorter than a beat.
      const missedMs = Math.max(this.#absentMs - timer.absentMs, lateMs);
      const graceMs = missedMs > LATE_MS ? Math.min(missedMs, timer.graceMs) : 0;
      if (graceMs > 0) {
        timer.graceMs -= graceMs;
        timer.absentMs = this.#absentMs;
        timer.dueAt = this.#seenAt + graceMs;
        this.#arm(timer, graceMs);
      } else if (lateMs > LATE_MS) this.#fireAfterEvents(timer);
      else this.#fire(timer);
    });
  }

  /** Late, and without any grace left: fires after the events that wait now. */
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
    timer.forget();
    timer.callback();
  }

  /** The process ran until it was last seen, or until the beat that it then missed. */
  #noteAbsence(now: number): void {
    this.#absentMs += now - Math.max(this.#seenAt, this.#beatAt);
    this.#beatAt = now + BEAT_MS;
  }

  #enter(): void {
    if (this.#timers++ === 0) this.#beat();
  }

  #leave(): void {
    if (--this.#timers > 0) return;
    this.#cancelBeat();
    this.#beatAt = Number.POSITIVE_INFINITY;
  }

  #beat(): void {
    this.now();
    this.#beatAt = this.#seenAt + BEAT_MS;
    this.#cancelBeat = this.#clock.after(BEAT_MS, () => this.#beat());
  }
}
