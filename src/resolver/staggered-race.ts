// Races asynchronous attempts with the schedule of RFC 8305: the next attempt begins
// when one has failed or the last has been silent for a while, and the first success
// wins. Dials, which can be aborted, use net/race.ts instead.
import type { Clock } from "../core/clock.ts";

/** The outcome of a race: the first success, or every item with its failure. */
export type RaceOutcome<Item, Result> =
  | { readonly winner: Item; readonly result: Result }
  | { readonly winner: undefined; readonly failures: readonly (readonly [Item, unknown])[] };

export interface RaceOptions {
  readonly clock: Clock;
  /** Silence in milliseconds after which the next attempt begins as well. */
  readonly delayMs: number;
}

/**
 * Calls `attempt` for the items in order, until one attempt succeeds. Does not abort
 * the attempts that lose, but ignores their results. Never rejects. Without items,
 * the outcome is an empty list of failures.
 */
export function staggeredRace<Item, Result>(
  items: readonly Item[],
  attempt: (item: Item) => Promise<Result>,
  { clock, delayMs }: RaceOptions,
): Promise<RaceOutcome<Item, Result>> {
  return new Promise((resolve) => {
    const failures: (readonly [Item, unknown])[] = [];
    let started = 0;
    let isOver = false;
    let cancelTimer = () => {};

    const finish = (outcome: RaceOutcome<Item, Result>) => {
      isOver = true;
      cancelTimer();
      resolve(outcome);
    };

    const next = (): void => {
      cancelTimer();
      if (isOver || started === items.length) return;

      const item = items[started++]!;
      if (started < items.length) cancelTimer = clock.after(delayMs, next);
      attempt(item).then(
        (result) => {
          if (!isOver) finish({ winner: item, result });
        },
        (error: unknown) => {
          failures.push([item, error]);
          if (failures.length === items.length) finish({ winner: undefined, failures });
          else next();
        },
      );
    };

    if (items.length === 0) finish({ winner: undefined, failures });
    else next();
  });
}
