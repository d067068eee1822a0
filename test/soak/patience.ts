// Waits that can be cut short all together, so that minutes of idleness end when
// the load is to pause.

export class Patience {
  readonly #wakes = new Set<() => void>();
  #isOver = false;

  /** Resolves after `ms`, or at once when there is no time left. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isOver) {
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

  /** There is no time left. */
  end(): void {
    this.#isOver = true;
    for (const wake of [...this.#wakes]) wake();
  }
}
