// The signals of a service: those that stop it, SIGHUP, and those that it ignores.
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../observe/log.ts";
import { RateLimitedLog } from "../observe/rate-limited-log.ts";
import { ignoreSignals } from "../os/ignored-signals.ts";
import { onHangup, StopSignals } from "../os/process.ts";

export class ServiceSignals {
  readonly #stop = new StopSignals();
  readonly #log: RateLimitedLog;
  readonly #restoreHangup: () => void;
  readonly #restoreIgnored: () => void;

  /** Handles signals from now on. */
  constructor(log: Logger, clock: Clock, hangup: () => void) {
    this.#log = new RateLimitedLog(log, clock);
    this.#restoreHangup = onHangup(hangup);
    this.#restoreIgnored = ignoreSignals((signal) =>
      this.#log.warn("ignored a signal that means nothing here", { signal }),
    );
  }

  /** Resolves with the name of the next signal that stops the service. */
  nextStop(): Promise<string> {
    return this.#stop.next();
  }

  /** Stops handling SIGHUP and the signals that stop. May be called twice. */
  close(): void {
    this.#stop.close();
    this.#restoreHangup();
    this.#log.close();
  }

  /** Restores the default of the ignored signals, which ends the process. Call it after the last log line. */
  restoreIgnored(): void {
    this.#restoreIgnored();
  }
}
