// Sleeps that end early together, so that idle clients do not delay a pause of
// the load.

export class Sleeper {
  readonly #wakes = new Set<() => void>();
  #isAwake = false;

  /** Resolves after `ms`, or on `wakeAll`; at once if that was called already. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isAwake) {
        resolve();
        return;
      }

      const wake = () => {
        clearTimeout(timer);
        this.#wakes.delete(wake);
        resolve();
      };

      const timer = setTimeout(wake, ms);
      this.#wakes.add(wake);
    });
  }

  /** Ends all sleeps, and those that are requested later. */
  wakeAll(): void {
    this.#isAwake = true;
    for (const wake of [...this.#wakes]) wake();
  }
}
