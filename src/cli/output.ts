// What a command says.

/** Where a command's text goes. */
export interface Output {
  /** Takes what was asked for: help, the version. */
  print(text: string): void;
  /** Takes what is wrong. */
  complain(text: string): void;
}
