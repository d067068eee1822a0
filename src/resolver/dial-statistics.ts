// Counts the outcomes and connect times of clients' dials of one endpoint.
// Probes are not counted.

/**
 * `overtaken`: another endpoint connected first. `abandoned`: the client left, the
 * endpoint left the pool, or the hedge budget was exhausted. `failed`: any other
 * error, including those of this machine, such as EMFILE.
 */
export const DIAL_OUTCOMES = [
  "connected",
  "refused",
  "timeout",
  "unreachable",
  "failed",
  "overtaken",
  "abandoned",
] as const;

type DialOutcome = (typeof DIAL_OUTCOMES)[number];

/** Upper bounds of the buckets of connect times, in seconds. */
const BOUNDS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

const OUTCOME_OF: Readonly<Record<string, DialOutcome>> = {
  ECONNREFUSED: "refused",
  ETIMEDOUT: "timeout",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
};

export class DialStatistics {
  readonly outcomes = Object.fromEntries(DIAL_OUTCOMES.map((name) => [name, 0])) as Record<
    DialOutcome,
    number
  >;
  readonly #counts = Array.from({ length: BOUNDS_SECONDS.length + 1 }, () => 0);
  #sumSeconds = 0;

  /** Counts a dial that connected after `ms`. */
  connected(ms: number): void {
    this.outcomes.connected++;

    const seconds = ms / 1000;
    let bucket = 0;
    while (bucket < BOUNDS_SECONDS.length && seconds > BOUNDS_SECONDS[bucket]!) bucket++;
    this.#counts[bucket]!++;
    this.#sumSeconds += seconds;
  }

  /** Counts a dial that failed. A `code` without an outcome of its own counts as `failed`. */
  failed(code: string): void {
    this.outcomes[OUTCOME_OF[code] ?? "failed"]++;
  }

  /** Returns the histogram of connect times. The last of `counts` has no upper bound. */
  get times() {
    return {
      boundsSeconds: BOUNDS_SECONDS,
      counts: [...this.#counts],
      sumSeconds: this.#sumSeconds,
    };
  }
}
