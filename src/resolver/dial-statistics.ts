// What became of clients' dials of one endpoint: plain numbers, read when
// somebody asks.

/**
 * `overtaken`: another endpoint answered earlier. `abandoned`: the client left, or
 * the endpoint did, or there were too many second attempts. `failed` is for all
 * other errors, also ours, such as EMFILE.
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

/** Upper bounds of the times of dials that connected, in seconds. */
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

  connected(ms: number): void {
    this.outcomes.connected++;
    const seconds = ms / 1000;
    let bucket = 0;
    while (bucket < BOUNDS_SECONDS.length && seconds > BOUNDS_SECONDS[bucket]!) bucket++;
    this.#counts[bucket]!++;
    this.#sumSeconds += seconds;
  }

  /** `code` is an errno's name, or another that is then just a failure. */
  failed(code: string): void {
    this.outcomes[OUTCOME_OF[code] ?? "failed"]++;
  }

  /** How long those took that connected: a histogram with bounds of its own. */
  get times() {
    return {
      boundsSeconds: BOUNDS_SECONDS,
      counts: [...this.#counts],
      sumSeconds: this.#sumSeconds,
    };
  }
}
