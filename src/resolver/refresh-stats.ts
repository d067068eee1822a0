// Counts the refreshes of each discovery source, and remembers which sources are
// failing, so that each change is logged once. It does not log.
import type { Source } from "./discovery-events.ts";

interface SourceStats {
  refreshes: number;
  failures: number;
  /** Whether the latest refresh failed. */
  isFailing: boolean;
  /** On the clock; undefined: never. */
  lastSuccessAt: number | undefined;
}

export class RefreshStats {
  readonly #stats = new Map<Source, SourceStats>();

  /** Counts a refresh that gave usable endpoints. Returns whether the one before had failed. */
  succeeded(source: Source, now: number): boolean {
    const stats = this.#statsOf(source);
    const wasFailing = stats.isFailing;
    stats.refreshes++;
    stats.isFailing = false;
    stats.lastSuccessAt = now;
    return wasFailing;
  }

  /** Counts a refresh that failed. Returns whether the one before had not. */
  failed(source: Source): boolean {
    const stats = this.#statsOf(source);
    const wasFailing = stats.isFailing;
    stats.refreshes++;
    stats.failures++;
    stats.isFailing = true;
    return !wasFailing;
  }

  /** Returns the counters of each source that has been refreshed. */
  status(now: number) {
    return [...this.#stats].map(([source, { refreshes, failures, lastSuccessAt }]) => ({
      source,
      refreshes,
      failures,
      ageMs: lastSuccessAt === undefined ? null : now - lastSuccessAt,
    }));
  }

  #statsOf(source: Source): SourceStats {
    let stats = this.#stats.get(source);
    if (stats === undefined) {
      stats = { refreshes: 0, failures: 0, isFailing: false, lastSuccessAt: undefined };
      this.#stats.set(source, stats);
    }
    return stats;
  }
}
