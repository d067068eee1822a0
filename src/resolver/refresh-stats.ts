// How the places do where endpoints are looked up: counted, and remembered as
// failing so that each flip is told once.
import type { Source } from "./discovery-events.ts";

interface Look {
  refreshes: number;
  failures: number;
  isFailing: boolean;
  /** On the clock; undefined: never. */
  lastSuccessAt: number | undefined;
}

export class RefreshStats {
  readonly #looks = new Map<Source, Look>();

  /** It gave something that can be used. Returns whether the last time it had not. */
  succeeded(source: Source, now: number): boolean {
    const look = this.#lookOf(source);
    const hadFailed = look.isFailing;
    look.refreshes++;
    look.isFailing = false;
    look.lastSuccessAt = now;
    return hadFailed;
  }

  /** Returns whether that is news. */
  failed(source: Source): boolean {
    const look = this.#lookOf(source);
    const isNews = !look.isFailing;
    look.refreshes++;
    look.failures++;
    look.isFailing = true;
    return isNews;
  }

  /** Of each place that was looked at. */
  status(now: number) {
    return [...this.#looks].map(([source, { refreshes, failures, lastSuccessAt }]) => ({
      source,
      refreshes,
      failures,
      ageMs: lastSuccessAt === undefined ? null : now - lastSuccessAt,
    }));
  }

  #lookOf(source: Source): Look {
    let look = this.#looks.get(source);
    if (look === undefined) {
      look = { refreshes: 0, failures: 0, isFailing: false, lastSuccessAt: undefined };
      this.#looks.set(source, look);
    }
    return look;
  }
}
