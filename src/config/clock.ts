/** Time as an argument, so that a test owns it. */
export interface Clock {
  /** Milliseconds since an arbitrary moment; never goes back. */
  now(): number;
  /** Runs `callback` once after `ms`; the function returned forgets it. */
  after(ms: number, callback: () => void): () => void;
  /** Runs `callback` once, after the events that wait now. */
  soon(callback: () => void): void;
}
