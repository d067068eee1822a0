// Which sets of endpoints have changed since they were last logged.
import { type EndpointSpec, labelOf } from "../core/endpoint-spec.ts";

export class SpecChanges {
  readonly #logged = new Map<string, string>();

  /** Returns whether the set differs from the last one under this key; its order does not count. */
  isNews(key: string, specs: readonly EndpointSpec[]): boolean {
    const text = specs.map(labelOf).sort().join();
    if (this.#logged.get(key) === text) return false;
    this.#logged.set(key, text);
    return true;
  }
}
