// One attempt after the other, each begun when the one before has failed or has
// been silent for a while; the first success wins (the schedule of RFC 8305).
import type { Clock } from "../core/clock.ts";

/** What a race ended with: the first success, or every item with its failure. */
export type RaceOutcome<Item, Result> =
  | { readonly winner: Item; readonly result: Result }
  | { readonly winner: undefined; readonly failures: readonly (readonly [Item, unknown])[] };

export interface RaceOptions {
  readonly clock: Clock;
  /** Milliseconds of silence after which the next attempt is begun as well. */
  readonly delayMs: number;
}

/**
 * Calls `attempt` for each of `items` in order, until one succeeds. Attempts that
 * lose go on by themselves; their results are dropped. Never rejects. Without any
 * item the outcome has no failure.
 */
export function staggeredRace<Item, Result>(
  items: readonly Item[],
  attempt: (item: Item) => Promise<Result>,
  { clock, delayMs }: RaceOptions,
): Promise<RaceOutcome<Item, Result>> {
  return new Promise((resolve) => {
    const failures: (readonly [Item, unknown])[] = [];
    let begun = 0;
    let isOver = false;
    let cancelTimer = () => {};

    const end = (outcome: RaceOutcome<Item, Result>) => {
      isOver = true;
      cancelTimer();
      resolve(outcome);
    };

    const next = (): void => {
      cancelTimer();
      if (isOver || begun === items.length) return;
      const item = items[begun++]!;
      if (begun < items.length) cancelTimer = clock.after(delayMs, next);
      attempt(item).then(
        (result) => {
          if (!isOver) end({ winner: item, result });
        },
        (error: unknown) => {
          failures.push([item, error]);
          if (failures.length === items.length) end({ winner: undefined, failures });
          else next();
        },
      );
    };

    if (items.length === 0) end({ winner: undefined, failures });
    else next();
  });
}
