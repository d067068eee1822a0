/** The bytes that all connections of a process have received and not passed on. */
export interface BufferedBytes {
  /** `bytes` may be negative. */
  add(bytes: number): void;
  /** Whether windows may grow: memory is not short. */
  readonly mayGrow: boolean;
}
